/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_logs mayfly_functions mayfly_core mayfly_base

/* The log store on a real folder with a real loop. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "agent/logs/log_record.h"
#include "tests/unit/log_harness.h"

/* -- reading -- */

struct reading {
	char text[4096]; /* events joined by '|' */
	size_t count;
	char token[64];
	bool failed;
	bool done;
};

static void on_read(const struct log_read_result *result, void *arg)
{
	struct reading *reading = arg;

	reading->failed = result->error != NULL;
	reading->count = result->count;
	reading->text[0] = '\0';
	for (size_t i = 0; i < result->count && i < 64; i++) {
		size_t used = strlen(reading->text);

		(void)snprintf(
			reading->text + used, sizeof(reading->text) - used, "%.*s|",
			(int)(result->events[i].text.len < 32 ? result->events[i].text.len : 32),
			result->events[i].text.data);
	}
	(void)snprintf(reading->token, sizeof(reading->token), "%s",
		       result->error ? "" : result->next_token);
	reading->done = true;
}

static struct reading read_events(struct fixture *f, struct log_read_request request)
{
	struct reading reading = { 0 };

	request.tenant = TENANT;
	if (!request.group)
		request.group = GROUP;
	assert_int_equal(log_store_read(f->store, &request, on_read, &reading, NULL), 0);
	run_until(f, &reading.done);
	assert_false(reading.failed);
	return reading;
}

static void writes_and_reads_in_order_of_time(void **state)
{
	struct fixture *f = *state;
	struct log_stream *a, *b;
	int64_t now = clock_realtime_us();

	open_store(f);
	a = open_stream(f, STREAM);
	b = open_stream(f, STREAM "2");
	write_text(a, now - 300, "one\n");
	write_text(b, now - 200, "two");
	write_text(a, now - 100, "three\t\n");
	write_text(b, now - 250, "between");
	struct reading all = read_events(f, (struct log_read_request){ 0 });
	assert_string_equal(all.text, "one|between|two|three\t|");
	assert_string_equal(all.token, "");
	struct reading stream = read_events(f, (struct log_read_request){ .stream = STREAM });
	assert_string_equal(stream.text, "one|three\t|");
	struct reading range = read_events(
		f, (struct log_read_request){ .start_us = now - 250, .end_us = now - 100 });
	assert_string_equal(range.text, "between|two|");
	struct reading other = read_events(f, (struct log_read_request){ .group = "/none" });
	assert_int_equal(other.count, 0);
	(void)log_stream_close(a);
	(void)log_stream_close(b);
}

/* The guest's clock may be behind: what it says stays behind the START that it follows, and before
 * the END. Where it is right, its time is kept. */
static void a_guest_is_never_before_its_start(void **state)
{
	struct fixture *f = *state;
	struct log_stream *stream;
	int64_t now = clock_realtime_us();

	open_store(f);
	stream = open_stream(f, STREAM);
	write_text(stream, now - 5000, "START");
	log_stream_write_guest(stream, now - 9000, slice_from_string("behind"));
	log_stream_write_guest(stream, now - 4000, slice_from_string("right"));
	log_stream_write_guest(stream, now - 8000, slice_from_string("behind again"));
	write_text(stream, now - 1000, "END");
	struct reading all = read_events(f, (struct log_read_request){ 0 });
	assert_string_equal(all.text, "START|behind|right|behind again|END|");
	struct reading right = read_events(
		f, (struct log_read_request){ .start_us = now - 4000, .end_us = now - 3999 });
	assert_string_equal(right.text, "right|behind again|");
	(void)log_stream_close(stream);
}

static void pages(void **state)
{
	struct fixture *f = *state;
	struct log_stream *a;
	char text[8];

	open_store(f);
	a = open_stream(f, STREAM);
	/* All at the same time: the order of writing decides. */
	for (int i = 0; i < 5; i++) {
		(void)snprintf(text, sizeof(text), "%d", i);
		write_text(a, 1000, text);
	}
	struct reading page = read_events(f, (struct log_read_request){ .limit = 2 });
	assert_string_equal(page.text, "0|1|");
	page = read_events(f, (struct log_read_request){ .limit = 2, .token = page.token });
	assert_string_equal(page.text, "2|3|");
	page = read_events(f, (struct log_read_request){ .limit = 2, .token = page.token });
	assert_string_equal(page.text, "4|");
	assert_string_equal(page.token, "");
	_cleanup_error_ struct error error = ERROR_INIT;
	struct log_read_request bad = { .tenant = TENANT, .group = GROUP, .token = "12x" };
	assert_int_equal(log_store_read(f->store, &bad, on_read, NULL, &error), -EINVAL);
	assert_string_equal(error.field, "next_token");
	(void)log_stream_close(a);
}

