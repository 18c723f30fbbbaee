/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The rich error: what went wrong in words a person can act on. It is made once near the
 * cause, wrapped with context on the way up, and mapped to a gRPC status, a Lambda exception
 * and an exit code by the one table in lib/base/error.c (printed in docs/errors.md).
 *
 * Functions return 0 or a negative errno; those whose failure reaches a person also take a
 * `struct error *`, which may be NULL, and fill it on failure only. An error is owned by
 * whoever declared it: start with ERROR_INIT, end with error_clear() or _cleanup_error_. */

#include "mayfly/cleanup.h"

enum error_code {
	ERROR_NONE = 0,
	ERROR_INVALID_PARAMETER,       /* a field breaks a rule */
	ERROR_INVALID_REQUEST_CONTENT, /* the event is not JSON */
	ERROR_REQUEST_TOO_LARGE,
	ERROR_NOT_FOUND,
	ERROR_PROVISIONED_NOT_FOUND, /* no provisioned concurrency there */
	ERROR_CONFLICT,              /* exists already, or in a state that forbids it */
	ERROR_PRECONDITION_FAILED,   /* revision id differs */
	ERROR_CODE_STORAGE_EXCEEDED,
	ERROR_POLICY_LENGTH_EXCEEDED,
	ERROR_INVALID_ZIP,
	ERROR_TOO_MANY_REQUESTS,
	ERROR_RESOURCE_NOT_READY,
	ERROR_SNAPSTART_FAILED,
	ERROR_SNAPSTART_NOT_READY,
	ERROR_ACCESS_DENIED,
	ERROR_UNAUTHENTICATED,
	ERROR_UNIMPLEMENTED,
	ERROR_UNAVAILABLE, /* the node cannot now; try again */
	ERROR_DEADLINE_EXCEEDED,
	ERROR_CANCELLED,
	ERROR_INTERNAL,
	_ERROR_CODE_MAX,
};

struct error {
	enum error_code code;
	char *field;   /* owned; the input that broke the rule, or NULL */
	char *message; /* owned; one sentence, no newline */
	char *reason;  /* owned; which limit a throttled request met, or NULL */
	char *log;     /* owned; what logs say instead of a message that has what only the caller
			* may read, or NULL */
};

#define ERROR_INIT ((struct error){ 0 })

/* One row of the table. */
struct error_kind {
	const char *name; /* Lambda's exception, such as ResourceNotFoundException */
	int grpc_status;  /* google.rpc.Code */
	int http_status;
	const char *type; /* Lambda's Type: User or Service */
	int errno_value;  /* positive; what functions return negated */
	int exit_code;    /* of the command line */
	const char *help; /* when it happens, for docs/errors.md */
};

/* Never NULL; an unknown code gets the row of ERROR_INTERNAL. */
const struct error_kind *error_kind(enum error_code code) _pure_;

/* Finds a code by Lambda's exception name; ERROR_INTERNAL when unknown. */
enum error_code error_code_from_name(const char *name) _pure_;

/* Fills *e (if not NULL) and returns the code's negative errno. An error that is already set is
 * kept: the one nearest the cause wins. Arguments are formatted before anything is freed. */
int error_set(struct error *e, enum error_code code, const char *field, const char *format, ...)
	_printf_(4, 5);

/* error_set() with ERROR_INTERNAL and ": <strerror(errno_value)>" behind the text; returns
 * -abs(errno_value). For system calls that failed. */
int error_set_errno(struct error *e, int errno_value, const char *format, ...) _printf_(3, 4);

/* Names the limit that a throttled request met, in Lambda's words; nothing without an error. */
void error_set_reason(struct error *e, const char *reason);

/* What logs say of a set error, where its message has a secret or another's words; nothing without
 * an error. */
void error_set_log(struct error *e, const char *format, ...) _printf_(2, 3);

/* Puts "<context>: " before the message of a set error, and what logs say. */
void error_wrap(struct error *e, const char *format, ...) _printf_(2, 3);

/* Moves *from into *to, which is cleared first; *from becomes ERROR_INIT. */
void error_move(struct error *to, struct error *from);

/* Deep copy of a set or empty error into an empty one. Returns 0 or -ENOMEM. */
int error_copy(struct error *to, const struct error *from);

/* Message of a set error, or a constant text: for who asked. Borrowed until e changes. */
const char *error_text(const struct error *e);
/* The same for logs, which others read. */
const char *error_log_text(const struct error *e);

void error_clear(struct error *e);

#define _cleanup_error_ _cleanup_(error_clear)
