/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Logging: one line, at one place, by the owner of what happened. Goes to stderr as
 * "<6>text" style lines unless a sink is set (the agent sets one that writes to the
 * journal). Any thread. */

#include "mayfly/cleanup.h"

/* Priorities are syslog's: LOG_ERR 3, LOG_WARNING 4, LOG_NOTICE 5, LOG_INFO 6, LOG_DEBUG 7. */
#include <syslog.h>

/* Structured fields beside the text; NULL where unknown. */
struct log_fields {
	const char *tenant;
	const char *function;
	const char *request_id;
	const char *sandbox;
	/* Of the audit log's lines. */
	const char *principal;
	const char *access_key_id;
	const char *method;
	const char *peer;
	const char *result;
};

typedef void log_sink(int priority, const struct log_fields *fields, const char *text, void *user);

/* `sink` NULL restores stderr. To be called before other threads start. */
void log_set_sink(log_sink *sink, void *user);

/* Messages of a higher number are dropped; LOG_INFO at start. */
void log_set_max_priority(int priority);

void log_write(int priority, const struct log_fields *fields, const char *format, ...)
	_printf_(3, 4);

#define log_error(...)   log_write(LOG_ERR, NULL, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, NULL, __VA_ARGS__)
#define log_notice(...)  log_write(LOG_NOTICE, NULL, __VA_ARGS__)
#define log_info(...)    log_write(LOG_INFO, NULL, __VA_ARGS__)
#define log_debug(...)   log_write(LOG_DEBUG, NULL, __VA_ARGS__)
