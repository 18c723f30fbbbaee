/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_logs mayfly_functions mayfly_core mayfly_base

/* Reading a log group page by page: every event once and in order, whatever the files look like and
 * whatever happens to them between two pages, at the cost of what a page answers with. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "agent/logs/log_index.h"
#include "tests/unit/log_harness.h"

#define STREAMS    5
#define EVENTS_MAX 8000
#define TEXT_MAX   (40U << 10)

/* -- what was written -- */

struct event {
	int64_t time_us;
	unsigned number; /* in order of writing */
	unsigned stream;
};

struct model {
	struct event events[EVENTS_MAX];
	size_t count;
	uint64_t bytes;
	uint32_t seed;
	struct log_stream *streams[STREAMS];
};

static uint32_t dice(struct model *model, uint32_t sides)
{
	model->seed = model->seed * 1664525U + 1013904223U;
	return (model->seed >> 8) % sides;
}

static struct model *model_new(struct fixture *f, uint32_t seed)
{
	struct model *model = calloc(1, sizeof(*model));
	char name[16];

	model->seed = seed;
	for (unsigned i = 0; i < STREAMS; i++) {
		(void)snprintf(name, sizeof(name), "s%u", i);
		model->streams[i] = open_stream(f, name);
	}
	return model;
}

static void model_close_streams(struct model *model)
{
	for (unsigned i = 0; i < STREAMS; i++)
		model->streams[i] = log_stream_close(model->streams[i]);
}

static void model_free(struct model *model)
{
	model_close_streams(model);
	free(model);
}

/* The text begins with the event's number. */
static void model_write(struct model *model, unsigned stream, int64_t time_us, size_t len)
{
	static char text[TEXT_MAX];
	struct event *event = &model->events[model->count];
	int n = snprintf(text, sizeof(text), "%zu", model->count);

	memset(text + n, ' ', sizeof(text) - (size_t)n);
	*event = (struct event){ time_us, (unsigned)model->count, stream };
	log_stream_write(model->streams[stream], time_us,
			 slice_new(text, len > (size_t)n ? len : (size_t)n));
	model->count++;
	model->bytes += len;
}

