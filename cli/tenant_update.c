/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/tenant_output.h"
#include "cli/verbs.h"

/* The request replaces all limits: those that were not given stay as they are. */
static int keep_others(struct context *context, const char *id, Mayfly__V1__TenantLimits *limits)
{
	_cleanup_message_ Mayfly__V1__Tenant *tenant = NULL;
	Mayfly__V1__GetTenantRequest request = MAYFLY__V1__GET_TENANT_REQUEST__INIT;

	request.tenant = (char *)id;
	int r = client_tenant_get(context->client, &request, &tenant, &context->error);
	if (r == 0 && tenant->limits)
		tenant_limits_fill(limits, tenant->limits);
	return r;
}

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__Tenant *tenant = NULL;
	Mayfly__V1__UpdateTenantRequest request = MAYFLY__V1__UPDATE_TENANT_REQUEST__INIT;
	Mayfly__V1__TenantLimits limits;
	bool given;

	int r = tenant_limits_from_arguments(arguments, &limits, &given, &context->error);
	if (r == 0 && given && !argument_flag(arguments, "no-limits"))
		r = keep_others(context, operand(arguments, 0), &limits);
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
	.summary = "Change a tenant's name, limits and weight",
	.help = "Limits that are not given stay; with --no-limits they go, the weight too.\n\n"
		"Examples:\n"
		"  mayfly tenant update 210987654321 --concurrent-executions 20\n"
		"  mayfly tenant update 210987654321 --weight 300\n",
	.options = options,
	.run = run,
};
