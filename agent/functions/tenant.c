/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/functions/tenant.h"

#include <string.h>

#include "mayfly/id.h"

#define BIT(state) (UINT32_C(1) << (state))

static const char *const state_names[] = {
	[TENANT_ACTIVE] = "Active",
	[TENANT_SUSPENDED] = "Suspended",
};

/* Saying again what is so already is no mistake. */
static const uint32_t state_successors[] = {
	[TENANT_ACTIVE] = BIT(TENANT_ACTIVE) | BIT(TENANT_SUSPENDED),
	[TENANT_SUSPENDED] = BIT(TENANT_ACTIVE) | BIT(TENANT_SUSPENDED),
};

const struct state_table tenant_states = { "tenant", state_names, state_successors,
					   ARRAY_SIZE(state_names) };

int tenant_validate_name(const char *name, struct error *error)
{
	if (strlen(name) > TENANT_NAME_MAX)
		return error_set(error, ERROR_INVALID_PARAMETER, "name",
				 "The name of a tenant must have at most %d bytes.",
				 TENANT_NAME_MAX);
	for (const char *p = name; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return error_set(
				error, ERROR_INVALID_PARAMETER, "name",
				"The name of a tenant must not contain control characters.");
	return 0;
}

int tenant_validate_limits(const struct tenant_limits *limits, struct error *error)
{
	if (limits->has_concurrent_executions &&
	    (limits->concurrent_executions == 0 ||
	     limits->concurrent_executions > TENANT_CONCURRENT_EXECUTIONS_MAX))
		return error_set(
			error, ERROR_INVALID_PARAMETER, "limits.concurrent_executions",
			"The limit of concurrent executions must be from 1 to %u; a tenant "
			"is stopped by suspending it.",
			TENANT_CONCURRENT_EXECUTIONS_MAX);
	if (limits->has_code_storage_bytes &&
	    limits->code_storage_bytes > TENANT_CODE_STORAGE_MAX_BYTES)
		return error_set(error, ERROR_INVALID_PARAMETER, "limits.code_storage_bytes",
				 "The limit of code storage must be at most %llu bytes.",
				 TENANT_CODE_STORAGE_MAX_BYTES);
	if (limits->has_waiting_events && limits->waiting_events > TENANT_WAITING_EVENTS_MAX)
		return error_set(error, ERROR_INVALID_PARAMETER, "limits.waiting_events",
				 "The limit of waiting events must be at most %u.",
				 TENANT_WAITING_EVENTS_MAX);
	if (limits->has_provisioned_memory_mb &&
	    limits->provisioned_memory_mb > TENANT_PROVISIONED_MEMORY_MAX_MB)
		return error_set(error, ERROR_INVALID_PARAMETER, "limits.provisioned_memory_mb",
				 "The limit of provisioned memory must be at most %llu MB.",
				 TENANT_PROVISIONED_MEMORY_MAX_MB);
	if (limits->has_weight && (limits->weight == 0 || limits->weight > TENANT_WEIGHT_MAX))
		return error_set(error, ERROR_INVALID_PARAMETER, "limits.weight",
				 "The weight of a tenant must be from 1 to %u.", TENANT_WEIGHT_MAX);
	return 0;
}

unsigned tenant_weight(const struct tenant *tenant)
{
	return tenant && tenant->limits.has_weight ? tenant->limits.weight : TENANT_WEIGHT_DEFAULT;
}

int tenant_validate_id(const char *id, struct error *error)
{
	if (tenant_id_is_valid(id))
		return 0;
	return error_set(error, ERROR_INVALID_PARAMETER, "tenant",
			 "The tenant must be an account id of 12 digits.");
}

void tenant_draw_id(char out[TENANT_ID_BYTES])
{
	uint64_t number;

	/* Of 2^64 the part beyond the last whole 10^12 is too small to matter: one in 10^7. */
	random_bytes(&number, sizeof(number));
	for (size_t i = 0; i < TENANT_ID_DIGITS; i++, number /= 10)
		out[i] = (char)('0' + number % 10);
	out[TENANT_ID_DIGITS] = 0;
}

int tenant_set_not_found(const char *id, struct error *error)
{
	return error_set(error, ERROR_NOT_FOUND, "tenant", "Tenant not found: %s", id);
}