static void pages_by_size(void **state)
{
	struct fixture *f = *state;
	size_t len = 600 << 10;
	char *big = calloc(1, len);
	struct log_stream *a;

	open_store(f);
	a = open_stream(f, STREAM);
	memset(big, 'x', len);
	for (int i = 0; i < 3; i++)
		log_stream_write(a, 1000, slice_new(big, len));
	struct reading page = read_events(f, (struct log_read_request){ 0 });
	assert_int_equal(page.count, 1);
	page = read_events(f, (struct log_read_request){ .token = page.token });
	assert_int_equal(page.count, 1);
	assert_string_not_equal(page.token, "");
	free(big);
	(void)log_stream_close(a);
}

/* Sizes differ, so that a small event would fit behind a large one that does not. */
static void pages_leave_no_hole(void **state)
{
	struct fixture *f = *state;
	size_t max = 150 << 10;
	char *text = calloc(1, max);
	struct log_read_request request = { 0 };
	struct reading page;
	struct log_stream *a;
	size_t count = 0;

	open_store(f);
	a = open_stream(f, STREAM);
	memset(text, 'x', max);
	for (int i = 0; i < 60; i++)
		log_stream_write(a, 1000 + i * 7 % 60, slice_new(text, i % 3 ? max : 10));
	do {
		page = read_events(f, request);
		count += page.count;
		request.token = page.token;
	} while (page.token[0] != '\0' && page.count > 0);
	assert_int_equal(count, 60);
	free(text);
	(void)log_stream_close(a);
}

static void survives_a_restart_and_a_torn_tail(void **state)
{
	struct fixture *f = *state;
	char paths[4][512];
	struct log_stream *a;
	struct stat st;

	open_store(f);
	a = open_stream(f, STREAM);
	write_text(a, 1000, "whole");
	write_text(a, 2000, "torn");
	(void)log_stream_close(a);
	flush(f);
	close_store(f);
	assert_int_equal(part_paths(f, paths, 4), 1);
	assert_int_equal(stat(paths[0], &st), 0);
	/* Every way of being cut within the second record leaves the first. */
	for (off_t size = st.st_size - 1; size > LOG_RECORD_HEADER_BYTES + 5; size--) {
		assert_int_equal(truncate(paths[0], size), 0);
		open_store(f);
		struct reading all = read_events(f, (struct log_read_request){ 0 });
		assert_string_equal(all.text, "whole|");
		close_store(f);
	}
	open_store(f);
}

static void keeps_a_group_within_its_bound(void **state)
{
	struct fixture *f = *state;
	char paths[64][512];
	char text[1000];
	struct log_stream *a;
	uint64_t bytes = 0;
	size_t parts;

	f->config.part_max_bytes = 4096;
	f->config.group_max_bytes = 16384;
	open_store(f);
	a = open_stream(f, STREAM);
	for (int i = 0; i < 100; i++) {
		memset(text, 'a' + i % 26, sizeof(text));
		log_stream_write(a, 1000 + i, slice_new(text, sizeof(text)));
		flush(f);
	}
	parts = part_paths(f, paths, 64);
	for (size_t i = 0; i < parts; i++) {
		struct stat st;

		assert_int_equal(stat(paths[i], &st), 0);
		assert_true(st.st_size <= 4096);
		bytes += (uint64_t)st.st_size;
	}
	assert_true(bytes <= 16384);
	assert_true(parts >= 3);
	/* The latest is there, the first is not. */
	struct reading last = read_events(f, (struct log_read_request){ .start_us = 1099 });
	assert_int_equal(last.count, 1);
	struct reading first = read_events(f, (struct log_read_request){ .end_us = 1001 });
	assert_int_equal(first.count, 0);
	(void)log_stream_close(a);
}

