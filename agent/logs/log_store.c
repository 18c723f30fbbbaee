/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/logs/log_store.h"

#include <errno.h>
#include <inttypes.h>

#include "agent/logs/log_internal.h"
#include "agent/logs/log_record.h"
#include "mayfly/clock.h"
#include "mayfly/fs.h"
#include "mayfly/log.h"

#define PART_MAX_BYTES    (8ULL << 20)
#define GROUP_MAX_BYTES   (256ULL << 20)
#define TENANT_MAX_BYTES  (4ULL << 30)
#define WAITING_MAX_BYTES (32ULL << 20)
#define INDEX_MAX_BYTES   (16ULL << 20)
#define FLUSH_AFTER_US    (20 * USEC_PER_MSEC)
#define KEEP_BUFFER_BYTES 4096 /* a quiet stream keeps no larger one */

static void plan_flush(struct log_store *store);

/* -- tails -- */

int log_tail_start(struct log_store *store, const char *tenant, const char *group, log_tail_fn *fn,
		   void *arg, struct log_tail **ret, int64_t *ret_since_us)
{
	struct log_tail *tail = calloc(1, sizeof(*tail));
	struct log_stream *stream;
	int r;

	if (!tail)
		return -ENOMEM;
	r = log_group_get(store, tenant, group, &tail->group);
	if (r < 0) {
		free(tail);
		return r;
	}
	tail->fn = fn;
	tail->arg = arg;
	TAILQ_INSERT_TAIL(&tail->group->tails, tail, link);
	/* What is written but not flushed yet will be heard too: it begins with the first of it. */
	*ret_since_us = store->last_ingestion_us + 1;
	TAILQ_FOREACH (stream, &store->dirty, link) {
		struct log_record first;
		size_t consumed;

		if (stream->group == tail->group &&
		    log_record_parse(buf_slice(&stream->waiting), &first, &consumed) > 0 &&
		    first.ingestion_us < *ret_since_us)
			*ret_since_us = first.ingestion_us;
	}
	*ret = tail;
	return 0;
}

static void tail_free(struct log_tail *tail)
{
	struct log_group *group = tail->group;

	TAILQ_REMOVE(&group->tails, tail, link);
	free(tail);
	log_group_put(group);
}

struct log_tail *log_tail_stop(struct log_tail *tail)
{
	if (!tail)
		return NULL;
	tail->stopped = true;
	if (tail->group->delivering == 0)
		tail_free(tail);
	return NULL;
}

static void deliver_event(struct log_group *group, const struct log_event *event)
{
	struct log_tail *tail;

	TAILQ_FOREACH (tail, &group->tails, link)
		if (!tail->stopped)
			tail->fn(event, tail->arg);
}

static void deliver_records(struct log_stream *stream, struct slice records)
{
	struct log_group *group = stream->group;
	struct log_record record;
	struct log_tail *tail;
	size_t consumed;

	if (TAILQ_EMPTY(&group->tails))
		return;
	group->references++;
	group->delivering++;
	while (log_record_parse(records, &record, &consumed) > 0) {
		deliver_event(group, &(struct log_event){ .stream = stream->name,
							  .time_us = record.time_us,
							  .ingestion_us = record.ingestion_us,
							  .text = record.text });
		records = slice_new(records.data + consumed, records.len - consumed);
	}
	group->delivering--;
	for (struct log_tail *next = TAILQ_FIRST(&group->tails); (tail = next);) {
		next = TAILQ_NEXT(tail, link);
		if (tail->stopped && group->delivering == 0)
			tail_free(tail);
	}
	log_group_put(group);
}

/* -- streams -- */

int log_stream_open(struct log_store *store, const char *tenant, const char *group,
		    const char *name, struct log_stream **ret)
{
	struct log_stream *stream = calloc(1, sizeof(*stream));
	int r;

	if (!stream)
		return -ENOMEM;
	stream->name = strdup(name);
	r = stream->name ? log_group_get(store, tenant, group, &stream->group) : -ENOMEM;
	if (r < 0) {
		free(stream->name);
		free(stream);
		return r;
	}
	stream->store = store;
	stream->references = 1;
	stream->fd = -1;
	*ret = stream;
	return 0;
}

void log_stream_set_style(struct log_stream *stream, struct line_style style)
{
	stream->style = style;
}

