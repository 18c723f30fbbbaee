/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A QEMU monitor on its own unix socket, driven from the loop: commands are pipelined, each
 * answer reaches the one who asked. QEMU may be in a hostile guest's hands: lines are bounded,
 * unknown ones ignored, malformed ones end the connection. Loop thread. */

#include <jansson.h>

#include "agent/core/loop.h"
#include "mayfly/buf.h"

#define QMP_LINE_BYTES (256U << 10)

struct qmp;

struct qmp_events {
	/* `data` is an object or NULL; borrowed. */
	void (*on_event)(const char *event, const json_t *data, void *user);
	/* Nothing follows. Commands without an answer were answered with an error before. */
	void (*on_closed)(const char *reason, void *user);
};

/* `error` is NULL on success, else QEMU's text. Borrowed. */
typedef void qmp_reply_fn(const json_t *result, const char *error, void *arg);

/* Takes the connected, non-blocking socket in any case. qmp_capabilities is sent by itself. */
int qmp_new(struct loop *loop, int fd, const struct qmp_events *events, void *user,
	    struct qmp **ret) _must_use_;
/* No callback follows. */
struct qmp *qmp_free(struct qmp *qmp);

/* Steals `arguments` (may be NULL). `send_fd` (-1: none) is duplicated. `reply` may be NULL. */
int qmp_execute(struct qmp *qmp, const char *command, json_t *arguments, int send_fd,
		qmp_reply_fn *reply, void *arg) _must_use_;

/* One line of the protocol, apart from any connection. */
enum qmp_kind { QMP_GREETING, QMP_REPLY, QMP_ERROR, QMP_EVENT, QMP_OTHER };
struct qmp_line {
	enum qmp_kind kind;
	json_t *root;       /* owned */
	const char *text;   /* event's name or error's text; borrowed from root */
	const json_t *data; /* result or event's data; borrowed from root, may be NULL */
	uint64_t id;        /* of a reply or error */
};
/* 0 or -EBADMSG. */
int qmp_line_parse(struct slice line, struct qmp_line *ret) _must_use_;
void qmp_line_clear(struct qmp_line *line);
