/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/verbs.h"

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__DeleteTenantResponse *response = NULL;
	Mayfly__V1__DeleteTenantRequest request = MAYFLY__V1__DELETE_TENANT_REQUEST__INIT;

	request.tenant = (char *)operand(arguments, 0);
	return client_tenant_delete(context->client, &request, &response, &context->error);
}

const struct verb verb_tenant_delete = {
	.name = "tenant delete",
	.operands = "ID",
	.min = 1,
	.max = 1,
	.summary = "Remove a tenant that has no functions",
	.help = "Its id is never given again. Prints nothing when it worked.\n\n"
		"Example:\n"
		"  mayfly tenant delete 210987654321\n",
	.run = run,
};
