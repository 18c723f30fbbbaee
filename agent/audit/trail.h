/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Who did what. A note is taken at once and written down a moment later; a crash may lose the last
 * of them. Loop thread. */

#include "agent/core/loop.h"
#include "agent/store/audit_log.h"

struct trail;

struct trail_config {
	const char *path;
	uint64_t max_records;
	int64_t keep_us;
	int64_t (*age_now_us)(void *arg); /* the time of that; NULL: clock_realtime_us() */
	void *age_now_arg;
};

/* Blocks: to be called before the loop runs. */
int trail_open(const struct trail_config *config, struct loop *loop, struct trail **ret,
	       struct error *error) _must_use_;

/* When no job is under way. Copes with NULL. */
struct trail *trail_close(struct trail *trail);
DEFINE_CLEANUP(struct trail, trail_close)

/* Copies; time and id are set here. Also a line in the agent's own log. */
void trail_note(struct trail *trail, const struct audit_record *record);

/* A copy that owns its texts. 0 or -ENOMEM; clearing copes with one that is all zero. */
int trail_copy_record(struct audit_record *to, const struct audit_record *from) _must_use_;
void trail_clear_record(struct audit_record *record);

/* The records, borrowed during the call; or an error. Once, later, from the loop. */
typedef void trail_answer_fn(const struct audit_record *records, size_t count,
			     const struct error *error, void *arg);

#define TRAIL_QUERY_MAX 1000

/* `filter` is copied; its tenant is borrowed until the answer, its limit at most TRAIL_QUERY_MAX.
 */
void trail_query(struct trail *trail, const struct audit_filter *filter, trail_answer_fn *answer,
		 void *arg);
