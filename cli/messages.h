/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Messages as JSON, with the member names of Lambda's API where it has them, and the names
 * of enum values. JSON is new and the caller's; NULL when memory is short. */

#include <jansson.h>

#include "client/client.h"

json_t *json_from_function(const Mayfly__V1__Function *function);
json_t *json_from_alias(const Mayfly__V1__Alias *alias);
json_t *json_from_node(const Mayfly__V1__Node *node);
json_t *json_from_gauges(const Mayfly__V1__Gauges *gauges);
json_t *json_from_sandbox(const Mayfly__V1__Sandbox *sandbox);
json_t *json_from_template(const Mayfly__V1__Template *template_);
json_t *json_from_phases(const Mayfly__V1__Phases *phases);
json_t *json_from_node_event(const Mayfly__V1__NodeEvent *event);

/* Bytes as a JSON string; what is not UTF-8 becomes base64. */
json_t *json_from_bytes(const ProtobufCBinaryData *bytes);
/* The same, base64 in any case. */
json_t *json_base64_from_bytes(const ProtobufCBinaryData *bytes);

/* "Active" for FUNCTION_STATE_ACTIVE, and so on; "" for an unknown value. */
const char *name_of_function_state(int value);
const char *name_of_update_status(int value);
const char *name_of_start_kind(int value);
const char *name_of_sandbox_state(int value);
const char *name_of_template_kind(int value);
const char *name_of_template_state(int value);
const char *name_of_accelerator(int value);

/* Phases in the order of time, for tables: name and microseconds. */
struct phase {
	const char *name;
	uint64_t us;
};
#define PHASES 8
void phases_list(const Mayfly__V1__Phases *phases, struct phase out[PHASES]);
