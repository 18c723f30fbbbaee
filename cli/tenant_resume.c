/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/tenant_output.h"
#include "cli/verbs.h"

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__Tenant *tenant = NULL;
	Mayfly__V1__ResumeTenantRequest request = MAYFLY__V1__RESUME_TENANT_REQUEST__INIT;

	request.tenant = (char *)operand(arguments, 0);
	int r = client_tenant_resume(context->client, &request, &tenant, &context->error);
	return r < 0 ? r : tenant_print(context, tenant);
}

const struct verb verb_tenant_resume = {
	.name = "tenant resume",
	.operands = "ID",
	.min = 1,
	.max = 1,
	.summary = "Let a suspended tenant go on",
	.help = "The opposite of 'mayfly tenant suspend'.\n\n"
		"Example:\n"
		"  mayfly tenant resume 210987654321\n",
	.run = run,
};