static void stream_put(struct log_stream *stream)
{
	if (--stream->references > 0)
		return;
	close_p(&stream->fd);
	buf_free(&stream->waiting);
	buf_free(&stream->captured);
	log_group_put(stream->group);
	free(stream->name);
	free(stream);
}

struct log_stream *log_stream_close(struct log_stream *stream)
{
	if (stream)
		stream_put(stream);
	return NULL;
}

static void count_dropped(struct log_stream *stream, uint64_t records, uint64_t bytes, int reason)
{
	struct log_store *store = stream->store;

	stream->dropped_records += records;
	stream->dropped_bytes += bytes;
	store->counters.dropped_records += records;
	store->counters.dropped_bytes += bytes;
	if (store->dropping)
		return;
	store->dropping = true;
	log_warning("Function logs are being dropped: %s",
		    reason == -ENOBUFS ? "they come faster than they can be written"
				       : strerror(-reason));
}

static int stream_append(struct log_stream *stream, const struct log_record *record)
{
	struct log_store *store = stream->store;
	uint64_t bytes = LOG_RECORD_HEADER_BYTES + record->text.len;
	int r;

	if (!log_room_has(stream->group->tenant, bytes) ||
	    stream->waiting.len + bytes > store->part_max_bytes)
		return -ENOBUFS;
	r = log_record_append(&stream->waiting, record);
	if (r < 0)
		return r;
	log_room_take(stream->group->tenant, bytes);
	stream->waiting_records++;
	store->counters.records++;
	store->counters.bytes += record->text.len;
	if (!stream->dirty) {
		stream->dirty = true;
		stream->references++;
		TAILQ_INSERT_TAIL(&store->dirty, stream, link);
	}
	return 0;
}

/* Amortised: the buffer grows to four times the wish before its front is cut. */
static void stream_capture(struct log_stream *stream, struct slice text)
{
	if (stream->capture_max == 0)
		return;
	if (text.len >= stream->capture_max) {
		buf_reset(&stream->captured);
		text = slice_new(text.data + (text.len - stream->capture_max), stream->capture_max);
	}
	if (buf_append(&stream->captured, text.data, text.len) < 0 ||
	    buf_append(&stream->captured, "\n", 1) < 0)
		return;
	if (stream->captured.len > 4 * stream->capture_max)
		buf_consume(&stream->captured, stream->captured.len - stream->capture_max);
}

static int64_t next_ingestion_us(struct log_store *store)
{
	int64_t now_us = clock_realtime_us();

	if (now_us <= store->last_ingestion_us)
		now_us = store->last_ingestion_us + 1;
	store->last_ingestion_us = now_us;
	return now_us;
}

/* Once there is room again, where the hole is. */
static int say_dropped(struct log_stream *stream)
{
	_cleanup_buf_ struct buf line = BUF_INIT;
	struct log_record record;
	int r;

	if (stream->dropped_records == 0)
		return 0;
	record.time_us = record.ingestion_us = next_ingestion_us(stream->store);
	r = log_line_dropped(&line, stream->style, record.time_us, stream->dropped_records,
			     stream->dropped_bytes);
	if (r < 0)
		return r;
	if (line.len > 0) {
		record.text = slice_new(line.data, line.len - 1);
		r = stream_append(stream, &record);
	}
	if (r >= 0)
		stream->dropped_records = stream->dropped_bytes = 0;
	return r;
}

void log_stream_write(struct log_stream *stream, int64_t realtime_us, struct slice text)
{
	int64_t now_us;
	int r;

	if (text.len > 0 && text.data[text.len - 1] == '\n')
		text.len--;
	if (text.len > LOG_EVENT_MAX_BYTES)
		text.len = LOG_EVENT_MAX_BYTES;
	stream_capture(stream, text);
	r = say_dropped(stream);
	now_us = next_ingestion_us(stream->store);
	/* No event is later than its writing: reads skip files by their time of writing. */
	struct log_record record = {
		.time_us = realtime_us > now_us || realtime_us <= 0 ? now_us : realtime_us,
		.ingestion_us = now_us,
		.text = text,
	};
	stream->last_time_us = record.time_us;
	if (r >= 0)
		r = stream_append(stream, &record);
	if (r < 0)
		count_dropped(stream, 1, text.len, r);
	plan_flush(stream->store);
}

