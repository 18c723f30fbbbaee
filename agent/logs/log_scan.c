/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/logs/log_scan.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define WINDOW_BYTES (128U << 10) /* grows to what the longest record needs */

void log_scanner_clear(struct log_scanner *scanner)
{
	free(scanner->window);
	*scanner = (struct log_scanner){ 0 };
}

static int window_grow(struct log_scanner *scanner)
{
	size_t capacity = scanner->capacity ? 2 * scanner->capacity : WINDOW_BYTES;
	uint8_t *window = realloc(scanner->window, capacity);

	if (!window)
		return -ENOMEM;
	scanner->window = window;
	scanner->capacity = capacity;
	return 0;
}

/* Reads on behind the first `*len` bytes of the window, up to `want` in all; fewer at the end of
 * the file. Not mapped: a failed append is cut off again, which would pull the pages from under us.
 */
static int window_fill(struct log_scanner *scanner, int fd, uint64_t offset, size_t want,
		       size_t *len)
{
	ssize_t n;

	while (*len < want &&
	       (n = pread(fd, scanner->window + *len, want - *len, (off_t)(offset + *len))) != 0) {
		if (n < 0 && errno != EINTR)
			return -errno;
		*len += n > 0 ? (size_t)n : 0;
		scanner->read_bytes += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* Hands out what is whole in the window. */
static int window_parse(const struct log_scanner *scanner, size_t len, uint64_t offset,
			log_scan_fn *fn, void *arg, size_t *ret_used, bool *ret_torn)
{
	struct log_record record;
	size_t consumed;
	size_t used = 0;
	int parsed, r;

	while ((parsed = log_record_parse(slice_new(scanner->window + used, len - used), &record,
					  &consumed)) > 0) {
		r = fn(&record, offset + used, consumed, arg);
		if (r < 0)
			return r;
		used += consumed;
	}
	*ret_used = used;
	*ret_torn = parsed < 0;
	return 0;
}

int log_scan(struct log_scanner *scanner, int fd, uint64_t from, uint64_t to, log_scan_fn *fn,
	     void *arg)
{
	size_t len = 0; /* of what the window holds, from `from` on */
	size_t used = 0;
	bool torn = false;
	int r = scanner->window ? 0 : window_grow(scanner);

	while (r == 0 && from < to) {
		size_t want = to - from < scanner->capacity ? to - from : scanner->capacity;

		r = window_fill(scanner, fd, from, want, &len);
		if (r == 0)
			r = window_parse(scanner, len, from, fn, arg, &used, &torn);
		if (r < 0 || torn || len < want || from + len == to)
			return r;
		if (used == 0)
			r = window_grow(scanner);
		memmove(scanner->window, scanner->window + used, len - used);
		from += used;
		len -= used;
	}
	return r;
}
