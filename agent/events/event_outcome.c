/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/events/event_outcome.h"

#include <errno.h>
#include <jansson.h>

#include "mayfly/clock.h"
#include "mayfly/utf8.h"

#define EMPTY_EVENT "{}" /* as a function sees an event of no bytes */

DEFINE_CLEANUP(json_t, json_decref)

/* By the rules that events are taken by: 1, 0 or -ENOMEM. */
static int is_json(struct slice text)
{
	json_error_t where;
	json_t *json =
		json_loadb((const char *)text.data, text.len,
			   JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &where);
	enum json_error_code code = json ? json_error_unknown : json_error_code(&where);
	bool good = json || code == json_error_numeric_overflow;

	json_decref(json);
	return code == json_error_out_of_memory ? -ENOMEM : good;
}

static int append_string(struct buf *to, const char *text, size_t len)
{
	_cleanup_(json_decref_p) json_t *string = json_stringn(text, len);
	_cleanup_free_ char *encoded = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;

	return encoded ? buf_append_string(to, encoded) : -ENOMEM;
}

/* Custom runtimes may answer with anything. */
static int append_value(struct buf *to, struct slice value)
{
	_cleanup_buf_ struct buf clean = BUF_INIT;
	int r = is_json(value);

	if (r > 0)
		return buf_append(to, value.data, value.len);
	if (r == 0)
		r = utf8_append_clean(&clean, value);
	return r < 0 ? r : append_string(to, buf_string(&clean), clean.len);
}

static int append_member(struct buf *to, const char *name, const char *text)
{
	int r = buf_append_format(to, "\"%s\":", name);

	return r < 0 ? r : append_string(to, text, strlen(text));
}

static int append_context(struct buf *to, const struct event_outcome_facts *facts)
{
	char time[CLOCK_ISO8601_BYTES];
	int r;

	clock_format_iso8601(facts->now_us, time);
	r = buf_append_format(to,
			      "{\"version\":\"1.0\",\"timestamp\":\"%s\",\"requestContext\":{"
			      "\"requestId\":\"%s\",",
			      time, facts->record->request_id);
	if (r == 0)
		r = append_member(to, "functionArn", facts->function_arn);
	if (r == 0)
		r = buf_append_format(to, ",\"condition\":\"%s\",\"approximateInvokeCount\":%u}",
				      facts->condition, facts->invoke_count);
	return r;
}

static int append_response_context(struct buf *to, const struct event_outcome_facts *facts)
{
	int r = buf_append_format(to, ",\"responseContext\":{\"statusCode\":%u,",
				  facts->status_code);

	if (r == 0)
		r = append_member(to, "executedVersion", facts->executed_version);
	if (r == 0 && facts->function_error[0])
		r = buf_append_string(to, ",");
	if (r == 0 && facts->function_error[0])
		r = append_member(to, "functionError", facts->function_error);
	return r < 0 ? r : buf_append_string(to, "}");
}

static int append_response_payload(struct buf *to, struct slice payload)
{
	int r = buf_append_string(to, ",\"responsePayload\":");

	return r < 0 ? r : append_value(to, payload);
}

/* As if it had not been there, when it is too large. */
static int append_response_payload_that_fits(struct buf *to, struct slice payload)
{
	size_t before = to->len, max = EVENT_OUTCOME_MAX_BYTES - 1; /* "}" */
	int r;

	if (before > max || payload.len > max - before)
		return 0;
	to->max = max;
	r = append_response_payload(to, payload);
	to->max = 0;
	if (r != -EMSGSIZE)
		return r;
	to->len = before;
	return 0;
}

uint64_t event_outcome_max_bytes(uint64_t event_bytes)
{
	uint64_t framed = event_bytes + EVENT_OUTCOME_FRAME_BYTES;

	return framed > EVENT_OUTCOME_MAX_BYTES ? framed : EVENT_OUTCOME_MAX_BYTES;
}

int event_outcome_write(const struct event_outcome_facts *facts, struct buf *ret,
			uint64_t *ret_event_at, uint64_t *ret_event_bytes)
{
	struct slice event = facts->event.len > 0 ? facts->event : slice_from_string(EMPTY_EVENT);
	int r = append_context(ret, facts);

	if (r == 0)
		r = buf_append_string(ret, ",\"requestPayload\":");
	*ret_event_at = ret->len;
	*ret_event_bytes = event.len;
	if (r == 0)
		r = buf_append(ret, event.data, event.len);
	if (r == 0 && facts->has_response)
		r = append_response_context(ret, facts);
	if (r == 0 && facts->has_response)
		r = append_response_payload_that_fits(ret, facts->response);
	return r < 0 ? r : buf_append_string(ret, "}");
}

static size_t clip(const char *text, size_t len)
{
	if (len <= EVENT_ERROR_MESSAGE_MAX)
		return len;
	len = EVENT_ERROR_MESSAGE_MAX;
	while (len > 0 && ((unsigned char)text[len] & 0xC0) == 0x80)
		len--;
	return len;
}

int event_outcome_write_error(const struct event_outcome_facts *facts, struct buf *ret)
{
	json_error_t where;
	_cleanup_(json_decref_p) json_t *answer =
		facts->has_response ? json_loadb((const char *)facts->response.data,
						 facts->response.len, 0, &where)
				    : NULL;
	const char *message = json_string_value(json_object_get(answer, "errorMessage"));

	if (facts->has_response && !answer && json_error_code(&where) == json_error_out_of_memory)
		return -ENOMEM;
	if (!message)
		message = facts->condition;
	return buf_append(ret, message, clip(message, strlen(message)));
}