void log_stream_write_guest(struct log_stream *stream, int64_t realtime_us, struct slice text)
{
	log_stream_write(stream,
			 realtime_us < stream->last_time_us ? stream->last_time_us : realtime_us,
			 text);
}

void log_stream_capture_begin(struct log_stream *stream, size_t max)
{
	buf_reset(&stream->captured);
	stream->capture_max = max;
}

void log_stream_capture_end(struct log_stream *stream, struct buf *to)
{
	size_t over = stream->captured.len > stream->capture_max
			      ? stream->captured.len - stream->capture_max
			      : 0;

	/* Without memory the caller gets less of a convenience. */
	if (to && stream->captured.len > over)
		(void)!buf_append(to, stream->captured.data + over, stream->captured.len - over);
	buf_free(&stream->captured);
	stream->captured = BUF_INIT;
	stream->capture_max = 0;
}

/* -- flushing -- */

static void run_waiters(struct log_store *store)
{
	struct log_waiter *waiter, *next;

	for (waiter = TAILQ_FIRST(&store->waiters); waiter; waiter = next) {
		next = TAILQ_NEXT(waiter, link);
		if (waiter->needs > store->flushes_done)
			continue;
		TAILQ_REMOVE(&store->waiters, waiter, link);
		waiter->fn(waiter->arg);
	}
}

/* A buffer goes back to its stream unless that would keep much memory for little. */
static void item_finish(struct log_store *store, struct log_batch_item *item)
{
	struct log_stream *stream = item->stream;

	log_room_give_back(stream->group->tenant, item->records.len);
	if (item->result < 0) {
		count_dropped(stream, item->count, item->records.len, item->result);
	} else if (store->dropping) {
		store->dropping = false;
		log_notice("Function logs are kept again; %" PRIu64 " records were dropped so far",
			   store->counters.dropped_records);
	}
	if (!stream->waiting.data && item->records.capacity <= KEEP_BUFFER_BYTES) {
		stream->waiting = item->records;
		buf_reset(&stream->waiting);
	} else {
		buf_free(&item->records);
	}
	stream_put(stream);
}

static void batch_done(struct job *job)
{
	struct log_batch *batch = container_of(job, struct log_batch, job);
	struct log_store *store = batch->store;

	for (size_t i = 0; i < batch->count; i++)
		item_finish(store, &batch->items[i]);
	free(batch->items);
	free(batch);
	store->batch = NULL;
	store->flushes_done++;
	run_waiters(store);
	if (!TAILQ_EMPTY(&store->dirty))
		plan_flush(store);
}

static struct log_batch *batch_collect(struct log_store *store)
{
	struct log_batch *batch = calloc(1, sizeof(*batch));
	struct log_stream *stream;
	size_t count = 0;

	TAILQ_FOREACH (stream, &store->dirty, link)
		count++;
	if (!batch || !(batch->items = calloc(count, sizeof(*batch->items)))) {
		free(batch);
		return NULL;
	}
	batch->store = store;
	while ((stream = TAILQ_FIRST(&store->dirty))) {
		TAILQ_REMOVE(&store->dirty, stream, link);
		stream->dirty = false;
		batch->items[batch->count++] = (struct log_batch_item){
			.stream = stream,
			.records = stream->waiting,
			.count = stream->waiting_records,
		};
		stream->waiting = BUF_INIT;
		stream->waiting_records = 0;
	}
	return batch;
}

static void flush(struct log_store *store)
{
	struct log_batch *batch;

	if (store->batch || TAILQ_EMPTY(&store->dirty))
		return;
	batch = batch_collect(store);
	if (!batch) {
		plan_flush(store); /* no memory just now */
		return;
	}
	store->batch = batch;
	store->flushes_started++;
	for (size_t i = 0; i < batch->count; i++)
		deliver_records(batch->items[i].stream, buf_slice(&batch->items[i].records));
	batch->job = (struct job){ .work = log_batch_write, .done = batch_done };
	loop_submit(store->loop, &batch->job);
}

static void on_flush_time(void *arg)
{
	struct log_store *store = arg;

	store->flush_planned = false;
	flush(store);
	if (!store->batch)
		run_waiters(store); /* there was nothing to write */
}

