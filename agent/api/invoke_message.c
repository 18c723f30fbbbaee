/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/invoke_message.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/account/budget.h"
#include "agent/api/gate.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"

#define UNHANDLED        "Unhandled"
#define PHASES_MAX_BYTES 256 /* twelve fields, the longest of them a sandbox id */

static Mayfly__V1__StartKind start_kind(enum invocation_start start)
{
	static const Mayfly__V1__StartKind kinds[] = {
		[INVOCATION_START_NONE] = MAYFLY__V1__START_KIND__START_KIND_UNSPECIFIED,
		[INVOCATION_START_WARM] = MAYFLY__V1__START_KIND__START_KIND_WARM,
		[INVOCATION_START_SPARE] = MAYFLY__V1__START_KIND__START_KIND_SPARE,
		[INVOCATION_START_RESTORE] = MAYFLY__V1__START_KIND__START_KIND_RESTORE,
		[INVOCATION_START_SNAP_START] = MAYFLY__V1__START_KIND__START_KIND_SNAP_START,
		[INVOCATION_START_BOOT] = MAYFLY__V1__START_KIND__START_KIND_BOOT,
	};

	return kinds[start];
}

void invoke_outcome_set(struct invoke_outcome *outcome, const struct invocation *invocation,
			const struct invocation_result *result)
{
	*outcome = (struct invoke_outcome){
		.function_error = result->function_error && result->function_error[0],
		.phases = result->phases,
	};
	(void)snprintf(outcome->request_id, sizeof(outcome->request_id), "%s",
		       invocation_request_id(invocation));
	if (result->executed_version)
		(void)snprintf(outcome->executed_version, sizeof(outcome->executed_version), "%s",
			       result->executed_version);
}

static void add_text(struct rpc_call *call, const char *key, const char *value)
{
	if (value[0] && rpc_call_add_trailer(call, key, slice_from_string(value)) < 0)
		log_error("no room for trailing metadata %s", key);
}

static uint64_t since(int64_t then_us, int64_t now_us)
{
	return then_us && now_us > then_us ? (uint64_t)(now_us - then_us) : 0;
}

static void add_phases(struct rpc_call *call, const struct invocation_phases *phases)
{
	Mayfly__V1__Phases message = MAYFLY__V1__PHASES__INIT;
	uint8_t bytes[PHASES_MAX_BYTES];
	char sandbox_id[sizeof(phases->sandbox_id)];
	int64_t now_us = clock_monotonic_us();

	(void)snprintf(sandbox_id, sizeof(sandbox_id), "%s",
		       gate_is_granted(call) ? "" : phases->sandbox_id);
	message.start_kind = start_kind(phases->start);
	message.total_us = since(rpc_call_received_us(call), now_us);
	message.admit_us = phases->admit_us;
	message.place_us = phases->place_us;
	message.spawn_us = phases->spawn_us;
	message.load_us = phases->load_us;
	message.resume_us = phases->resume_us;
	message.init_us = phases->init_us;
	message.handler_us = phases->handler_us;
	message.reply_us = since(phases->complete_at_us, now_us);
	message.sandbox_id = sandbox_id;
	message.guest_us = phases->guest_us;
	if (mayfly__v1__phases__get_packed_size(&message) > sizeof(bytes))
		return;
	size_t len = mayfly__v1__phases__pack(&message, bytes);
	if (rpc_call_add_trailer(call, "mayfly-phases-bin", slice_new(bytes, len)) < 0)
		log_error("no room for trailing metadata mayfly-phases-bin");
}

void invoke_outcome_send(const struct invoke_outcome *outcome, struct rpc_call *call)
{
	add_text(call, "mayfly-request-id", outcome->request_id);
	add_text(call, "mayfly-executed-version", outcome->executed_version);
	add_text(call, "mayfly-function-error", outcome->function_error ? UNHANDLED : "");
	add_phases(call, &outcome->phases);
}

/* -- refusals -- */

/* Which limit of the owner's it was, in Lambda's words; of a budget, which Lambda has not, the one
 * that is nearest. No figures, and not what the function or the node say of a failed start. */
static void hide_owner(const struct error *error, struct error *ret)
{
	bool throttled = error->code == ERROR_TOO_MANY_REQUESTS;
	const char *reason = error->reason;

	(void)error_set(ret, error->code, error->field, "%s",
			throttled ? "Rate Exceeded." : error_log_text(error));
	if (reason && strcmp(reason, ACCOUNT_BUDGET_EXCEEDED) == 0)
		reason = THROTTLE_RATE;
	if (reason)
		error_set_reason(ret, reason);
}

static bool is_of_request(const struct error *error)
{
	return error->code == ERROR_INVALID_PARAMETER ||
	       error->code == ERROR_INVALID_REQUEST_CONTENT;
}

void invoke_fail(struct rpc_call *call, const struct error *error)
{
	_cleanup_error_ struct error shown = ERROR_INIT;

	if (gate_is_granted(call) && !is_of_request(error))
		hide_owner(error, &shown);
	rpc_call_fail(call, shown.code ? &shown : error);
}
