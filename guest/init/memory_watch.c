/* SPDX-License-Identifier: Apache-2.0 */

#include "memory_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mayfly/clock.h"
#include "mayfly/log.h"
#include "process.h"

#define LOOK_US         250000
#define CRAWL_US        1000000
#define CACHE_SHARE     8             /* less of the limit left for file pages is a crawl */
#define CACHE_MAX_BYTES (32ULL << 20) /* but never more than this */
#define CACHE_TURNS     4U            /* how often all that is left was read again */
#define PAGE_BYTES      4096U
#define STAT_BYTES      8192

static bool read_text(int fd, char *out, size_t size)
{
	ssize_t n = pread(fd, out, size - 1, 0);

	if (n <= 0)
		return false;
	out[n] = '\0';
	return true;
}

/* `text` has lines of a key, a space, a number. */
static uint64_t number_of(const char *text, const char *key)
{
	size_t len = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		if (*line == '\n')
			line++;
		if (strncmp(line, key, len) == 0 && line[len] == ' ')
			return strtoull(line + len + 1, NULL, 10);
	}
	return 0;
}

static bool take_sample(int events_fd, struct memory_sample *ret)
{
	char text[STAT_BYTES];
	_cleanup_close_ int fd = open(PROCESS_CGROUP "/memory.stat", O_RDONLY | O_CLOEXEC);

	/* Reading the events also makes the kernel tell of the next one. */
	if (fd < 0 || !read_text(events_fd, text, sizeof(text)))
		return false;
	*ret = (struct memory_sample){ .limit_hits = number_of(text, "max") };
	if (!read_text(fd, text, sizeof(text)))
		return false;
	uint64_t file = number_of(text, "file");
	uint64_t shmem = number_of(text, "shmem");
	ret->cache_bytes = file > shmem ? file - shmem : 0;
	ret->refaults = number_of(text, "workingset_refault_file");
	ret->major_faults = number_of(text, "pgmajfault");
	return true;
}

static bool crawls(const struct memory_watch *watch, const struct memory_sample *now)
{
	uint64_t little = watch->limit_bytes / CACHE_SHARE;

	if (little > CACHE_MAX_BYTES)
		little = CACHE_MAX_BYTES;
	return now->limit_hits > watch->last.limit_hits && now->cache_bytes < little &&
	       now->major_faults > watch->last.major_faults;
}

/* True: out of memory. */
static bool judge(struct memory_watch *watch, const struct memory_sample *sample, int64_t now_us)
{
	bool is_crawl = crawls(watch, sample);

	if (!is_crawl)
		watch->crawls_since_us = 0;
	else if (watch->crawls_since_us == 0) {
		watch->crawls_since_us = now_us;
		watch->first = *sample;
	}
	watch->last = *sample;
	if (!is_crawl || now_us - watch->crawls_since_us < CRAWL_US)
		return false;
	uint64_t again = (sample->refaults - watch->first.refaults) * PAGE_BYTES;
	/* A slow machine only takes longer to get there. */
	return again >= CACHE_TURNS * sample->cache_bytes;
}

static void on_limit_hit(struct event_source *source, uint32_t events, void *user)
{
	struct memory_watch *watch = user;

	(void)source;
	(void)events;
	event_remove(watch->loop, &watch->source);
	(void)take_sample(watch->events_fd, &watch->last);
	watch->crawls_since_us = 0;
	timer_arm(&watch->timer, clock_monotonic_us() + LOOK_US);
}

static void sleep_until_hit(struct memory_watch *watch)
{
	if (event_add(watch->loop, &watch->source, watch->events_fd, EPOLLPRI, on_limit_hit,
		      watch) < 0)
		log_warning("memory is not watched");
}

static void on_look(void *user)
{
	struct memory_watch *watch = user;
	struct memory_sample sample;
	uint64_t hits = watch->last.limit_hits;

	if (!take_sample(watch->events_fd, &sample)) {
		sleep_until_hit(watch);
		return;
	}
	bool starved = judge(watch, &sample, clock_monotonic_us());
	if (starved) {
		watch->crawls_since_us = 0;
		watch->on_starved(watch->user);
	}
	if (sample.limit_hits == hits || starved)
		sleep_until_hit(watch);
	else
		timer_arm(&watch->timer, clock_monotonic_us() + LOOK_US);
}

void memory_watch_init(struct memory_watch *watch, struct event_loop *loop, timer_fn *on_starved,
		       void *user)
{
	*watch = (struct memory_watch){ .loop = loop,
					.source = EVENT_SOURCE_INIT,
					.events_fd = -1,
					.on_starved = on_starved,
					.user = user };
	timer_add(loop, &watch->timer, on_look, watch);
}

void memory_watch_limit(struct memory_watch *watch, uint64_t limit_bytes)
{
	watch->limit_bytes = limit_bytes;
	if (watch->events_fd >= 0)
		return;
	watch->events_fd = open(PROCESS_CGROUP "/memory.events", O_RDONLY | O_CLOEXEC);
	if (watch->events_fd < 0)
		return;
	(void)take_sample(watch->events_fd, &watch->last);
	sleep_until_hit(watch);
}

void memory_watch_renew(struct memory_watch *watch)
{
	watch->crawls_since_us = 0;
	if (watch->events_fd >= 0)
		(void)take_sample(watch->events_fd, &watch->last);
}
