/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Calls that failed: of each caller some are noted in a minute, then how many more there were. Else
 * whoever is refused could fill the log as fast as the node answers. Loop thread. */

#include "agent/audit/trail.h"

#define FAILURES_NOTED_MAX   60   /* in a minute, of one caller */
#define FAILURES_CALLERS_MAX 4096 /* in a minute; further ones are only counted, together */

struct failed_caller;

/* Embedded; zero-initialised, with what is borrowed. */
struct failures {
	struct trail *trail;           /* borrowed */
	struct loop *loop;             /* borrowed; NULL: the rest of a minute is noted when
					* something fails in a later one */
	struct failed_caller *callers; /* owned; of this minute */
	size_t count;
	int64_t minute;
	uint64_t others; /* calls of callers beyond the maximum */
	struct timer timer;
};

/* As trail_note(), or counts it. A caller is the share and the principal. */
void failures_note(struct failures *failures, const struct audit_record *record);

/* Notes what was only counted. Before the trail is closed. */
void failures_end(struct failures *failures);
