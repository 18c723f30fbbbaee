/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For tests of agent/logs: a store on a folder of its own, with a real loop. After <cmocka.h>. */

#include <dirent.h>
#include <stdio.h>

#include "agent/logs/log_name.h"
#include "agent/logs/log_store.h"
#include "mayfly/clock.h"
#include "mayfly/fs.h"
#include "mayfly/log.h"

#define TENANT "123456789012"
#define GROUP  "/aws/lambda/f"
#define STREAM "2025/11/24/[$LATEST]0123456789abcdef0123456789abcdef"

struct fixture {
	char dir[64];
	struct loop *loop;
	struct log_store *store;
	struct log_store_config config;
};

static inline void quiet(int priority, const struct log_fields *fields, const char *text,
			 void *user)
{
	(void)priority;
	(void)fields;
	(void)text;
	(void)user;
}

static inline void open_store(struct fixture *f)
{
	f->config.directory = f->dir;
	assert_int_equal(loop_new(1, &f->loop), 0);
	assert_int_equal(log_store_open(&f->config, f->loop, &f->store, NULL), 0);
}

static inline void close_store(struct fixture *f)
{
	f->store = log_store_close(f->store);
	f->loop = loop_free(f->loop);
}

static inline int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	log_set_sink(quiet, NULL);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/mayfly-logs-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	*state = f;
	return 0;
}

static inline int tear_down(void **state)
{
	struct fixture *f = *state;

	close_store(f);
	assert_int_equal(fs_remove_tree(f->dir), 0);
	free(f);
	return 0;
}

#define LIMIT_US (20 * USEC_PER_SEC)

/* Turns the loop until it is done; a test that waits for ever fails. */
static inline void run_until(struct fixture *f, const bool *done)
{
	int64_t limit_us = clock_monotonic_us() + LIMIT_US;

	while (!*done && clock_monotonic_us() < limit_us)
		assert_true(sd_event_run(loop_event(f->loop), 100000) >= 0);
	assert_true(*done);
}

static inline void set_done(void *arg)
{
	*(bool *)arg = true;
}

static inline void flush(struct fixture *f)
{
	bool done = false;

	log_store_flush(f->store, set_done, &done);
	run_until(f, &done);
}

static inline struct log_stream *open_stream(struct fixture *f, const char *name)
{
	struct log_stream *stream;

	assert_int_equal(log_stream_open(f->store, TENANT, GROUP, name, &stream), 0);
	return stream;
}

static inline void write_text(struct log_stream *stream, int64_t time_us, const char *text)
{
	log_stream_write(stream, time_us, slice_from_string(text));
}

/* Paths of the part files of the group, sorted as readdir() gives them. */
static inline size_t part_paths(const struct fixture *f, char out[][512], size_t max)
{
	char encoded[NAME_MAX + 1];
	char path[400];
	size_t n = 0;
	DIR *dir;

	log_name_encode(GROUP, encoded);
	(void)snprintf(path, sizeof(path), "%s/%s/%s", f->dir, TENANT, encoded);
	dir = opendir(path);
	if (!dir)
		return 0;
	for (struct dirent *entry; (entry = readdir(dir));)
		if (entry->d_name[0] != '.' && n < max)
			(void)snprintf(out[n++], 512, "%s/%.100s", path, entry->d_name);
	(void)closedir(dir);
	return n;
}