static int compare_events(const void *a, const void *b)
{
	const struct event *x = a;
	const struct event *y = b;

	if (x->time_us != y->time_us)
		return x->time_us < y->time_us ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

/* Times jump back by up to `disorder`, and many are the same. */
static void model_write_many(struct fixture *f, struct model *model, unsigned count,
			     uint32_t disorder)
{
	for (unsigned i = 0; i < count; i++) {
		int64_t time_us = 1000 + (int64_t)model->count / 3 + disorder;

		model_write(model, dice(model, STREAMS), time_us - dice(model, disorder + 1),
			    dice(model, 20) == 0 ? dice(model, TEXT_MAX) : dice(model, 300));
		if (i % 500 == 0)
			flush(f);
	}
	flush(f);
}

/* -- pages -- */

struct page {
	unsigned numbers[LOG_READ_MAX_EVENTS];
	size_t count;
	char token[64];
	bool done;
};

static void on_page(const struct log_read_result *result, void *arg)
{
	struct page *page = arg;

	assert_null(result->error);
	page->count = result->count;
	for (size_t i = 0; i < result->count; i++)
		page->numbers[i] =
			(unsigned)strtoul((const char *)result->events[i].text.data, NULL, 10);
	(void)snprintf(page->token, sizeof(page->token), "%s", result->next_token);
	page->done = true;
}

static void start_page(struct fixture *f, struct log_read_request request, struct page *page)
{
	request.tenant = TENANT;
	if (!request.group)
		request.group = GROUP;
	page->done = false;
	assert_int_equal(log_store_read(f->store, &request, on_page, page, NULL), 0);
}

static void get_page(struct fixture *f, struct log_read_request request, struct page *page)
{
	start_page(f, request, page);
	run_until(f, &page->done);
}

static bool is_asked_for(const struct event *event, const struct log_read_request *request)
{
	return (!request->stream || event->stream == (unsigned)(request->stream[1] - '0')) &&
	       event->time_us >= request->start_us &&
	       (request->end_us == 0 || event->time_us < request->end_us);
}

/* All pages together are what the model says, in its order. */
static void expect_pages(struct fixture *f, const struct model *model,
			 struct log_read_request request)
{
	struct event *sorted = calloc(model->count, sizeof(*sorted));
	struct page *page = calloc(1, sizeof(*page));
	size_t next = 0;

	memcpy(sorted, model->events, model->count * sizeof(*sorted));
	qsort(sorted, model->count, sizeof(*sorted), compare_events);
	do {
		get_page(f, request, page);
		assert_true(page->count > 0 || page->token[0] == '\0');
		for (size_t i = 0; i < page->count; i++, next++) {
			while (next < model->count && !is_asked_for(&sorted[next], &request))
				next++;
			assert_true(next < model->count);
			assert_int_equal(page->numbers[i], sorted[next].number);
		}
		request.token = page->token;
	} while (page->token[0] != '\0');
	while (next < model->count && !is_asked_for(&sorted[next], &request))
		next++;
	assert_int_equal(next, model->count);
	free(sorted);
	free(page);
}

/* -- tests -- */

/* The same with an index for all files, for some and for none. */
static void all_pages_are_all_events(void **state)
{
	struct fixture *f = *state;
	static const uint64_t index_bytes[] = { 0, 2000, 1 };
	static const uint32_t disorders[] = { 0, 5, 400, 100000 };

	for (unsigned i = 0; i < 12; i++) {
		f->config.part_max_bytes = i % 2 ? 300U << 10 : 0;
		f->config.index_max_bytes = index_bytes[i % 3];
		open_store(f);
		struct model *model = model_new(f, i + 1);
		uint32_t disorder = disorders[i / 3];

		model_write_many(f, model, 1000, disorder);
		expect_pages(f, model, (struct log_read_request){ 0 });
		expect_pages(f, model, (struct log_read_request){ .limit = 3 + i * 37 });
		expect_pages(f, model, (struct log_read_request){ .limit = 100, .stream = "s3" });
		expect_pages(f, model,
			     (struct log_read_request){ .limit = 50,
							.start_us = 1100 + disorder,
							.end_us = 1300 + disorder });
		/* And once more, with what came meanwhile. */
		model_write_many(f, model, 250, disorder);
		expect_pages(f, model, (struct log_read_request){ .limit = 333 });
		model_free(model);
		close_store(f);
		assert_int_equal(fs_remove_tree(f->dir), 0);
	}
}

static uint64_t read_bytes(const struct fixture *f)
{
	return log_store_counters(f->store).read_bytes;
}

/* The first page goes through all files; from then on each reads what it answers with, and at most
 * the rest of a block at either end for each stream. */
static void a_page_costs_what_it_answers_with(void **state)
{
	struct fixture *f = *state;
	struct page *page = calloc(1, sizeof(*page));
	struct log_read_request request = { 0 };
	unsigned pages = 0;

	open_store(f);
	struct model *model = model_new(f, 7);
	for (unsigned i = 0; i < EVENTS_MAX; i++) {
		model_write(model, i % STREAMS, 1000 + i, 4000);
		if (i % 500 == 0)
			flush(f);
	}
	get_page(f, request, page);
	assert_in_range(read_bytes(f), model->bytes, model->bytes + model->bytes / 10);
	do {
		uint64_t before = read_bytes(f);

		request.token = page->token;
		get_page(f, request, page);
		assert_in_range(read_bytes(f) - before, 1,
				page->count * 4100 + 2 * STREAMS * (LOG_BLOCK_BYTES + 4100));
		pages++;
	} while (page->token[0] != '\0');
	assert_true(pages > 20);
	/* So does a late part of it, and a token of nothing. */
	uint64_t before = read_bytes(f);
	get_page(f, (struct log_read_request){ .start_us = 1000 + EVENTS_MAX - 10 }, page);
	assert_int_equal(page->count, 10);
	get_page(f, (struct log_read_request){ .token = "999999999.1" }, page);
	assert_int_equal(page->count, 0);
	assert_string_equal(page->token, "");
	assert_true(read_bytes(f) - before < 3 * STREAMS * (LOG_BLOCK_BYTES + 4100));
	free(page);
	model_free(model);
}

/* Reads of one group take turns; nobody is forgotten, and other groups are not mixed up. */
static void reads_at_the_same_time(void **state)
{
	struct fixture *f = *state;
	struct page *pages = calloc(9, sizeof(*pages));

	open_store(f);
	struct model *model = model_new(f, 3);
	model_write_many(f, model, 300, 10);
	for (unsigned i = 0; i < 9; i++)
		start_page(f,
			   (struct log_read_request){ .group = i % 3 == 2 ? "/none" : NULL,
						      .limit = i + 1 },
			   &pages[i]);
	for (unsigned i = 0; i < 9; i++) {
		run_until(f, &pages[i].done);
		assert_int_equal(pages[i].count, i % 3 == 2 ? 0 : i + 1);
	}
	expect_pages(f, model, (struct log_read_request){ 0 });
	free(pages);
	model_free(model);
}

/* Many groups, of which few can be remembered. */
static void more_groups_than_are_remembered(void **state)
{
	struct fixture *f = *state;
	struct page *page = calloc(1, sizeof(*page));
	struct log_stream *stream;
	char group[16], text[16];

	f->config.index_max_bytes = 4096;
	open_store(f);
	for (int i = 0; i < 150; i++) {
		(void)snprintf(group, sizeof(group), "/g%d", i % 50);
		if (i < 50) {
			(void)snprintf(text, sizeof(text), "%d", i);
			assert_int_equal(log_stream_open(f->store, TENANT, group, "s", &stream), 0);
			write_text(stream, 1000, text);
			(void)log_stream_close(stream);
		}
		get_page(f, (struct log_read_request){ .group = group }, page);
		assert_int_equal(page->count, 1);
		assert_int_equal(page->numbers[0], i % 50);
	}
	free(page);
}

/* -- between two pages -- */

static void expect_numbers(const struct page *page, const unsigned *numbers, size_t count)
{
	assert_int_equal(page->count, count);
	assert_memory_equal(page->numbers, numbers, count * sizeof(*numbers));
}

static void streams_come_and_go(void **state)
{
	struct fixture *f = *state;
	struct page *page = calloc(1, sizeof(*page));
	char paths[STREAMS][512];

	open_store(f);
	struct model *model = model_new(f, 1);
	for (unsigned i = 0; i < 9; i++)
		model_write(model, i % 3, 1000 + 10 * i, 50);
	get_page(f, (struct log_read_request){ .limit = 4 }, page);
	expect_numbers(page, (unsigned[]){ 0, 1, 2, 3 }, 4);
	/* A stream begins: before the place of the token it is not heard of, behind it it is. */
	model_write(model, 3, 1005, 50);
	model_write(model, 3, 1045, 50);
	/* One that was there goes: 4 and 7 with it. */
	assert_int_equal(part_paths(f, paths, STREAMS), 3);
	for (unsigned i = 0; i < 3; i++)
		if (strstr(paths[i], "/s1~"))
			assert_int_equal(unlink(paths[i]), 0);
	get_page(f, (struct log_read_request){ .limit = 2, .token = page->token }, page);
	expect_numbers(page, (unsigned[]){ 10, 5 }, 2);
	/* It begins a new file then, and all else stays where it is. */
	model_write(model, 1, 1065, 50);
	get_page(f, (struct log_read_request){ .limit = 3, .token = page->token }, page);
	expect_numbers(page, (unsigned[]){ 6, 11, 8 }, 3);
	assert_string_equal(page->token, "");
	free(page);
	model_free(model);
}

static void a_token_outlives_the_store(void **state)
{
	struct fixture *f = *state;
	struct page *page = calloc(1, sizeof(*page));

	open_store(f);
	struct model *model = model_new(f, 1);
	for (unsigned i = 0; i < 10; i++)
		model_write(model, i % 2, 1000, 50);
	get_page(f, (struct log_read_request){ .limit = 4 }, page);
	model_close_streams(model);
	flush(f);
	close_store(f);
	open_store(f);
	get_page(f, (struct log_read_request){ .token = page->token, .stream = "s1" }, page);
	expect_numbers(page, (unsigned[]){ 5, 7, 9 }, 3);
	model_free(model);
	free(page);
}

/* Takes the file's last `cut` bytes away and puts another event there. */
static void replace_end(const char *path, off_t cut, int64_t time_us, const char *text)
{
	const struct log_record record = { .time_us = time_us,
					   .ingestion_us = clock_realtime_us() + USEC_PER_SEC,
					   .text = slice_from_string(text) };
	_cleanup_buf_ struct buf bytes = BUF_INIT;
	_cleanup_close_ int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(ftruncate(fd, st.st_size - cut), 0);
	assert_int_equal(log_record_append(&bytes, &record), 0);
	assert_int_equal(fs_write_all(fd, bytes.data, bytes.len), 0);
	/* Within the same tick of the kernel's clock. */
	assert_int_equal(futimens(fd, (struct timespec[]){ st.st_atim, st.st_mtim }), 0);
}

/* A failed append is cut off and others follow in its place: what a read saw of it is forgotten. */
static void a_cut_is_noticed(void **state)
{
	struct fixture *f = *state;
	struct page *page = calloc(1, sizeof(*page));
	static const char *const texts[] = { "7", "8 is longer than that", "9" };
	char paths[1][512];

	open_store(f);
	struct model *model = model_new(f, 1);
	model_write(model, 0, 1000, 1);
	model_write(model, 0, 1010, 1);
	get_page(f, (struct log_read_request){ 0 }, page);
	expect_numbers(page, (unsigned[]){ 0, 1 }, 2);
	assert_int_equal(part_paths(f, paths, 1), 1);
	/* Of the same length, longer, shorter; and each time before all that was there. */
	for (unsigned i = 0; i < 3; i++) {
		size_t cut = i == 2 ? strlen(texts[1]) : 1;

		replace_end(paths[0], LOG_RECORD_HEADER_BYTES + (off_t)cut, 900 - i, texts[i]);
		get_page(f, (struct log_read_request){ .end_us = 950 }, page);
		expect_numbers(page, (unsigned[]){ 7 + i }, 1);
		get_page(f, (struct log_read_request){ .limit = 1 }, page);
		expect_numbers(page, (unsigned[]){ 7 + i }, 1);
		get_page(f, (struct log_read_request){ .token = page->token }, page);
		expect_numbers(page, (unsigned[]){ 0 }, 1);
	}
	/* Cut and not followed by anything. */
	assert_int_equal(truncate(paths[0], LOG_RECORD_HEADER_BYTES + 5), 0);
	get_page(f, (struct log_read_request){ 0 }, page);
	expect_numbers(page, (unsigned[]){ 0 }, 1);
	free(page);
	model_free(model);
}

/* -- tokens -- */

static void strange_tokens(void **state)
{
	struct fixture *f = *state;
	struct page *page = calloc(1, sizeof(*page));
	static const char *const bad[] = { ".",     "1",     "1.",    ".1",
					   "1.2.3", "1.2 ",  " 1.2",  "+1.2",
					   "01.2",  "1.0x2", "1. 2",  "1.-",
					   "a.b",   "1,2",   "%s%n",  "1.99999999999999999999",
					   "x",     "-",     "1\n.2", "1.2e3" };
	char long_token[5000];

	open_store(f);
	struct model *model = model_new(f, 1);
	model_write(model, 0, 1000, 1);
	memset(long_token, '1', sizeof(long_token));
	long_token[sizeof(long_token) - 1] = '\0';
	long_token[2000] = '.';
	for (size_t i = 0; i <= ARRAY_SIZE(bad); i++) {
		_cleanup_error_ struct error error = ERROR_INIT;
		struct log_read_request request = { .tenant = TENANT,
						    .group = GROUP,
						    .token = i < ARRAY_SIZE(bad) ? bad[i]
										 : long_token };

		assert_int_equal(log_store_read(f->store, &request, on_page, page, &error),
				 -EINVAL);
		assert_int_equal(error.code, ERROR_INVALID_PARAMETER);
		assert_string_equal(error.field, "next_token");
	}
	/* Of the right form: a place like any other. */
	get_page(f, (struct log_read_request){ .token = "-5.-3" }, page);
	assert_int_equal(page->count, 1);
	get_page(f, (struct log_read_request){ .token = "999.9223372036854775807" }, page);
	assert_int_equal(page->count, 1);
	get_page(f, (struct log_read_request){ .token = "1000.9223372036854775807" }, page);
	assert_int_equal(page->count, 0);
	assert_string_equal(page->token, "");
	free(page);
	model_free(model);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_pages_are_all_events), TEST(a_page_costs_what_it_answers_with),
		TEST(reads_at_the_same_time),   TEST(more_groups_than_are_remembered),
		TEST(streams_come_and_go),      TEST(a_token_outlives_the_store),
		TEST(a_cut_is_noticed),         TEST(strange_tokens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
