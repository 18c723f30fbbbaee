/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/tenant_output.h"

#include "cli/output.h"

/* `optional` is a oneof of one in the generated code. */
#define HAS_CONCURRENT  MAYFLY__V1__TENANT_LIMITS___CONCURRENT_EXECUTIONS_CONCURRENT_EXECUTIONS
#define HAS_STORAGE     MAYFLY__V1__TENANT_LIMITS___CODE_STORAGE_BYTES_CODE_STORAGE_BYTES
#define HAS_EVENTS      MAYFLY__V1__TENANT_LIMITS___WAITING_EVENTS_WAITING_EVENTS
#define HAS_PROVISIONED MAYFLY__V1__TENANT_LIMITS___PROVISIONED_MEMORY_MB_PROVISIONED_MEMORY_MB
#define HAS_WEIGHT      MAYFLY__V1__TENANT_LIMITS___WEIGHT_WEIGHT

#define WEIGHT_DEFAULT  100 /* tenant.proto */

unsigned tenant_weight_of(const Mayfly__V1__Tenant *tenant)
{
	const Mayfly__V1__TenantLimits *limits = tenant->limits;

	return limits && limits->_weight_case == HAS_WEIGHT ? limits->weight : WEIGHT_DEFAULT;
}

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
		json_pack("{s:s, s:s, s:s, s:I, s:I, s:b, s:I, s:{}}", "Tenant", tenant->tenant,
			  "Name", tenant->name, "State", name_of_tenant_state((int)tenant->state),
			  "CreatedAtUs", (json_int_t)tenant->created_at_us, "Functions",
			  (json_int_t)tenant->functions, "IsDefault", tenant->is_default, "Weight",
			  (json_int_t)tenant_weight_of(tenant), "Limits");
	json_t *shown = json_object_get(json, "Limits");

	if (limits && limits->_concurrent_executions_case == HAS_CONCURRENT)
		(void)json_object_set_new(shown, "ConcurrentExecutions",
					  json_integer(limits->concurrent_executions));
	if (limits && limits->_code_storage_bytes_case == HAS_STORAGE)
		(void)json_object_set_new(shown, "CodeStorageBytes",
					  json_integer((json_int_t)limits->code_storage_bytes));
	if (limits && limits->_waiting_events_case == HAS_EVENTS)
		(void)json_object_set_new(shown, "WaitingEvents",
					  json_integer(limits->waiting_events));
	if (limits && limits->_provisioned_memory_mb_case == HAS_PROVISIONED)
		(void)json_object_set_new(shown, "ProvisionedMemoryMB",
					  json_integer((json_int_t)limits->provisioned_memory_mb));
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
	if (limits && limits->_waiting_events_case == HAS_EVENTS)
		output_field("Waiting events", "at most %u", limits->waiting_events);
	if (limits && limits->_provisioned_memory_mb_case == HAS_PROVISIONED)
		output_field("Provisioned memory", "at most %llu MB",
			     (unsigned long long)limits->provisioned_memory_mb);
	output_field("Weight", "%u", tenant_weight_of(tenant));
	output_field("Created", "%s", text_age(tenant->created_at_us, text));
	return 0;
}

int tenant_limits_from_arguments(const struct arguments *arguments, Mayfly__V1__TenantLimits *ret,
				 bool *ret_given, struct error *e)
{
	uint64_t concurrent = 0, events = 0, weight = 0;
	int r = argument_number(arguments, "concurrent-executions", UINT32_MAX, &concurrent, e);

	mayfly__v1__tenant_limits__init(ret);
	if (r == 0)
		r = argument_number(arguments, "code-storage-bytes", UINT64_MAX,
				    &ret->code_storage_bytes, e);
	if (r == 0)
		r = argument_number(arguments, "waiting-events", UINT32_MAX, &events, e);
	if (r == 0)
		r = argument_number(arguments, "provisioned-memory-mb", UINT64_MAX,
				    &ret->provisioned_memory_mb, e);
	if (r == 0)
		r = argument_number(arguments, "weight", UINT32_MAX, &weight, e);
	if (r < 0)
		return r;
	if (argument(arguments, "concurrent-executions"))
		ret->_concurrent_executions_case = HAS_CONCURRENT;
	if (argument(arguments, "code-storage-bytes"))
		ret->_code_storage_bytes_case = HAS_STORAGE;
	if (argument(arguments, "waiting-events"))
		ret->_waiting_events_case = HAS_EVENTS;
	if (argument(arguments, "provisioned-memory-mb"))
		ret->_provisioned_memory_mb_case = HAS_PROVISIONED;
	if (argument(arguments, "weight"))
		ret->_weight_case = HAS_WEIGHT;
	ret->weight = (uint32_t)weight;
	ret->concurrent_executions = (uint32_t)concurrent;
	ret->waiting_events = (uint32_t)events;
	*ret_given = ret->_concurrent_executions_case || ret->_code_storage_bytes_case ||
		     ret->_waiting_events_case || ret->_provisioned_memory_mb_case ||
		     ret->_weight_case;
	return 0;
}

void tenant_limits_fill(Mayfly__V1__TenantLimits *limits, const Mayfly__V1__TenantLimits *from)
{
	if (!limits->_concurrent_executions_case) {
		limits->_concurrent_executions_case = from->_concurrent_executions_case;
		limits->concurrent_executions = from->concurrent_executions;
	}
	if (!limits->_code_storage_bytes_case) {
		limits->_code_storage_bytes_case = from->_code_storage_bytes_case;
		limits->code_storage_bytes = from->code_storage_bytes;
	}
	if (!limits->_waiting_events_case) {
		limits->_waiting_events_case = from->_waiting_events_case;
		limits->waiting_events = from->waiting_events;
	}
	if (!limits->_provisioned_memory_mb_case) {
		limits->_provisioned_memory_mb_case = from->_provisioned_memory_mb_case;
		limits->provisioned_memory_mb = from->provisioned_memory_mb;
	}
	if (!limits->_weight_case) {
		limits->_weight_case = from->_weight_case;
		limits->weight = from->weight;
	}
}
