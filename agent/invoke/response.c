/* SPDX-License-Identifier: Apache-2.0 */

/* What comes back from the guest. It is hostile until proven otherwise: each message must be in
 * turn, of this invocation, and within the limits. */

#include <jansson.h>

#include "agent/invoke/invocation_internal.h"
#include "mayfly/clock.h"

void response_set_error(struct invocation *invocation, const char *type, struct slice body)
{
	struct buf *to =
		invocation->request.streaming ? &invocation->error_body : &invocation->response;

	invocation->function_error = true;
	free(invocation->error_type);
	invocation->error_type = strdup(type ? type : "");
	buf_reset(to);
	/* Without memory for it the body is lost, the failure is not. */
	if (buf_append(to, body.data, body.len) < 0)
		buf_free(to);
}

static void set_error_json(struct invocation *invocation, const char *type, const char *message)
{
	json_t *json = json_pack("{s:s,s:s}", "errorType", type, "errorMessage", message);
	_cleanup_free_ char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	response_set_error(invocation, type, slice_from_string(text));
}

void response_set_platform_error(struct invocation *invocation, const char *type,
				 const char *message)
{
	_cleanup_free_ char *text = NULL;

	if (asprintf(&text, "RequestId: %s Error: %s", invocation->id, message) < 0)
		text = NULL;
	set_error_json(invocation, type, text ? text : message);
}

static bool is_this(const struct invocation *invocation, const char *request_id)
{
	return request_id && strcmp(request_id, invocation->id) == 0;
}

static void on_start(struct invocation *invocation, const Mayfly__Guest__V1__ResponseStart *message)
{
	if (!is_this(invocation, message->request_id) || invocation->response_started) {
		invocation_protocol_error(invocation, "the start of a response");
		return;
	}
	invocation->response_started = true;
	if (invocation->request.streaming && !invocation->abandoned)
		invocation->request.events->on_start(invocation, message->content_type,
						     invocation->request.user);
}

/* Beyond the limit the rest is not kept; what the invocation's end says is corrected then. */
static void keep_chunk(struct invocation *invocation, struct slice data)
{
	uint64_t limit = invocation->request.streaming ? INVOCATION_STREAM_MAX_BYTES
						       : INVOCATION_RESPONSE_MAX_BYTES;

	invocation->response_bytes += data.len;
	if (invocation->response_bytes > limit)
		invocation->response_too_large = true;
	if (invocation->response_too_large || invocation->abandoned)
		return;
	if (invocation->request.streaming) {
		invocation->request.events->on_chunk(invocation, data, invocation->request.user);
		return;
	}
	if (buf_append(&invocation->response, data.data, data.len) < 0)
		invocation_fail_sandbox(invocation, "no memory for a response");
}

static void on_chunk(struct invocation *invocation, const Mayfly__Guest__V1__ResponseChunk *message)
{
	if (!is_this(invocation, message->request_id) || !invocation->response_started) {
		invocation_protocol_error(invocation, "a piece of a response");
		return;
	}
	if (message->data.len > 0)
		keep_chunk(invocation, slice_new(message->data.data, message->data.len));
}

static enum line_status line_status(const Mayfly__Guest__V1__Outcome *outcome)
{
	if (outcome->status == MAYFLY__GUEST__V1__STATUS__STATUS_OK)
		return LINE_SUCCESS;
	if (outcome->status == MAYFLY__GUEST__V1__STATUS__STATUS_TIMEOUT)
		return LINE_TIMEOUT;
	return LINE_ERROR;
}

/* The words of init's JSON body, for the log's line about a crash. The caller frees. */
static char *crash_message(const Mayfly__Guest__V1__Outcome *outcome)
{
	json_t *json;
	const char *text;
	char *copy;

	if (outcome->status != MAYFLY__GUEST__V1__STATUS__STATUS_EXIT &&
	    outcome->status != MAYFLY__GUEST__V1__STATUS__STATUS_OUT_OF_MEMORY &&
	    outcome->status != MAYFLY__GUEST__V1__STATUS__STATUS_RESPONSE_TOO_LARGE)
		return NULL;
	json = json_loadb((const char *)outcome->error_body.data, outcome->error_body.len, 0, NULL);
	text = json_string_value(json_object_get(json, "errorMessage"));
	copy = strdup(text ? text : outcome->error_type);
	json_decref(json);
	return copy;
}

static void set_timeout_error(struct invocation *invocation)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "Task timed out after %lld.%02lld seconds",
		       invocation->timeout_us / USEC_PER_SEC,
		       invocation->timeout_us % USEC_PER_SEC / 10000);
	response_set_platform_error(invocation, "Sandbox.Timedout", text);
}

