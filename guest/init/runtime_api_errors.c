/* SPDX-License-Identifier: Apache-2.0 */

#include "runtime_api_errors.h"

#include <jansson.h>

#include "mayfly/state.h"

static const char *const state_names[_RUNTIME_API_STATES] = {
	[RUNTIME_API_STARTED] = "Started",
	[RUNTIME_API_INIT_ERROR] = "InitError",
	[RUNTIME_API_RESTORE_READY] = "RestoreReady",
	[RUNTIME_API_RESTORE_ERROR] = "RestoreError",
	[RUNTIME_API_READY] = "Ready",
	[RUNTIME_API_RUNNING] = "Running",
	[RUNTIME_API_RESPONSE] = "InvocationResponse",
	[RUNTIME_API_ERROR_RESPONSE] = "InvocationErrorResponse",
	[RUNTIME_API_RESPONSE_SENT] = "ResponseSent",
};

#define TO(state) (1U << RUNTIME_API_##state)
static const uint32_t successors[_RUNTIME_API_STATES] = {
	[RUNTIME_API_STARTED] = TO(READY) | TO(INIT_ERROR) | TO(RESTORE_READY) | TO(RESTORE_ERROR),
	[RUNTIME_API_INIT_ERROR] = 0,
	[RUNTIME_API_RESTORE_READY] = TO(RESTORE_READY) | TO(STARTED),
	[RUNTIME_API_RESTORE_ERROR] = 0,
	[RUNTIME_API_READY] = TO(READY) | TO(RUNNING),
	[RUNTIME_API_RUNNING] = TO(RESPONSE) | TO(ERROR_RESPONSE),
	[RUNTIME_API_RESPONSE] = TO(RESPONSE_SENT),
	[RUNTIME_API_ERROR_RESPONSE] = TO(RESPONSE_SENT),
	[RUNTIME_API_RESPONSE_SENT] = TO(READY),
};
#undef TO

static const struct state_table table = {
	.noun = "runtime",
	.names = state_names,
	.successors = successors,
	.count = _RUNTIME_API_STATES,
};

const char *runtime_api_state_name(enum runtime_api_state state)
{
	return state_name(&table, state);
}

bool runtime_api_may(enum runtime_api_state from, enum runtime_api_state to)
{
	return state_may_follow(&table, from, to);
}

static int base64_value(uint8_t c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

void runtime_api_decode_base64(struct slice text, struct buf *ret)
{
	uint32_t bits = 0;
	unsigned count = 0;

	for (size_t i = 0; i < text.len; i++) {
		int value = base64_value(text.data[i]);
		if (value < 0)
			return;
		bits = bits << 6 | (uint32_t)value;
		count += 6;
		if (count < 8)
			continue;
		count -= 8;
		uint8_t byte = (uint8_t)(bits >> count);
		if (buf_append(ret, &byte, 1) < 0)
			return;
	}
}

static char *without_causes(const struct buf *body)
{
	json_t *object = json_loadb((const char *)body->data, body->len, 0, NULL);

	if (!json_is_object(object)) {
		json_decref(object);
		return NULL;
	}
	(void)json_object_del(object, "causes");
	(void)json_object_del(object, "working_directory");
	(void)json_object_del(object, "exceptions");
	(void)json_object_del(object, "paths");
	char *text = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	return text;
}

void runtime_api_strip_cause(struct slice content_type, struct buf *body, struct buf *ret)
{
	bool cause =
		slice_equals_string(content_type, "application/vnd.aws.lambda.error.cause+json");
	_cleanup_free_ char *text = cause && body->len > 0 ? without_causes(body) : NULL;

	if (text && buf_append_string(ret, text) == 0)
		return;
	*ret = *body;
	*body = BUF_INIT;
}
