/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/tenant_output.h"

#include "cli/output.h"

/* `optional` is a oneof of one in the generated code. */
#define HAS_CONCURRENT MAYFLY__V1__TENANT_LIMITS___CONCURRENT_EXECUTIONS_CONCURRENT_EXECUTIONS
#define HAS_STORAGE    MAYFLY__V1__TENANT_LIMITS___CODE_STORAGE_BYTES_CODE_STORAGE_BYTES

const char *name_of_tenant_state(int value)
{
	switch (value) {
	case MAYFLY__V1__TENANT_STATE__TENANT_STATE_ACTIVE:
		return "Active";
	case MAYFLY__V1__TENANT_STATE__TENANT_STATE_SUSPENDED:
		return "Suspended";
	default:
		return "";
	}
}

json_t *tenant_json(const Mayfly__V1__Tenant *tenant)
{
	const Mayfly__V1__TenantLimits *limits = tenant->limits;
	json_t *json =
		json_pack("{s:s, s:s, s:s, s:I, s:I, s:b, s:{}}", "Tenant", tenant->tenant, "Name",
			  tenant->name, "State", name_of_tenant_state((int)tenant->state),
			  "CreatedAtUs", (json_int_t)tenant->created_at_us, "Functions",
			  (json_int_t)tenant->functions, "IsDefault", tenant->is_default, "Limits");
	json_t *shown = json_object_get(json, "Limits");

	if (limits && limits->_concurrent_executions_case == HAS_CONCURRENT)
		(void)json_object_set_new(shown, "ConcurrentExecutions",
					  json_integer(limits->concurrent_executions));
	if (limits && limits->_code_storage_bytes_case == HAS_STORAGE)
		(void)json_object_set_new(shown, "CodeStorageBytes",
					  json_integer((json_int_t)limits->code_storage_bytes));
	return json;
}

int tenant_print(const struct context *context, const Mayfly__V1__Tenant *tenant)
{
	const Mayfly__V1__TenantLimits *limits = tenant->limits;
	char text[TEXT_BYTES];

	if (context->json)
		return output_json(tenant_json(tenant));
	output_field("Tenant", "%s%s", tenant->tenant, tenant->is_default ? " (default)" : "");
	if (*tenant->name)
		output_field("Name", "%s", tenant->name);
	output_field("State", "%s", name_of_tenant_state((int)tenant->state));
	output_field("Functions", "%u", tenant->functions);
	if (limits && limits->_concurrent_executions_case == HAS_CONCURRENT)
		output_field("Concurrent executions", "at most %u", limits->concurrent_executions);
	if (limits && limits->_code_storage_bytes_case == HAS_STORAGE)
		output_field("Code storage", "at most %s",
			     text_bytes(limits->code_storage_bytes, text));
	output_field("Created", "%s", text_age(tenant->created_at_us, text));
	return 0;
}

int tenant_limits_from_arguments(const struct arguments *arguments, Mayfly__V1__TenantLimits *ret,
				 bool *ret_given, struct error *e)
{
	uint64_t concurrent = 0;
	int r = argument_number(arguments, "concurrent-executions", UINT32_MAX, &concurrent, e);

	mayfly__v1__tenant_limits__init(ret);
	if (r == 0)
		r = argument_number(arguments, "code-storage-bytes", UINT64_MAX,
				    &ret->code_storage_bytes, e);
	if (r < 0)
		return r;
	if (argument(arguments, "concurrent-executions"))
		ret->_concurrent_executions_case = HAS_CONCURRENT;
	if (argument(arguments, "code-storage-bytes"))
		ret->_code_storage_bytes_case = HAS_STORAGE;
	ret->concurrent_executions = (uint32_t)concurrent;
	*ret_given = ret->_concurrent_executions_case || ret->_code_storage_bytes_case;
	return 0;
}
