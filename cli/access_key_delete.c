/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/verbs.h"

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__DeleteAccessKeyResponse *response = NULL;
	Mayfly__V1__DeleteAccessKeyRequest request = MAYFLY__V1__DELETE_ACCESS_KEY_REQUEST__INIT;

	request.access_key_id = (char *)operand(arguments, 0);
	return client_access_key_delete(context->client, &request, &response, &context->error);
}

const struct verb verb_access_key_delete = {
	.name = "access-key delete",
	.operands = "ID",
	.min = 1,
	.max = 1,
	.summary = "Remove an access key",
	.help = "Prints nothing when it worked.\n\n"
		"Example:\n"
		"  mayfly access-key delete AKIAQWERTYUIOPASDFGH\n",
	.run = run,
};
