/* SPDX-License-Identifier: Apache-2.0 */

/* What a usage record costs: 100,000 of 1,000 functions and 100 tenants within an hour, committed
 * in batches of 1 to 1,000, and one at a time through the account, as a warm invocation meets it.
 *
 * usage: mayfly-bench-ledger [FOLDER]     (default /var/tmp; the disk under it is part of the
 *        figures)
 *        mayfly-bench-ledger --year [FOLDER [RECORDS]]     (ledger_year.c; 10,000,000; needs 5 GB)
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "agent/account/account.h"
#include "mayfly/clock.h"
#include "mayfly/fs.h"
#include "tests/bench/ledger_year.h"

#define RECORDS        100000U
#define FUNCTIONS      1000U
#define TENANTS        100U
#define ALONE          20000U /* through the account */
#define HOUR_BEGINS_US (490000 * LEDGER_HOUR_US)

static void die(const char *doing, const struct error *error)
{
	(void)fprintf(stderr, "mayfly-bench-ledger: cannot %s: %s\n", doing, error_text(error));
	exit(1);
}

static int64_t cpu_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * USEC_PER_SEC + now.tv_nsec / 1000;
}

static void fill(struct ledger_record *record, unsigned i)
{
	unsigned function = i * 7919U % FUNCTIONS;

	*record = (struct ledger_record){
		.version = "$LATEST",
		.started_us = HOUR_BEGINS_US + (int64_t)i * (LEDGER_HOUR_US / RECORDS),
		.duration_us = 800 + i % 5000,
		.init_us = -1,
		.restore_us = -1,
		.billed_restore_ms = -1,
		.billed_ms = 1 + i % 6,
		.memory_mb = 128,
		.max_memory_mb = 36,
		.event_bytes = i % 1000,
		.answer_bytes = i % 2000,
	};
	uuid_generate(record->request_id);
	(void)snprintf(record->tenant, sizeof(record->tenant), "%012u", function % TENANTS);
	(void)snprintf(record->function, sizeof(record->function), "function-%u", function);
}

struct figures {
	int64_t cpu_us;
	int64_t wall_us;
	int64_t file_bytes;
};

static struct ledger *open_ledger(const char *folder, const char *name, bool full, char path[256])
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct ledger *ledger = NULL;

	(void)snprintf(path, 256, "%s/%s.db", folder, name);
	if (ledger_open(path, full, &ledger, &error) < 0)
		die("open the ledger", &error);
	return ledger;
}

/* As the account does it: a checkpoint when the log grew long. */
static void commit(struct ledger *ledger, struct ledger_record *records, unsigned count)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	bool wal_is_long = false;

	for (unsigned i = 0; i < count; i++)
		records[i].next = i + 1 < count ? &records[i + 1] : NULL;
	if (ledger_commit(ledger, records, &wal_is_long, &error) < 0)
		die("commit", &error);
	if (wal_is_long && ledger_checkpoint(ledger, &error) < 0)
		die("checkpoint", &error);
}

static struct figures measure(const char *folder, struct ledger_record *records, unsigned batch,
			      unsigned count, bool full)
{
	_cleanup_(ledger_close_p) struct ledger *ledger = NULL;
	struct figures figures;
	struct stat st = { 0 };
	char path[256], name[32];

	(void)snprintf(name, sizeof(name), "%u-%s", batch, full ? "full" : "normal");
	ledger = open_ledger(folder, name, full, path);
	figures.cpu_us = cpu_us();
	figures.wall_us = clock_monotonic_us();
	for (unsigned i = 0; i < count; i += batch)
		commit(ledger, records + i, batch < count - i ? batch : count - i);
	figures.cpu_us = cpu_us() - figures.cpu_us;
	figures.wall_us = clock_monotonic_us() - figures.wall_us;
	ledger = ledger_close(ledger);
	(void)stat(path, &st);
	figures.file_bytes = st.st_size;
	(void)printf(
		"%-8s batch %4u   %6.1f us CPU   %6.1f us wall   %8.0f records/s   %5.1f bytes on "
		"disk, per record\n",
		full ? "full" : "normal", batch, (double)figures.cpu_us / count,
		(double)figures.wall_us / count, count * 1e6 / (double)figures.wall_us,
		(double)figures.file_bytes / count);
	return figures;
}

