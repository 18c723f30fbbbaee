/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One record of a log file: 32-bit length of the text, 32-bit check over all that follows it, the
 * two times, the text; all little-endian. A file is records, one behind the other; whatever
 * does not parse is the torn end of a crash and is cut off. Any thread. */

#include <stdint.h>

#include "mayfly/buf.h"

#define LOG_RECORD_HEADER_BYTES   24
#define LOG_RECORD_TEXT_MAX_BYTES (1U << 20)

struct log_record {
	int64_t time_us;
	int64_t ingestion_us;
	struct slice text; /* borrowed */
};

/* Where an event stands in its group: by its time, then by its writing. No two stand at one place.
 */
struct log_place {
	int64_t time_us;
	int64_t ingestion_us;
};

struct log_place log_record_place(const struct log_record *record);

/* Below 0: `a` comes first. */
int log_place_compare(struct log_place a, struct log_place b);

/* Appends; 0, -ENOMEM, -EMSGSIZE. */
int log_record_append(struct buf *to, const struct log_record *record) _must_use_;

/* Parses the record at the start of `in`. 1 with *ret (text borrowed from `in`) and *ret_consumed;
 * 0 when `in` ends before it does; -EBADMSG when it is none. */
int log_record_parse(struct slice in, struct log_record *ret, size_t *ret_consumed) _must_use_;
