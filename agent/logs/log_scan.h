/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Goes through the records of an open part file, with a window of bounded size. Any thread, one at
 * a time for each scanner. */

#include <stdint.h>

#include "agent/logs/log_record.h"

/* Zero-initialised is new. */
struct log_scanner {
	uint8_t *window;
	size_t capacity;
	uint64_t read_bytes; /* counts up; a measure of what reading costs */
};

void log_scanner_clear(struct log_scanner *scanner);

/* Gets each whole record in order of writing, with where it begins and its bytes in the file. What
 * it returns below 0 ends the scan. */
typedef int log_scan_fn(const struct log_record *record, uint64_t offset, size_t bytes, void *arg);

/* The records that begin at `from` and end at `to` at the latest. Whatever does not parse is the
 * torn end and ends the scan too. 0 or a negative errno. */
int log_scan(struct log_scanner *scanner, int fd, uint64_t from, uint64_t to, log_scan_fn *fn,
	     void *arg) _must_use_;
