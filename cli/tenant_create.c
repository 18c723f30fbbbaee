/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/tenant_output.h"
#include "cli/verbs.h"

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__Tenant *tenant = NULL;
	Mayfly__V1__CreateTenantRequest request = MAYFLY__V1__CREATE_TENANT_REQUEST__INIT;
	Mayfly__V1__TenantLimits limits;
	bool given;

	int r = tenant_limits_from_arguments(arguments, &limits, &given, &context->error);
	if (r < 0)
		return r;
	request.tenant = (char *)operand(arguments, 0);
	if (argument(arguments, "name"))
		request.name = (char *)argument(arguments, "name");
	request.limits = given ? &limits : NULL;
	r = client_tenant_create(context->client, &request, &tenant, &context->error);
	return r < 0 ? r : tenant_print(context, tenant);
}

static const struct verb_option options[] = {
	{ "name", 0, OPTION_TEXT, "NAME", "for people" },
	TENANT_LIMIT_OPTIONS,
	{ 0 },
};

const struct verb verb_tenant_create = {
	.name = "tenant create",
	.operands = "[ID]",
	.max = 1,
	.summary = "Make a tenant",
	.help = "ID has 12 digits; without it one is drawn at random.\n\n"
		"Examples:\n"
		"  mayfly tenant create --name 'The blue team'\n"
		"  mayfly tenant create 210987654321 --concurrent-executions 100\n",
	.options = options,
	.run = run,
};
