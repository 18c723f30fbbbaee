/* SPDX-License-Identifier: Apache-2.0 */

/* A node with 10 million invocations a day of 1,000 functions and 100 tenants, after a year of
 * which single records were kept for the last day: 8.76 million hourly sums, written as rows, for
 * nobody can wait until 3.65 billion records were; then that day's records, in batches as the
 * account commits them. What they take on disk, and what queries take, from the disk and from
 * memory. */

#include "tests/bench/ledger_year.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/store/ledger.h"
#include "mayfly/clock.h"

#define FUNCTIONS    1000U
#define TENANTS      100U
#define HOURS        8760U
#define DAY_HOURS    24U
#define A_DAY        10000000ULL
#define BATCH        256U
#define FIRST_HOUR   490000LL
#define LAST_DAY_US  ((FIRST_HOUR + HOURS - DAY_HOURS) * LEDGER_HOUR_US)
#define YEAR_ENDS_US ((FIRST_HOUR + HOURS) * LEDGER_HOUR_US)
#define PER_ROW      (A_DAY / DAY_HOURS / FUNCTIONS) /* invocations of a function in an hour */
#define PAGE_RECORDS 500U                            /* as an export reads them */
#define KEEP_DAYS    35U                             /* ledger.raw_keep_days */

struct year {
	char path[256];
	struct ledger *ledger;
	unsigned long long records;
	int64_t sums_bytes; /* the file with the sums alone */
};

static void die(const char *doing, const char *why)
{
	(void)fprintf(stderr, "mayfly-bench-ledger: cannot %s: %s\n", doing, why);
	exit(1);
}

static int64_t cpu_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * USEC_PER_SEC + now.tv_nsec / 1000;
}

static int64_t file_bytes(const struct year *year)
{
	struct stat st = { 0 };

	(void)stat(year->path, &st);
	return st.st_size;
}

static void open_ledger(struct year *year)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	if (ledger_open(year->path, false, &year->ledger, &error) < 0)
		die("open the ledger", error_text(&error));
}

/* -- a year of sums -- */

static void execute(sqlite3 *connection, const char *sql)
{
	if (sqlite3_exec(connection, sql, NULL, NULL, NULL) != SQLITE_OK)
		die("write sums", sqlite3_errmsg(connection));
}

static void add_rows(sqlite3 *connection, sqlite3_stmt *statement, unsigned function)
{
	uint64_t per_hour = PER_ROW * FUNCTIONS;

	(void)sqlite3_bind_int64(statement, 1, function + 1);
	for (unsigned hour = 0; hour < HOURS - DAY_HOURS; hour++) {
		(void)sqlite3_bind_int64(statement, 2, FIRST_HOUR + hour);
		(void)sqlite3_bind_int64(statement, 3, (sqlite3_int64)(hour * per_hour + 1));
		(void)sqlite3_bind_int64(statement, 4, (sqlite3_int64)((hour + 1) * per_hour));
		(void)sqlite3_bind_int64(statement, 5, (sqlite3_int64)PER_ROW);
		(void)sqlite3_bind_int64(statement, 6, (hour * 7 + function) % 9);
		if (sqlite3_step(statement) != SQLITE_DONE)
			die("write sums", sqlite3_errmsg(connection));
		(void)sqlite3_reset(statement);
	}
}

static void write_sums(const struct year *year)
{
	static const char row[] =
		"INSERT INTO rollup (series, hour, first_sequence, last_sequence, invocations,"
		" errors, timeouts, failures, cold_starts, withheld, duration_us, init_us,"
		" billed_ms, mb_ms, event_bytes, answer_bytes, streamed_bytes, max_memory_mb)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, ?6, 0, ?5 * 3300, ?6 * 110000, ?5 * 4,"
		" ?5 * 4 * 128, ?5 * 500, ?5 * 1000, 0, 40)";
	sqlite3 *connection = NULL;
	sqlite3_stmt *statement = NULL;
	char sql[256];

	if (sqlite3_open(year->path, &connection) != SQLITE_OK ||
	    sqlite3_prepare_v2(connection, row, -1, &statement, NULL) != SQLITE_OK)
		die("write sums", sqlite3_errmsg(connection));
	execute(connection, "PRAGMA synchronous = OFF; BEGIN");
	for (unsigned function = 0; function < FUNCTIONS; function++) {
		(void)snprintf(sql, sizeof(sql),
			       "INSERT INTO series VALUES (%u, '%012u', 'function-%u', '$LATEST')",
			       function + 1, function % TENANTS, function);
		execute(connection, sql);
		add_rows(connection, statement, function);
	}
	(void)snprintf(sql, sizeof(sql),
		       "INSERT INTO sqlite_sequence VALUES ('record', %llu);"
		       "UPDATE state SET trimmed = %llu",
		       (HOURS - DAY_HOURS) * PER_ROW * FUNCTIONS,
		       (HOURS - DAY_HOURS) * PER_ROW * FUNCTIONS);
	execute(connection, sql);
	execute(connection, "COMMIT; PRAGMA wal_checkpoint(TRUNCATE)");
	(void)sqlite3_finalize(statement);
	(void)sqlite3_close(connection);
}