/* -- one after the other, through loop and worker -- */

struct alone {
	struct loop *loop;
	struct account *account;
	struct ledger_record *records;
	int64_t *waits_us;
	unsigned next;
	int64_t since_us;
};

static void on_recorded(const struct error *error, void *arg);

static void record_next(struct alone *alone)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct account_entry *entry;

	if (alone->next == ALONE) {
		loop_exit(alone->loop, 0);
		return;
	}
	if (account_admit(alone->account, &entry, &error) < 0)
		die("admit", &error);
	entry->record = alone->records[alone->next];
	alone->since_us = clock_monotonic_us();
	account_record(alone->account, entry, on_recorded, alone);
}

static void on_recorded(const struct error *error, void *arg)
{
	struct alone *alone = arg;

	if (error)
		die("record", error);
	alone->waits_us[alone->next++] = clock_monotonic_us() - alone->since_us;
	record_next(alone);
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void measure_alone(const char *folder, struct ledger_record *records)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct alone alone = { .records = records,
			       .waits_us = calloc(ALONE, sizeof(*alone.waits_us)) };
	char path[256];
	char journal[300];
	struct account_config config = { .ledger = open_ledger(folder, "alone", false, path),
					 .journal_path = journal,
					 .journal_answers = true,
					 .answer_wait_us = USEC_PER_SEC,
					 .raw_keep_us = INT64_MAX / 2 };
	int64_t cpu;

	(void)snprintf(journal, sizeof(journal), "%s.journal", path);
	if (!alone.waits_us || loop_new(0, &alone.loop) < 0 ||
	    account_new(&config, alone.loop, &alone.account, &error) < 0)
		die("make the account", &error);
	record_next(&alone);
	cpu = cpu_us();
	(void)loop_run(alone.loop);
	cpu = cpu_us() - cpu;
	qsort(alone.waits_us, ALONE, sizeof(*alone.waits_us), compare);
	(void)printf(
		"one at a time through the account: p50 %lld us, p99 %lld us, p99.9 %lld us of "
		"waiting, %.1f us CPU per record\n",
		(long long)alone.waits_us[ALONE / 2], (long long)alone.waits_us[ALONE / 100 * 99],
		(long long)alone.waits_us[ALONE / 1000 * 999], (double)cpu / ALONE);
	loop_end_jobs(alone.loop);
	account_free(alone.account);
	ledger_close(config.ledger);
	loop_free(alone.loop);
	free(alone.waits_us);
}

static void measure_records(const char *folder)
{
	struct ledger_record *records = calloc(RECORDS, sizeof(*records));
	struct figures single, many;

	if (!records)
		die("begin", NULL);
	for (unsigned i = 0; i < RECORDS; i++)
		fill(&records[i], i);
	(void)printf("%u records of %u functions and %u tenants\n", RECORDS, FUNCTIONS, TENANTS);
	single = measure(folder, records, 1, RECORDS, false);
	(void)measure(folder, records, 10, RECORDS, false);
	many = measure(folder, records, 100, RECORDS, false);
	(void)measure(folder, records, 1000, RECORDS, false);
	(void)printf("a record in a batch of 100 takes 1/%.1f of the CPU of one alone\n",
		     (double)single.cpu_us / (double)many.cpu_us);
	(void)measure(folder, records, 1, RECORDS / 50, true);
	(void)measure(folder, records, 100, RECORDS, true);
	measure_alone(folder, records);
	free(records);
}

int main(int argc, char **argv)
{
	bool year = argc > 1 && strcmp(argv[1], "--year") == 0;
	const char *parent = argc > 1 + year ? argv[1 + year] : "/var/tmp";
	char folder[128];

	(void)snprintf(folder, sizeof(folder), "%.100s/mayfly-bench-XXXXXX", parent);
	if (!mkdtemp(folder)) {
		perror(folder);
		return 1;
	}
	if (year)
		(void)ledger_year(folder, argc > 3 ? strtoull(argv[3], NULL, 10) : 10000000);
	else
		measure_records(folder);
	return fs_remove_tree(folder) < 0;
}
