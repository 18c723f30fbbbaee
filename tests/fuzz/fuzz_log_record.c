/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_logs mayfly_functions mayfly_core mayfly_base

/* A log file as a crash, a disk or a stranger left it. What parses must be written the same again.
 */

#include <stdlib.h>

#include "agent/logs/log_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
	return 0;
}
