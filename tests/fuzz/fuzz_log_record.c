/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_logs mayfly_functions mayfly_core mayfly_base

/* A log file as a crash, a disk or a stranger left it. What parses must be written the same again,
 * and the index of the file, made in two steps, must know of just that. */

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/logs/log_index.h"
#include "mayfly/fs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Blocks lie one behind the other up to where the records end. */
static void check_blocks(const struct log_part *part, size_t end)
{
	size_t next = 0;

	for (size_t i = 0; i < part->count; i++) {
		const struct log_block *block = &part->blocks[i];

		if (block->offset != next || block->bytes == 0 ||
		    log_place_compare(block->earliest, block->latest) > 0)
			abort();
		next += block->bytes;
	}
	if (next != end || part->end != end)
		abort();
}

static void check_index(const uint8_t *data, size_t size, size_t end)
{
	_cleanup_(log_scanner_clear) struct log_scanner scanner = { 0 };
	_cleanup_(log_index_clear) struct log_index index = { .max_bytes = 1 };
	_cleanup_close_ int fd = memfd_create("log", MFD_CLOEXEC);
	struct log_part *part = log_index_add(&index, "s~000000");

	if (fd < 0 || !part)
		abort();
	for (size_t step = 0; step < 2; step++) {
		size_t from = step * (size / 2);

		if (fs_write_all(fd, data + from, (step ? size : size / 2) - from) < 0 ||
		    log_index_update(&index, part, &scanner, fd) < 0)
			abort();
	}
	check_blocks(part, end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_new(data, size);
	struct log_record record;
	size_t consumed;

	while (log_record_parse(in, &record, &consumed) > 0) {
		_cleanup_buf_ struct buf again = BUF_INIT;

		if (consumed > in.len || log_record_append(&again, &record) < 0 ||
		    again.len != consumed || memcmp(again.data, in.data, consumed) != 0)
			abort();
		in = slice_new(in.data + consumed, in.len - consumed);
	}
	check_index(data, size, size - in.len);
	return 0;
}