static bool is_waited_for(const struct log_store *store)
{
	struct log_waiter *waiter;

	TAILQ_FOREACH (waiter, &store->waiters, link)
		if (waiter->needs > store->flushes_started)
			return true;
	return false;
}

static void plan_flush(struct log_store *store)
{
	int64_t at_us = clock_monotonic_us();

	if (store->batch || store->flush_planned || TAILQ_EMPTY(&store->dirty))
		return;
	if (!is_waited_for(store))
		at_us += store->flush_after_us;
	store->flush_planned =
		timer_arm(&store->flush_timer, store->loop, at_us, on_flush_time, store) >= 0;
}

int log_store_wait(struct log_store *store, struct log_waiter *waiter)
{
	int r;

	waiter->needs = store->flushes_started + !TAILQ_EMPTY(&store->dirty);
	TAILQ_INSERT_TAIL(&store->waiters, waiter, link);
	if (store->batch)
		return 0; /* batch_done() comes by */
	/* Now, though not within this call. */
	r = timer_arm(&store->flush_timer, store->loop, clock_monotonic_us(), on_flush_time, store);
	if (r < 0)
		TAILQ_REMOVE(&store->waiters, waiter, link);
	store->flush_planned = r >= 0;
	return r;
}

struct flush_wait {
	struct log_waiter waiter;
	loop_fn *done;
	void *arg;
};

static void flush_waited(void *arg)
{
	struct flush_wait *wait = arg;
	loop_fn *done = wait->done;
	void *done_arg = wait->arg;

	free(wait);
	done(done_arg);
}

void log_store_flush(struct log_store *store, loop_fn *done, void *arg)
{
	struct flush_wait *wait = calloc(1, sizeof(*wait));

	if (wait)
		*wait = (struct flush_wait){ .waiter = { .fn = flush_waited, .arg = wait },
					     .done = done,
					     .arg = arg };
	if (!wait || log_store_wait(store, &wait->waiter) < 0) {
		free(wait);
		loop_post(store->loop, done, arg);
	}
}

/* -- the store -- */

int log_store_open(const struct log_store_config *config, struct loop *loop, struct log_store **ret,
		   struct error *error)
{
	_cleanup_(log_store_close_p) struct log_store *store = calloc(1, sizeof(*store));
	int r;

	if (!store)
		return -ENOMEM;
	TAILQ_INIT(&store->dirty);
	TAILQ_INIT(&store->waiters);
	TAILQ_INIT(&store->idle);
	store->loop = loop;
	store->part_max_bytes = config->part_max_bytes ? config->part_max_bytes : PART_MAX_BYTES;
	store->group_max_bytes =
		config->group_max_bytes ? config->group_max_bytes : GROUP_MAX_BYTES;
	store->tenant_max_bytes =
		config->tenant_max_bytes ? config->tenant_max_bytes : TENANT_MAX_BYTES;
	store->waiting_max_bytes =
		config->waiting_max_bytes ? config->waiting_max_bytes : WAITING_MAX_BYTES;
	store->index_max_bytes =
		config->index_max_bytes ? config->index_max_bytes : INDEX_MAX_BYTES;
	store->flush_after_us = config->flush_after_us ? config->flush_after_us : FLUSH_AFTER_US;
	store->last_ingestion_us = clock_realtime_us();
	store->directory = strdup(config->directory);
	if (!store->directory)
		return -ENOMEM;
	r = fs_make_directories(config->directory, 0750);
	if (r < 0)
		return error_set_errno(error, r, "Cannot make the folder of function logs, %s",
				       config->directory);
	*ret = TAKE_PTR(store);
	return 0;
}

struct log_store *log_store_close(struct log_store *store)
{
	struct log_batch *batch;

	if (!store)
		return NULL;
	if (store->batch) {
		/* A worker still holds it; an ending process may keep it. */
		log_warning("The log store was closed during a flush");
		return NULL;
	}
	timer_disarm(&store->flush_timer);
	batch = TAILQ_EMPTY(&store->dirty) ? NULL : batch_collect(store);
	if (batch) {
		batch->store = store;
		log_batch_write(&batch->job);
		batch_done(&batch->job);
	}
	log_shelves_clear(store);
	log_tenants_clear(store);
	free(store->directory);
	free(store);
	return NULL;
}

struct log_store_counters log_store_counters(const struct log_store *store)
{
	return store->counters;
}