/* What all groups of the tenant have, as the store counts it. */
static uint64_t tenant_bytes(const struct fixture *f, unsigned *ret_groups)
{
	char path[512];
	struct dirent *group, *part;
	uint64_t bytes = 0;
	struct stat st;
	DIR *tenant, *dir;

	(void)snprintf(path, sizeof(path), "%s/" TENANT, f->dir);
	tenant = opendir(path);
	assert_non_null(tenant);
	*ret_groups = 0;
	while ((group = readdir(tenant))) {
		if (group->d_name[0] == '.')
			continue;
		++*ret_groups;
		bytes += 4096;
		dir = fdopendir(openat(dirfd(tenant), group->d_name, O_RDONLY | O_DIRECTORY));
		assert_non_null(dir);
		while ((part = readdir(dir))) {
			if (part->d_name[0] == '.')
				continue;
			assert_int_equal(fstatat(dirfd(dir), part->d_name, &st, 0), 0);
			bytes += 4096 + (uint64_t)st.st_size;
		}
		(void)closedir(dir);
	}
	(void)closedir(tenant);
	return bytes;
}

static struct log_stream *open_group(struct fixture *f, unsigned number)
{
	char group[32];
	struct log_stream *stream;

	(void)snprintf(group, sizeof(group), "group-%u", number);
	assert_int_equal(log_stream_open(f->store, TENANT, group, STREAM, &stream), 0);
	return stream;
}

static size_t count_in_group(struct fixture *f, unsigned number)
{
	char group[32];

	(void)snprintf(group, sizeof(group), "group-%u", number);
	return read_events(f, (struct log_read_request){ .group = group }).count;
}

/* However many groups: with each change of a function it may be another one. */
static void keeps_a_tenant_within_its_bound(void **state)
{
	const uint64_t most = 20 * (4096 + 4096 + 1000);
	struct fixture *f = *state;
	struct log_stream *kept, *stream;
	char text[1000];
	unsigned groups;

	memset(text, 'x', sizeof(text));
	f->config.part_max_bytes = 8192;
	f->config.group_max_bytes = 16384;
	f->config.tenant_max_bytes = most;
	open_store(f);
	kept = open_group(f, 0);
	for (unsigned i = 1; i <= 60; i++) {
		if (i == 40) { /* what was there before the start counts */
			(void)log_stream_close(kept);
			close_store(f);
			open_store(f);
			kept = open_group(f, 0);
		}
		log_stream_write(kept, 1000 + i, slice_new(text, 10));
		stream = open_group(f, i);
		log_stream_write(stream, 1000 + i, slice_new(text, sizeof(text)));
		flush(f);
		(void)log_stream_close(stream);
		assert_true(tenant_bytes(f, &groups) <= most);
	}
	assert_in_range(groups, 16, 21);
	/* The oldest are gone with their folders, the latest and what is written to are there. */
	assert_int_equal(count_in_group(f, 1), 0);
	assert_int_equal(count_in_group(f, 60), 1);
	assert_true(count_in_group(f, 0) > 0);
	/* Others have their own. */
	assert_int_equal(log_stream_open(f->store, "999999999999", "g", STREAM, &stream), 0);
	log_stream_write(stream, 1, slice_new(text, sizeof(text)));
	flush(f);
	(void)log_stream_close(stream);
	assert_true(tenant_bytes(f, &groups) <= most);
	(void)log_stream_close(kept);
}

