/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of this room share. Loop thread, but for what jobs carry. */

#include <uthash.h>

#include "agent/account/account.h"
#include "agent/core/lane.h"

/* Tenant, function and version of a row, whose rest is zero in keys. */
#define ACCOUNT_KEY_BYTES (offsetof(struct ledger_row, version) + LEDGER_VERSION_BYTES)

/* What was recorded of one version of a function since the start. */
struct account_counter {
	struct ledger_row row; /* its texts are the key */
	UT_hash_handle hh;
};

/* A batch on its way to the disk. */
struct account_commit {
	struct lane_job job;
	struct ledger_record *first; /* NULL: none is under way; its entries are owned */
	struct ledger_record *last;
	int result;
	struct error error;
	bool wal_is_long;
	uint64_t last_sequence;
};

/* Retention and checkpoints. */
struct account_upkeep {
	struct timer timer;
	struct lane_job trim;
	int64_t before_us;
	unsigned deleted;
	uint64_t trimmed;
	int trim_result;
	struct error trim_error;
	struct lane_job checkpoint;
	bool checkpointing;
	int checkpoint_result;
	struct error checkpoint_error;
};

struct account {
	struct account_config config;
	struct loop *loop;
	struct lane writing;
	struct lane reading;
	struct lane checkpoints;

	struct ledger_record *first; /* gathered for the next commit; entries are owned */
	struct ledger_record *last;
	struct account_commit commit;
	struct error failure; /* of the last commit; ERROR_NONE: it succeeded */
	struct timer tick;    /* while something waits: retries, and answers that wait too long */
	bool ticking;

	struct account_counter *counters;
	uint64_t counted;
	uint64_t start_sequence; /* the newest record of the former lives */
	uint64_t last_sequence;  /* that the counters know of */
	uint64_t trimmed;

	account_listener *listener;
	void *listener_arg;
	loop_fn *flushed;
	void *flushed_arg;
	struct account_upkeep upkeep;
};

/* upkeep.c */
int account_start_upkeep(struct account *account) _must_use_;
void account_stop_upkeep(struct account *account);
/* The log of what was committed grew long. */
void account_checkpoint(struct account *account);
