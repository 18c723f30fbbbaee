/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/verbs.h"
#include "cli/webhook_output.h"

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__WebhookSecret *secret = NULL;
	Mayfly__V1__GetWebhookSecretRequest request = MAYFLY__V1__GET_WEBHOOK_SECRET_REQUEST__INIT;

	request.url = (char *)operand(arguments, 0);
	int r = client_webhook_get_secret(context->client, &request, &secret, &context->error);
	return r < 0 ? r : webhook_secret_output(context, secret);
}

const struct verb verb_webhook_get_secret = {
	.name = "webhook get-secret",
	.operands = "URL",
	.min = 1,
	.max = 1,
	.summary = "Show what posts to a webhook are signed with",
	.help = "The receiver checks with it that a post is from this node, by any library for\n"
		"Standard Webhooks. The URL is written exactly as the destination is.\n\n"
		"Example:\n"
		"  mayfly webhook get-secret https://hooks.example.com/failed\n",
	.run = run,
};
