/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/tenant_output.h"
#include "cli/verbs.h"

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__Tenant *tenant = NULL;
	Mayfly__V1__UpdateTenantRequest request = MAYFLY__V1__UPDATE_TENANT_REQUEST__INIT;
	Mayfly__V1__TenantLimits limits;
	bool given;

	int r = tenant_limits_from_arguments(arguments, &limits, &given, &context->error);
	if (r < 0)
		return r;
	request.tenant = (char *)operand(arguments, 0);
	if (argument(arguments, "name")) {
		request._name_case = MAYFLY__V1__UPDATE_TENANT_REQUEST___NAME_NAME;
		request.name = (char *)argument(arguments, "name");
	}
	request.limits = given || argument_flag(arguments, "no-limits") ? &limits : NULL;
	r = client_tenant_update(context->client, &request, &tenant, &context->error);
	return r < 0 ? r : tenant_print(context, tenant);
}

static const struct verb_option options[] = {
	{ "name", 0, OPTION_TEXT, "NAME", "for people" },
	TENANT_LIMIT_OPTIONS,
	{ "no-limits", 0, OPTION_FLAG, NULL, "take away the limits that are not given here" },
	{ 0 },
};

const struct verb verb_tenant_update = {
	.name = "tenant update",
	.operands = "ID",
	.min = 1,
	.max = 1,
	.summary = "Change a tenant's name and limits",
	.help = "A limit that is given replaces all limits.\n\n"
		"Example:\n"
		"  mayfly tenant update 210987654321 --concurrent-executions 20\n",
	.options = options,
	.run = run,
};
