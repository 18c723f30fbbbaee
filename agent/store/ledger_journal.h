/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where a record waits for its transaction, so that no answer has to: a file of fixed size, filled
 * and forgotten again with every commit. A record that was put is there after the end of this
 * process, however it came; not after the loss of power.
 *
 * Two halves take turns: while the records of one are committed, the next go to the other. The
 * order is put(), turn() as a commit of all that was put begins, clear() when it succeeded. A
 * commit that failed is begun again, with what came since.
 *
 * An entry, in the byte order of the machine: 4 bytes length of the message, 4 bytes zero, 8 bytes
 * the filling it belongs to (drawn anew each time that a half is begun, so that what an earlier
 * one left behind it is not read), 8 bytes of SHA-256 over all before them and the message, then a
 * StoredUsage (proto/mayfly/store/v1/usage.proto). The first that does not fit ends the half.
 *
 * One thread at a time. Calls write to the page cache, never to a disk. */

#include "agent/store/ledger.h"
#include "mayfly/buf.h"

#define LEDGER_JOURNAL_HALF_BYTES (2U << 20)

struct ledger_journal;

/* Opens or makes the file PATH (its folder exists), whole, so that a disk that is full later takes
 * nothing from it; and tells of the records in it, which may be in the ledger already. A negative
 * result of `fn` ends it and is returned. Refused with an error: a file that is not ours. */
int ledger_journal_open(const char *path, ledger_record_fn *fn, void *arg,
			struct ledger_journal **ret, struct error *error) _must_use_;
/* What it holds stays. Copes with NULL. */
struct ledger_journal *ledger_journal_close(struct ledger_journal *journal);
DEFINE_CLEANUP(struct ledger_journal, ledger_journal_close)

/* 0: there. -ENOSPC: the half is full; other negative errnos are the file's. Then it is not there,
 * and the answer has to wait for the commit. */
int ledger_journal_put(struct ledger_journal *journal,
		       const struct ledger_record *record) _must_use_;
void ledger_journal_turn(struct ledger_journal *journal);
/* `all`: nothing was put since that commit began. */
int ledger_journal_clear(struct ledger_journal *journal, bool all) _must_use_;

/* The records of one half, from its bytes. Returns where they end, or what `fn` returned. */
ssize_t ledger_journal_scan(struct slice half, ledger_record_fn *fn, void *arg,
			    uint64_t *ret_filling) _must_use_;
