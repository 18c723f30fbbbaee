/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/tenant_output.h"
#include "cli/verbs.h"

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__Tenant *tenant = NULL;
	Mayfly__V1__SuspendTenantRequest request = MAYFLY__V1__SUSPEND_TENANT_REQUEST__INIT;

	request.tenant = (char *)operand(arguments, 0);
	int r = client_tenant_suspend(context->client, &request, &tenant, &context->error);
	return r < 0 ? r : tenant_print(context, tenant);
}

const struct verb verb_tenant_suspend = {
	.name = "tenant suspend",
	.operands = "ID",
	.min = 1,
	.max = 1,
	.summary = "Stop a tenant's invocations and changes; its functions are kept",
	.help = "What runs ends as ever. 'mayfly tenant resume' takes it back.\n\n"
		"Example:\n"
		"  mayfly tenant suspend 210987654321\n",
	.run = run,
};
