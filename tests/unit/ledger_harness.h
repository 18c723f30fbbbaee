/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For tests of the ledger and of who keeps it: one in a folder of its own, and records. After
 * <cmocka.h>. */

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/resource.h>

#include "agent/store/ledger.h"
#include "mayfly/fs.h"

#define TENANT  "123456789012"
#define NOON_US (20000LL * 24 * LEDGER_HOUR_US + 12 * LEDGER_HOUR_US)

struct ledger_place {
	char folder[64];
	char path[96];
	struct ledger *ledger;
};

static inline void ledger_reopen(struct ledger_place *place)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	place->ledger = ledger_close(place->ledger);
	if (ledger_open(place->path, false, &place->ledger, &error) < 0)
		fail_msg("%s", error_text(&error));
}

static inline void ledger_make(struct ledger_place *place)
{
	*place = (struct ledger_place){ 0 };
	(void)snprintf(place->folder, sizeof(place->folder), "/tmp/mayfly-ledger-XXXXXX");
	assert_non_null(mkdtemp(place->folder));
	(void)snprintf(place->path, sizeof(place->path), "%s/ledger.db", place->folder);
	ledger_reopen(place);
}

static inline void ledger_unmake(struct ledger_place *place)
{
	place->ledger = ledger_close(place->ledger);
	assert_int_equal(fs_remove_tree(place->folder), 0);
}

/* Its request id is made of `number`. */
static inline struct ledger_record ledger_sample(unsigned number, const char *function,
						 int64_t started_us)
{
	struct ledger_record record = { .tenant = TENANT,
					.version = "$LATEST",
					.started_us = started_us,
					.duration_us = 1500,
					.init_us = -1,
					.restore_us = -1,
					.billed_restore_ms = -1,
					.billed_ms = 2,
					.memory_mb = 128,
					.max_memory_mb = 36,
					.event_bytes = 10,
					.answer_bytes = 20,
					.storage_mb = LEDGER_STORAGE_FREE_MB };

	(void)snprintf(record.function, sizeof(record.function), "%s", function);
	(void)snprintf(record.request_id, sizeof(record.request_id),
		       "%08x-0000-4000-8000-000000000000", number);
	return record;
}

/* Runs SQL on the file beside the ledger. */
static inline void ledger_alter(const struct ledger_place *place, const char *sql)
{
	sqlite3 *connection;

	assert_int_equal(sqlite3_open(place->path, &connection), SQLITE_OK);
	assert_int_equal(sqlite3_exec(connection, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(connection), SQLITE_OK);
}

/* A full disk: no file of this process grows beyond `bytes`; 0: as before. */
static inline void ledger_limit_files(rlim_t bytes)
{
	struct rlimit limit;

	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes ? bytes : limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}