/* As the account does it once a day. */
static void sum_days(const struct year *year)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	int64_t longest_us = 0, all_us = 0;
	unsigned days = 0;
	bool more = true;

	while (more) {
		int64_t since_us = clock_monotonic_us();

		if (ledger_sum_day(year->ledger, LAST_DAY_US, &more, &error) < 0 ||
		    ledger_checkpoint(year->ledger, &error) < 0)
			die("sum up a day", error_text(&error));
		since_us = clock_monotonic_us() - since_us;
		all_us += since_us;
		/* The first one looks for the first hour, once in a ledger's life. */
		if (more && days++ > 0 && since_us > longest_us)
			longest_us = since_us;
	}
	(void)printf("%u days summed up, each in %.1f ms, at most %.1f ms\n", days,
		     (double)all_us / 1000 / days, (double)longest_us / 1000);
}

/* -- a day of records -- */

static void fill(struct ledger_record *record, const struct year *year, unsigned long long i)
{
	unsigned function = (unsigned)(i * 7919ULL % FUNCTIONS);
	int64_t hour;

	*record = (struct ledger_record){
		.version = "$LATEST",
		.started_us = LAST_DAY_US + (int64_t)(i * (DAY_HOURS * LEDGER_HOUR_US / 1000000) /
						      year->records * 1000000),
		.duration_us = 800 + (int64_t)(i % 5000),
		.init_us = i % 100 == 0 ? 110000 : -1,
		.restore_us = -1,
		.billed_restore_ms = -1,
		.billed_ms = 1 + (int64_t)(i % 6),
		.memory_mb = 128,
		.max_memory_mb = 36,
		.event_bytes = (int64_t)(i % 1000),
		.answer_bytes = (int64_t)(i % 2000),
		.storage_mb = LEDGER_STORAGE_FREE_MB,
	};
	uuid_generate(record->request_id);
	(void)snprintf(record->tenant, sizeof(record->tenant), "%012u", function % TENANTS);
	/* One is used in two hours, now and then. */
	hour = record->started_us / LEDGER_HOUR_US - LAST_DAY_US / LEDGER_HOUR_US;
	if ((hour == 1 || hour == DAY_HOURS - 2) && i % 1000 == 42)
		(void)snprintf(record->function, sizeof(record->function), "seldom");
	else
		(void)snprintf(record->function, sizeof(record->function), "function-%u", function);
}

static void commit(const struct year *year, unsigned long long first)
{
	static struct ledger_record records[BATCH];
	_cleanup_error_ struct error error = ERROR_INIT;
	unsigned count = (unsigned)(year->records - first < BATCH ? year->records - first : BATCH);
	bool wal_is_long = false;

	for (unsigned i = 0; i < count; i++)
		fill(&records[i], year, first + i);
	for (unsigned i = 0; i + 1 < count; i++)
		records[i].next = &records[i + 1];
	if (ledger_commit(year->ledger, records, &wal_is_long, &error) < 0 ||
	    (wal_is_long && ledger_checkpoint(year->ledger, &error) < 0))
		die("commit", error_text(&error));
}

static void write_records(const struct year *year)
{
	unsigned long long tenth = year->records / 10, done = 0;

	for (unsigned part = 0; part < 10; part++) {
		unsigned long long until = part == 9 ? year->records : done + tenth;
		unsigned long long begun = done;
		int64_t cpu = cpu_us(), wall = clock_monotonic_us();

		for (; done < until; done += BATCH)
			commit(year, done);
		cpu = cpu_us() - cpu;
		wall = clock_monotonic_us() - wall;
		(void)printf("records %3u %%   %6.1f us CPU   %6.1f us wall, per record\n",
			     (part + 1) * 10, (double)cpu / (double)(done - begun),
			     (double)wall / (double)(done - begun));
		(void)fflush(stdout);
	}
}

/* -- queries -- */

static int count_row(const struct ledger_row *row _unused_, void *arg)
{
	++*(uint64_t *)arg;
	return 0;
}

static uint64_t query(const struct year *year, const char *tenant, const char *function,
		      int64_t from_us, unsigned groups)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct ledger_query query = { .filter = { .from_us = from_us, .to_us = YEAR_ENDS_US },
				      .groups = groups,
				      .limit = 1000 };
	uint64_t rows = 0;

	(void)snprintf(query.filter.tenant, sizeof(query.filter.tenant), "%s", tenant);
	(void)snprintf(query.filter.function, sizeof(query.filter.function), "%s", function);
	if (ledger_query(year->ledger, &query, count_row, &rows, &error) < 0)
		die("query", error_text(&error));
	return rows;
}

