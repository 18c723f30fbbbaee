/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a tenant is: pure values and rules, no I/O. */

#include <stdbool.h>
#include <stdint.h>

#include "agent/functions/function.h"
#include "mayfly/error.h"
#include "mayfly/state.h"

#define TENANT_ID_BYTES                  (TENANT_ID_DIGITS + 1)
#define TENANT_NAME_MAX                  128 /* bytes */
#define TENANT_CONCURRENT_EXECUTIONS_MAX 1000000U
#define TENANT_CODE_STORAGE_MAX_BYTES    (1ULL << 50)
#define TENANT_WAITING_EVENTS_MAX        10000000U
#define TENANT_PROVISIONED_MEMORY_MAX_MB (1ULL << 30)
#define TENANT_WEIGHT_MAX                1000U
#define TENANT_WEIGHT_DEFAULT            100U

enum tenant_state { TENANT_ACTIVE, TENANT_SUSPENDED };

/* What is not set is not limited beyond what the node has. */
struct tenant_limits {
	bool has_concurrent_executions;
	uint32_t concurrent_executions;
	bool has_code_storage_bytes;
	uint64_t code_storage_bytes;
	bool has_waiting_events;
	uint32_t waiting_events;
	bool has_provisioned_memory_mb;
	uint64_t provisioned_memory_mb;
	bool has_weight;
	uint32_t weight;
};

struct tenant {
	char id[TENANT_ID_BYTES];
	char name[TENANT_NAME_MAX + 1]; /* "" when it has none */
	enum tenant_state state;
	struct tenant_limits limits;
	int64_t created_us; /* realtime */
};

extern const struct state_table tenant_states;

/* What it weighs beside others on a node that is full; `tenant` may be NULL. */
unsigned tenant_weight(const struct tenant *tenant);

/* Names are UTF-8 already; `error` names the field. */
int tenant_validate_name(const char *name, struct error *error) _must_use_;
int tenant_validate_limits(const struct tenant_limits *limits, struct error *error) _must_use_;

/* Refuses what is not 12 digits. */
int tenant_validate_id(const char *id, struct error *error) _must_use_;

/* Twelve digits from the system's random source. */
void tenant_draw_id(char out[TENANT_ID_BYTES]);

/* Sets `error` to "Tenant not found: ID". */
int tenant_set_not_found(const char *id, struct error *error);
