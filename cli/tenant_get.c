/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/tenant_output.h"
#include "cli/verbs.h"

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__Tenant *tenant = NULL;
	Mayfly__V1__GetTenantRequest request = MAYFLY__V1__GET_TENANT_REQUEST__INIT;

	request.tenant = (char *)operand(arguments, 0);
	int r = client_tenant_get(context->client, &request, &tenant, &context->error);
	return r < 0 ? r : tenant_print(context, tenant);
}

const struct verb verb_tenant_get = {
	.name = "tenant get",
	.operands = "[ID]",
	.max = 1,
	.summary = "Show a tenant; without ID one's own",
	.help = "Examples:\n"
		"  mayfly tenant get 210987654321\n"
		"  mayfly tenant get --output json\n",
	.run = run,
};
