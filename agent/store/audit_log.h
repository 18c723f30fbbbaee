/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Who did what, appended to a file of its own and read again. Every call blocks: in jobs of one
 * lane, or before the loop runs. */

#include <stddef.h>
#include <stdint.h>

#include "mayfly/cleanup.h"
#include "mayfly/error.h"

struct audit_log;

/* Opens or makes the file. Refused: one that is damaged or not ours. */
int audit_log_open(const char *path, struct audit_log **ret, struct error *error) _must_use_;
struct audit_log *audit_log_close(struct audit_log *log);
DEFINE_CLEANUP(struct audit_log, audit_log_close)

/* Whose room in the file a record takes, so that nobody's records push out another's. */
#define AUDIT_SHARE_OPERATORS "operators"
#define AUDIT_SHARE_UNKNOWN   "unknown" /* callers */

/* No text is NULL. */
struct audit_record {
	int64_t id;      /* grows; given by the log */
	int64_t time_us; /* realtime */
	const char *principal;
	const char *access_key_id; /* "" for operators */
	const char *tenant;        /* "" when it is about none */
	const char *method;        /* "package.Service/Method" */
	const char *resource;
	const char *peer;
	const char *result; /* "OK" or the name of the error */
	const char *message;
	const char *share; /* not empty; not given back by queries */
};

/* All of them or none. Then the oldest go: from before `oldest_us`; and beyond `max_records`, each
 * time of the share that has the most, so that one which has less than an equal part loses none. A
 * quarter is the operators' before it counts. */
int audit_log_append(struct audit_log *log, const struct audit_record *records, size_t count,
		     uint64_t max_records, int64_t oldest_us, struct error *error) _must_use_;

/* In order of id, at most `limit`; borrowed during fn. */
struct audit_filter {
	const char *tenant; /* "": all */
	int64_t start_us;   /* inclusive */
	int64_t end_us;     /* exclusive */
	int64_t after_id;
	size_t limit;
};
typedef void audit_record_fn(const struct audit_record *record, void *arg);
int audit_log_query(struct audit_log *log, const struct audit_filter *filter, audit_record_fn *fn,
		    void *arg, struct error *error) _must_use_;