static void drops_what_no_disk_takes(void **state)
{
	struct fixture *f = *state;
	struct log_store_counters counters;
	char blocker[128];
	struct log_stream *a;
	int fd;

	open_store(f);
	/* A file where the tenant's folder would be. */
	(void)snprintf(blocker, sizeof(blocker), "%s/%s", f->dir, TENANT);
	fd = open(blocker, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	a = open_stream(f, STREAM);
	write_text(a, 1000, "lost");
	flush(f);
	counters = log_store_counters(f->store);
	assert_int_equal(counters.dropped_records, 1);
	assert_int_equal(unlink(blocker), 0);
	write_text(a, 1001, "kept");
	struct reading all = read_events(f, (struct log_read_request){ 0 });
	assert_non_null(strstr(all.text, "kept|LOGS_DROPPED Records: 1\t"));
	assert_int_equal(all.count, 2);
	(void)log_stream_close(a);
}

static void bounds_what_waits(void **state)
{
	struct fixture *f = *state;
	struct log_stream *a;

	f->config.waiting_max_bytes = 200;
	open_store(f);
	a = open_stream(f, STREAM);
	for (int i = 0; i < 100; i++)
		write_text(a, 1000, "0123456789");
	assert_true(log_store_counters(f->store).dropped_records > 90);
	flush(f);
	struct reading all = read_events(f, (struct log_read_request){ 0 });
	assert_true(all.count >= 1 && all.count < 10);
	/* And that is said, once. */
	write_text(a, 1001, "again");
	write_text(a, 1002, "and again");
	all = read_events(f, (struct log_read_request){ .start_us = 1001 });
	assert_memory_equal(all.text, "again|and again|LOGS_DROPPED Records: 9", 38);
	assert_int_equal(all.count, 3);
	(void)log_stream_close(a);
}

static unsigned taken_of(struct fixture *f, struct log_stream *stream, unsigned lines)
{
	uint64_t before = log_store_counters(f->store).records;

	for (unsigned i = 0; i < lines; i++)
		write_text(stream, 1000, "0123456789");
	return (unsigned)(log_store_counters(f->store).records - before);
}

/* While nothing is written a flood has most of the room, a second one most of the rest, and who
 * writes a little loses nothing. */
static void a_flood_costs_others_nothing(void **state)
{
	struct fixture *f = *state;
	struct log_stream *flood, *same, *second, *quiet;

	f->config.waiting_max_bytes = 1000 * (LOG_RECORD_HEADER_BYTES + 10);
	open_store(f);
	flood = open_stream(f, STREAM);
	assert_int_equal(log_stream_open(f->store, TENANT, "/other", STREAM, &same), 0);
	assert_int_equal(log_stream_open(f->store, "200000000002", GROUP, STREAM, &second), 0);
	assert_int_equal(log_stream_open(f->store, "300000000003", GROUP, STREAM, &quiet), 0);
	assert_int_equal(taken_of(f, flood, 2000), 800);
	assert_int_equal(taken_of(f, same, 100), 0);      /* another group of the same tenant */
	assert_int_equal(taken_of(f, second, 2000), 160); /* four fifths of the rest */
	assert_int_equal(taken_of(f, quiet, 20), 20);
	flush(f);
	assert_int_equal(taken_of(f, flood, 100), 101); /* one says what was dropped */
	(void)log_stream_close(flood);
	(void)log_stream_close(same);
	(void)log_stream_close(second);
	(void)log_stream_close(quiet);
}

/* -- tails -- */

struct heard {
	char text[256];
};

static void on_event(const struct log_event *event, void *arg)
{
	struct heard *heard = arg;
	size_t used = strlen(heard->text);

	(void)snprintf(heard->text + used, sizeof(heard->text) - used, "%.*s|",
		       (int)event->text.len, event->text.data);
}

static void tails_hear_what_comes(void **state)
{
	struct fixture *f = *state;
	struct heard heard = { 0 };
	struct log_stream *a, *other;
	struct log_tail *tail;
	int64_t since;

	open_store(f);
	a = open_stream(f, STREAM);
	assert_int_equal(log_stream_open(f->store, TENANT, "/other", STREAM, &other), 0);
	write_text(a, 1000, "before");
	flush(f);
	assert_int_equal(log_tail_start(f->store, TENANT, GROUP, on_event, &heard, &tail, &since),
			 0);
	write_text(a, 1001, "after");
	write_text(other, 1001, "elsewhere");
	flush(f);
	assert_string_equal(heard.text, "after|");
	/* What was there is read up to where the tail begins: nothing twice, nothing missing. */
	struct reading old =
		read_events(f, (struct log_read_request){ .ingested_before_us = since });
	assert_string_equal(old.text, "before|");
	tail = log_tail_stop(tail);
	write_text(a, 1002, "late");
	flush(f);
	assert_string_equal(heard.text, "after|");
	(void)log_stream_close(a);
	(void)log_stream_close(other);
}

static void tail_begins_with_what_waits(void **state)
{
	struct fixture *f = *state;
	struct heard heard = { 0 };
	struct log_stream *a;
	struct log_tail *tail;
	int64_t since;

	open_store(f);
	a = open_stream(f, STREAM);
	write_text(a, 1000, "waiting");
	assert_int_equal(log_tail_start(f->store, TENANT, GROUP, on_event, &heard, &tail, &since),
			 0);
	struct reading old =
		read_events(f, (struct log_read_request){ .ingested_before_us = since });
	assert_string_equal(old.text, "");
	assert_string_equal(heard.text, "waiting|");
	tail = log_tail_stop(tail);
	(void)log_stream_close(a);
}

static void captures_the_end(void **state)
{
	struct fixture *f = *state;
	_cleanup_buf_ struct buf captured = BUF_INIT;
	struct log_stream *a;
	char text[32];

	open_store(f);
	a = open_stream(f, STREAM);
	write_text(a, 1000, "not this\n");
	log_stream_capture_begin(a, 20);
	for (int i = 0; i < 50; i++) {
		(void)snprintf(text, sizeof(text), "line %d\n", i);
		write_text(a, 1000, text);
	}
	log_stream_capture_end(a, &captured);
	assert_string_equal(buf_string(&captured), " 47\nline 48\nline 49\n");
	write_text(a, 1000, "nor this\n");
	buf_reset(&captured);
	log_stream_capture_begin(a, 4);
	write_text(a, 1000, "much longer than that\n");
	log_stream_capture_end(a, &captured);
	assert_string_equal(buf_string(&captured), "hat\n");
	(void)log_stream_close(a);
}

/* -- names -- */

static void names(void **state)
{
	char group[LOG_GROUP_NAME_MAX + 1];
	char stream[LOG_STREAM_NAME_BYTES];
	char file[NAME_MAX + 1];
	char back[512];
	char longest[600];

	(void)state;
	log_group_name("f", NULL, group);
	assert_string_equal(group, "/aws/lambda/f");
	log_group_name("f", "mine", group);
	assert_string_equal(group, "mine");
	log_stream_name(1764025947123000, "f", "$LATEST", "00ff", NULL, stream);
	assert_string_equal(stream, "2025/11/24/[$LATEST]00ff");
	log_stream_name(1764025947123000, "f", "$LATEST", "00ff", "/aws/lambda/f", stream);
	assert_string_equal(stream, "2025/11/24/[$LATEST]00ff");
	log_stream_name(1764025947123000, "f", "$LATEST", "00ff", "mine", stream);
	assert_string_equal(stream, "2025/11/24/f[$LATEST][00ff]");
	assert_true(log_file_name(stream, 3, file));
	assert_string_equal(file, "2025%2F11%2F24%2Ff%5B%24LATEST%5D%5B00ff%5D~000003");
	assert_true(log_file_stream(file, back, sizeof(back)));
	assert_string_equal(back, stream);
	assert_false(log_file_stream("no-part", back, sizeof(back)));
	assert_false(log_file_stream("x~12a", back, sizeof(back)));
	assert_false(log_file_stream("%00~1", back, sizeof(back)));
	assert_false(log_file_stream("%4~1", back, sizeof(back)));
	log_name_encode("..", file);
	assert_string_equal(file, "%2E.");
	/* Too long for a file name, and yet each its own. */
	memset(longest, '/', sizeof(longest));
	longest[512] = '\0';
	log_name_encode(longest, file);
	assert_true(strlen(file) < 250);
	longest[511] = 'x';
	log_name_encode(longest, back);
	assert_string_not_equal(file, back);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(writes_and_reads_in_order_of_time, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_guest_is_never_before_its_start, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(pages, set_up, tear_down),
		cmocka_unit_test_setup_teardown(pages_by_size, set_up, tear_down),
		cmocka_unit_test_setup_teardown(pages_leave_no_hole, set_up, tear_down),
		cmocka_unit_test_setup_teardown(survives_a_restart_and_a_torn_tail, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(keeps_a_group_within_its_bound, set_up, tear_down),
		cmocka_unit_test_setup_teardown(keeps_a_tenant_within_its_bound, set_up, tear_down),
		cmocka_unit_test_setup_teardown(drops_what_no_disk_takes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bounds_what_waits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_flood_costs_others_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(tails_hear_what_comes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(tail_begins_with_what_waits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(captures_the_end, set_up, tear_down),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
