/* SPDX-License-Identifier: Apache-2.0 */

#include "mayfly/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

static log_sink *current_sink;
static void *current_user;
static atomic_int max_priority = LOG_INFO;

/* One write per line, so that lines of several threads do not mix. The "<6>" prefix is
 * sd-daemon(3)'s, understood by the journal when it captures stderr. */
static void write_stderr(int priority, const struct log_fields *fields, const char *text)
{
	char line[4096];
	int n = snprintf(line, sizeof(line), "<%d>%s%s%s%s%s\n", priority, text,
			 fields && fields->sandbox ? " sandbox=" : "",
			 fields && fields->sandbox ? fields->sandbox : "",
			 fields && fields->request_id ? " request=" : "",
			 fields && fields->request_id ? fields->request_id : "");
	if (n <= 0)
		return;
	size_t len = (size_t)n;
	if (len >= sizeof(line)) {
		len = sizeof(line) - 1;
		line[len - 1] = '\n';
	}
	/* Nobody is left to tell when stderr itself fails. */
	(void)!write(STDERR_FILENO, line, len);
}

void log_set_sink(log_sink *sink, void *user)
{
	current_sink = sink;
	current_user = user;
}

void log_set_max_priority(int priority)
{
	atomic_store(&max_priority, priority);
}

void log_write(int priority, const struct log_fields *fields, const char *format, ...)
{
	if (priority > atomic_load_explicit(&max_priority, memory_order_relaxed))
		return;

	char text[3072];
	va_list ap;
	va_start(ap, format);
	int n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (n < 0)
		return;
	/* A newline would let quoted outside text forge a log line. */
	for (char *p = text; *p; p++)
		if (*p == '\n' || *p == '\r')
			*p = ' ';

	if (current_sink)
		current_sink(priority, fields, text, current_user);
	else
		write_stderr(priority, fields, text);
}
