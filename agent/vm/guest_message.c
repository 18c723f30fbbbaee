/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "agent/vm/channel.h"
#include "mayfly/utf8.h"

#define TEXT_BYTES  1024U
#define FATAL_BYTES 8192U
#define UUID_LEN    36U

typedef Mayfly__Guest__V1__GuestMessage guest_message;

/* Valid UTF-8 of at most `max` bytes without control characters but newline and tab. */
static bool text_is_good(const char *text, size_t max)
{
	const uint8_t *s = (const uint8_t *)text;
	size_t len = strlen(text);
	size_t n;

	if (len > max)
		return false;
	for (size_t at = 0; at < len; at += n) {
		if ((s[at] < 0x20 && s[at] != '\n' && s[at] != '\t') || s[at] == 0x7f)
			return false;
		n = utf8_sequence_length(s + at, len - at);
		if (!n)
			return false;
	}
	return true;
}

/* An identifier that the agent gave: it is compared there, but must look like one here. */
static bool request_id_is_good(const char *text)
{
	return strlen(text) == UUID_LEN && strspn(text, "0123456789abcdef-") == UUID_LEN;
}

static bool outcome_is_good(const Mayfly__Guest__V1__Outcome *outcome)
{
	return outcome && outcome->status > MAYFLY__GUEST__V1__STATUS__STATUS_UNSPECIFIED &&
	       outcome->status <= MAYFLY__GUEST__V1__STATUS__STATUS_GUEST_FAILURE &&
	       text_is_good(outcome->error_type, TEXT_BYTES);
}

static bool logs_are_good(const Mayfly__Guest__V1__LogRecords *logs)
{
	for (size_t i = 0; i < logs->n_records; i++) {
		const Mayfly__Guest__V1__LogRecord *record = logs->records[i];

		if (record->source <= MAYFLY__GUEST__V1__LOG_SOURCE__LOG_SOURCE_UNSPECIFIED ||
		    record->source > MAYFLY__GUEST__V1__LOG_SOURCE__LOG_SOURCE_TELEMETRY)
			return false;
	}
	return true;
}

static bool bytecode_is_good(const Mayfly__Guest__V1__Compiled *compiled)
{
	for (size_t i = 0; i < compiled->n_bytecode; i++)
		if (!text_is_good(compiled->bytecode[i]->path, TEXT_BYTES))
			return false;
	return true;
}

static bool message_is_good(const guest_message *m)
{
	switch (m->kind_case) {
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_BOOTED:
		return text_is_good(m->booted->init_version, TEXT_BYTES) &&
		       text_is_good(m->booted->kernel_release, TEXT_BYTES);
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_PREPARED:
		return outcome_is_good(m->prepared->outcome) &&
		       text_is_good(m->prepared->runtime_version, TEXT_BYTES);
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_RESTORED:
		return outcome_is_good(m->restored->outcome) &&
		       m->restored->random_sample.len <= TEXT_BYTES;
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_COMPILED:
		return outcome_is_good(m->compiled->outcome) && bytecode_is_good(m->compiled);
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_INITIALIZED:
		return outcome_is_good(m->initialized->outcome);
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_WARMED:
		return outcome_is_good(m->warmed->outcome);
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_SNAPSHOT_READY:
		return outcome_is_good(m->snapshot_ready->outcome);
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_LOGS:
		return logs_are_good(m->logs);
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_RESPONSE_START:
		return request_id_is_good(m->response_start->request_id) &&
		       text_is_good(m->response_start->content_type, TEXT_BYTES);
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_RESPONSE_CHUNK:
		return request_id_is_good(m->response_chunk->request_id);
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_INVOCATION_DONE:
		return request_id_is_good(m->invocation_done->request_id) &&
		       outcome_is_good(m->invocation_done->outcome);
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_FATAL:
		return text_is_good(m->fatal->message, FATAL_BYTES);
	default:
		return false;
	}
}

int guest_message_parse(struct slice body, guest_message **ret)
{
	guest_message *message;

	message = mayfly__guest__v1__guest_message__unpack(NULL, body.len, body.data);
	if (!message)
		return -EBADMSG;
	if (!message_is_good(message)) {
		mayfly__guest__v1__guest_message__free_unpacked(message, NULL);
		return -EBADMSG;
	}
	*ret = message;
	return 0;
}
