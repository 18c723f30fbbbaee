/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_store mayfly_core mayfly_base

/* A half of the usage journal as a crash or a disk left it. What is read must be records that a
 * journal takes, and ends within the bytes. */

#include <stdlib.h>
#include <string.h>

#include "agent/store/ledger_journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int check(const struct ledger_record *record, void *arg)
{
	size_t *count = arg;

	if (!memchr(record->request_id, 0, sizeof(record->request_id)) ||
	    !memchr(record->tenant, 0, sizeof(record->tenant)) ||
	    !memchr(record->function, 0, sizeof(record->function)) ||
	    !memchr(record->version, 0, sizeof(record->version)) ||
	    record->start > LEDGER_START_BOOT || record->result > LEDGER_SANDBOX_FAILURE)
		abort();
	++*count;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t filling;
	size_t count = 0;
	ssize_t end = ledger_journal_scan(slice_new(data, size), check, &count, &filling);

	if (end < 0 || (size_t)end > size || (end == 0) != (count == 0) ||
	    (count > 0) != (filling != 0))
		abort();
	return 0;
}
