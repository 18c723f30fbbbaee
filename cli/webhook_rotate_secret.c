/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/verbs.h"
#include "cli/webhook_output.h"
#include "mayfly/clock.h"

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__WebhookSecret *secret = NULL;
	Mayfly__V1__RotateWebhookSecretRequest request =
		MAYFLY__V1__ROTATE_WEBHOOK_SECRET_REQUEST__INIT;
	int64_t overlap_us = 0;

	int r = argument_duration(arguments, "overlap", &overlap_us, &context->error);
	if (r < 0)
		return r;
	request.url = (char *)operand(arguments, 0);
	if (argument(arguments, "overlap")) {
		request._overlap_s_case =
			MAYFLY__V1__ROTATE_WEBHOOK_SECRET_REQUEST___OVERLAP_S_OVERLAP_S;
		request.overlap_s = (uint64_t)((overlap_us + USEC_PER_SEC - 1) / USEC_PER_SEC);
	}
	r = client_webhook_rotate_secret(context->client, &request, &secret, &context->error);
	return r < 0 ? r : webhook_secret_output(context, secret);
}

static const struct verb_option options[] = {
	{ "overlap", 0, OPTION_TEXT, "TIME",
	  "how long the former secret signs, too: 24h by default, up to 30d; 0 ends it at once" },
	{ 0 },
};

const struct verb verb_webhook_rotate_secret = {
	.name = "webhook rotate-secret",
	.operands = "URL",
	.min = 1,
	.max = 1,
	.summary = "Draw a new secret for a webhook",
	.help = "Posts have a signature of each secret while both count, so that the receiver can\n"
		"change from one to the other without losing any.\n\n"
		"Examples:\n"
		"  mayfly webhook rotate-secret https://hooks.example.com/failed\n"
		"  mayfly webhook rotate-secret https://hooks.example.com/failed --overlap 0\n",
	.options = options,
	.run = run,
};