static uint64_t month_by_day(const struct year *year)
{
	return query(year, "000000000042", "", YEAR_ENDS_US - 30LL * 24 * LEDGER_HOUR_US,
		     LEDGER_BY_DAY);
}

static uint64_t day_by_hour(const struct year *year)
{
	return query(year, "000000000042", "function-42", LAST_DAY_US, LEDGER_BY_HOUR);
}

static uint64_t year_by_tenant(const struct year *year)
{
	return query(year, "", "", 0, LEDGER_BY_TENANT);
}

static uint64_t year_total(const struct year *year)
{
	return query(year, "", "", 0, 0);
}

struct export
{
	uint64_t after, page, all;
};

static int keep_record(const struct ledger_record *record, void *arg)
{
	struct export *export = arg;

	export->after = record->sequence;
	export->page++;
	export->all++;
	return 0;
}

static uint64_t export_day_of(const struct year *year, const char *function)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct ledger_filter filter = { .from_us = LAST_DAY_US, .to_us = YEAR_ENDS_US };
	struct export export = { 0 };

	(void)snprintf(filter.function, sizeof(filter.function), "%s", function);
	do {
		export.page = 0;
		if (ledger_read(year->ledger, &filter, export.after, PAGE_RECORDS, keep_record,
				&export, &error) < 0)
			die("export", error_text(&error));
	} while (export.page == PAGE_RECORDS);
	return export.all;
}

static uint64_t export_day(const struct year *year)
{
	return export_day_of(year, "function-42");
}

static uint64_t export_seldom(const struct year *year)
{
	return export_day_of(year, "seldom");
}

/* From the disk, as far as the kernel forgets what it is told to. */
static void forget_pages(const struct year *year)
{
	int fd = open(year->path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)fsync(fd);
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	(void)close(fd);
}

static double measure(struct year *year, uint64_t (*fn)(const struct year *), uint64_t *rows)
{
	int64_t since_us = clock_monotonic_us();

	*rows = fn(year);
	return (double)(clock_monotonic_us() - since_us) / 1000;
}

static void measure_queries(struct year *year)
{
	static const struct {
		const char *what;
		uint64_t (*fn)(const struct year *year);
	} queries[] = {
		{ "a tenant's month by day", month_by_day },
		{ "a function's last 24 hours by hour", day_by_hour },
		{ "the node's year by tenant", year_by_tenant },
		{ "the node's year in one row", year_total },
		{ "export of a function's last day", export_day },
		{ "export of one used in two hours", export_seldom },
	};

	for (size_t i = 0; i < ARRAY_SIZE(queries); i++) {
		uint64_t rows = 0;
		double cold, warm;

		year->ledger = ledger_close(year->ledger);
		forget_pages(year);
		open_ledger(year);
		cold = measure(year, queries[i].fn, &rows);
		warm = measure(year, queries[i].fn, &rows);
		(void)printf("%-36s %6" PRIu64
			     " rows   %9.1f ms from disk   %9.1f ms from memory\n",
			     queries[i].what, rows, cold, warm);
		(void)fflush(stdout);
	}
}

static void print_sizes(const struct year *year)
{
	int64_t bytes = file_bytes(year) - year->sums_bytes;
	double a_record = (double)bytes / (double)year->records;
	uint64_t rows = (uint64_t)(HOURS - DAY_HOURS) * FUNCTIONS;

	(void)printf(
		"an hourly sum, with its part of a daily one, takes %.1f bytes, a record %.1f\n",
		(double)year->sums_bytes / (double)rows, a_record);
	(void)printf("computed from that: 8.76 million sums of a year %.2f GB; %u days of 10 "
		     "million records %.1f GB\n",
		     (double)year->sums_bytes / (double)rows * HOURS * FUNCTIONS / 1e9, KEEP_DAYS,
		     a_record * A_DAY * KEEP_DAYS / 1e9);
}

int ledger_year(const char *folder, unsigned long long records)
{
	struct year year = { .records = records };

	(void)snprintf(year.path, sizeof(year.path), "%s/year.db", folder);
	open_ledger(&year);
	year.ledger = ledger_close(year.ledger);
	write_sums(&year);
	year.sums_bytes = file_bytes(&year);
	(void)printf(
		"%u hourly sums of %u functions and %u tenants; %llu records of the last day\n",
		(HOURS - DAY_HOURS) * FUNCTIONS, FUNCTIONS, TENANTS, records);
	(void)fflush(stdout);
	open_ledger(&year);
	sum_days(&year);
	year.sums_bytes = file_bytes(&year);
	write_records(&year);
	year.ledger = ledger_close(year.ledger);
	open_ledger(&year);
	print_sizes(&year);
	measure_queries(&year);
	ledger_close(year.ledger);
	return 0;
}