static void set_too_large(struct invocation *invocation)
{
	char text[128];

	(void)snprintf(text, sizeof(text),
		       "Response payload size exceeded maximum allowed payload size (%d bytes).",
		       invocation->request.streaming ? INVOCATION_STREAM_MAX_BYTES
						     : INVOCATION_RESPONSE_MAX_BYTES);
	set_error_json(invocation, "Function.ResponseSizeTooLarge", text);
}

/* What the caller gets: init's body, or the platform's when init has none. */
static void set_outcome(struct invocation *invocation, const Mayfly__Guest__V1__Outcome *outcome)
{
	if (outcome->status == MAYFLY__GUEST__V1__STATUS__STATUS_OK) {
		if (invocation->response_too_large)
			set_too_large(invocation);
		return;
	}
	if (outcome->error_body.len > 0)
		response_set_error(invocation, outcome->error_type,
				   slice_new(outcome->error_body.data, outcome->error_body.len));
	else if (outcome->status == MAYFLY__GUEST__V1__STATUS__STATUS_TIMEOUT)
		set_timeout_error(invocation);
	else if (outcome->status == MAYFLY__GUEST__V1__STATUS__STATUS_RESPONSE_TOO_LARGE)
		set_too_large(invocation);
	else
		response_set_platform_error(invocation,
					    outcome->error_type[0] ? outcome->error_type
								   : "Runtime.ExitError",
					    "Runtime exited without providing a reason");
}

static bool resets_runtime(const Mayfly__Guest__V1__Outcome *outcome)
{
	return outcome->status == MAYFLY__GUEST__V1__STATUS__STATUS_TIMEOUT ||
	       outcome->status == MAYFLY__GUEST__V1__STATUS__STATUS_EXIT ||
	       outcome->status == MAYFLY__GUEST__V1__STATUS__STATUS_OUT_OF_MEMORY;
}

/* Its runtime did not even come up again within the function's timeout, and would not the next
 * time: a fresh sandbox will. Only /tmp is lost. */
static const char *hopeless_reason(const struct invocation *invocation,
				   const Mayfly__Guest__V1__InvocationDone *message)
{
	if (message->outcome->status != MAYFLY__GUEST__V1__STATUS__STATUS_TIMEOUT ||
	    message->init_duration_us > 0 || !invocation->facts.repeating_init)
		return NULL;
	return "its runtime did not start again within the function's timeout";
}

static void on_done(struct invocation *invocation, const Mayfly__Guest__V1__InvocationDone *message)
{
	const Mayfly__Guest__V1__Outcome *outcome = message->outcome;
	_cleanup_free_ char *crash = NULL;
	struct report report;
	bool too_large;

	if (!is_this(invocation, message->request_id) || !outcome ||
	    outcome->status == MAYFLY__GUEST__V1__STATUS__STATUS_UNSPECIFIED) {
		invocation_protocol_error(invocation, "the end of an invocation");
		return;
	}
	if (outcome->status == MAYFLY__GUEST__V1__STATUS__STATUS_GUEST_FAILURE) {
		invocation_fail_sandbox(invocation, "the guest says that it failed");
		return;
	}
	invocation->stamps.guest_us = message->duration_us;
	too_large = outcome->status == MAYFLY__GUEST__V1__STATUS__STATUS_OK &&
		    invocation->response_too_large;
	crash = crash_message(outcome);
	report = (struct report){
		.status = too_large ? LINE_ERROR : line_status(outcome),
		.error_type = too_large ? "Function.ResponseSizeTooLarge" : outcome->error_type,
		.crash = crash,
		.max_memory_bytes = message->max_memory_bytes,
	};
	if (report.status != LINE_SUCCESS && !invocation->response_started)
		report.failed_init_us = (int64_t)(message->init_duration_us & INT32_MAX);
	set_outcome(invocation, outcome);
	if (resets_runtime(outcome))
		sandbox_mark_reset(invocation->sandbox);
	invocation_complete(invocation, &report, hopeless_reason(invocation, message));
}

void response_set_overdue(struct invocation *invocation)
{
	struct report report = { .status = LINE_TIMEOUT, .error_type = "Sandbox.Timedout" };

	set_timeout_error(invocation);
	invocation_complete(invocation, &report,
			    "the guest kept neither the timeout nor the grace beyond it");
}

void response_on_message(struct invocation *invocation,
			 const Mayfly__Guest__V1__GuestMessage *message)
{
	switch (message->kind_case) {
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_RESPONSE_START:
		on_start(invocation, message->response_start);
		return;
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_RESPONSE_CHUNK:
		on_chunk(invocation, message->response_chunk);
		return;
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_INVOCATION_DONE:
		on_done(invocation, message->invocation_done);
		return;
	default:
		invocation_protocol_error(invocation, "a message out of turn");
	}
}
