/* SPDX-License-Identifier: Apache-2.0 */

#include "outcome.h"

#include <ctype.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>

void outcome_clear(struct outcome *outcome)
{
	buf_free(&outcome->body);
	*outcome = OUTCOME_OK;
}

static bool type_is_known(const char *type)
{
	const char *dot = strchr(type, '.');

	if (!dot || !isupper((unsigned char)dot[1]) || !dot[2])
		return false;
	for (const char *p = dot + 1; *p; p++)
		if (!isalpha((unsigned char)*p))
			return false;
	size_t prefix = (size_t)(dot - type);
	return (prefix == 7 && strncmp(type, "Runtime", 7) == 0) ||
	       (prefix == 8 && strncmp(type, "Function", 8) == 0);
}

void outcome_normalise_type(struct slice type, char out[OUTCOME_TYPE_BYTES])
{
	size_t len = type.len < OUTCOME_TYPE_BYTES ? type.len : OUTCOME_TYPE_BYTES - 1;

	if (len > 0)
		memcpy(out, type.data, len);
	out[len] = '\0';
	if (type.len < OUTCOME_TYPE_BYTES && strlen(out) == type.len && type_is_known(out))
		return;
	bool function = strncmp(out, "Function.", 9) == 0;
	(void)snprintf(out, OUTCOME_TYPE_BYTES, "%s",
		       function ? "Function.Unknown" : "Runtime.Unknown");
}

void outcome_set_reported(struct outcome *outcome, struct slice type, struct slice body)
{
	outcome_clear(outcome);
	outcome->status = STATUS(FUNCTION_ERROR);
	outcome_normalise_type(type, outcome->type);
	/* Without memory for it the body is lost, the failure is not. */
	if (buf_append(&outcome->body, body.data, body.len) < 0)
		buf_free(&outcome->body);
}

static void set_body(struct outcome *outcome, const char *first_key, const char *first,
		     const char *second_key, const char *second)
{
	json_t *object = json_pack("{s:s, s:s}", first_key, first, second_key, second);
	_cleanup_free_ char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

	json_decref(object);
	if (!text || buf_append_string(&outcome->body, text) < 0)
		buf_free(&outcome->body);
}

void outcome_set_platform(struct outcome *outcome, outcome_status status, const char *type,
			  const char *request_id, const char *format, ...)
{
	char text[1024];
	char message[1200];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (request_id && *request_id)
		(void)snprintf(message, sizeof(message), "RequestId: %.64s Error: %s", request_id,
			       text);
	else
		(void)snprintf(message, sizeof(message), "Error: %s", text);

	outcome_clear(outcome);
	outcome->status = status;
	(void)snprintf(outcome->type, sizeof(outcome->type), "%s", type);
	set_body(outcome, "errorType", type, "errorMessage", message);
}

void outcome_set_timeout(struct outcome *outcome, const char *request_id, unsigned timeout_ms)
{
	outcome_set_platform(outcome, STATUS(TIMEOUT), "Sandbox.Timedout", request_id,
			     "Task timed out after %u.%02u seconds", timeout_ms / 1000,
			     timeout_ms % 1000 / 10);
}

void outcome_set_too_large(struct outcome *outcome)
{
	char message[128];

	outcome_clear(outcome);
	outcome->status = STATUS(RESPONSE_TOO_LARGE);
	(void)snprintf(outcome->type, sizeof(outcome->type), "Function.ResponseSizeTooLarge");
	(void)snprintf(message, sizeof(message),
		       "Response payload size exceeded maximum allowed payload size (%u bytes).",
		       OUTCOME_LIMIT_BYTES);
	set_body(outcome, "errorMessage", message, "errorType", outcome->type);
}

/* Go's names of signals, which Lambda's messages use. */
static const char *signal_text(int number)
{
	static const struct {
		int number;
		const char *text;
	} names[] = {
		{ SIGABRT, "aborted" },
		{ SIGBUS, "bus error" },
		{ SIGFPE, "floating point exception" },
		{ SIGILL, "illegal instruction" },
		{ SIGINT, "interrupt" },
		{ SIGKILL, "killed" },
		{ SIGPIPE, "broken pipe" },
		{ SIGQUIT, "quit" },
		{ SIGSEGV, "segmentation fault" },
		{ SIGTERM, "terminated" },
		{ SIGTRAP, "trace/breakpoint trap" },
		{ SIGXCPU, "CPU time limit exceeded" },
		{ SIGXFSZ, "file size limit exceeded" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].number == number)
			return names[i].text;
	return NULL;
}

void outcome_set_exit(struct outcome *outcome, const char *request_id, int wait_status,
		      bool out_of_memory)
{
	outcome_status status = out_of_memory ? STATUS(OUT_OF_MEMORY) : STATUS(EXIT);
	const char *type = "Runtime.ExitError";

	if (WIFSIGNALED(wait_status)) {
		const char *text = signal_text(WTERMSIG(wait_status));
		if (text)
			outcome_set_platform(outcome, status, type, request_id,
					     "Runtime exited with error: signal: %s", text);
		else
			outcome_set_platform(outcome, status, type, request_id,
					     "Runtime exited with error: signal: %d",
					     WTERMSIG(wait_status));
		return;
	}
	if (WEXITSTATUS(wait_status) == 0) {
		outcome_set_platform(outcome, status, type, request_id,
				     "Runtime exited without providing a reason");
		return;
	}
	outcome_set_platform(outcome, status, type, request_id,
			     "Runtime exited with error: exit status %d", WEXITSTATUS(wait_status));
}

outcome_message outcome_to_message(struct outcome *outcome)
{
	outcome_message message = MAYFLY__GUEST__V1__OUTCOME__INIT;

	message.status = outcome->status;
	message.error_type = outcome->type;
	message.error_body.data = outcome->body.data;
	message.error_body.len = outcome->body.len;
	return message;
}
