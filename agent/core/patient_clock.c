/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/core/patient_clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "mayfly/clock.h"
#include "mayfly/fs.h"
#include "mayfly/log.h"

#define SAVE_EVERY_US  (600 * USEC_PER_SEC)
#define FILE_MAX_BYTES 64
#define FILE_MODE      0600

struct patient_clock {
	struct loop *loop;
	char *path;
	struct patient_time time;
	int64_t save_at_us; /* monotonic */
};

int64_t patient_time_look(struct patient_time *time, int64_t realtime_us, int64_t monotonic_us)
{
	int64_t passed_us = monotonic_us - time->at_us;

	time->known_us += passed_us;
	time->at_us = monotonic_us;
	if (realtime_us - PATIENT_CLOCK_SLACK_US > time->known_us) {
		time->waited_us += time->is_ahead ? passed_us : 0;
		time->is_ahead = true;
		if (time->waited_us < PATIENT_CLOCK_PATIENCE_US)
			return time->known_us;
	}
	time->known_us = realtime_us;
	time->waited_us = 0;
	time->is_ahead = false;
	return realtime_us;
}

/* -- the file: KNOWN WAITED -- */

static int parse_number(const char **at, char end, int64_t max, int64_t *ret)
{
	char *rest;

	if (**at < '0' || **at > '9')
		return -EINVAL;
	errno = 0;
	*ret = strtoll(*at, &rest, 10);
	if (errno || *rest != end || *ret > max)
		return -EINVAL;
	*at = rest + 1;
	return 0;
}

static int parse(const char *text, struct patient_time *time)
{
	struct patient_time found = *time;
	int r = parse_number(&text, ' ', INT64_MAX / 2, &found.known_us);

	if (r == 0)
		r = parse_number(&text, '\n', PATIENT_CLOCK_PATIENCE_US, &found.waited_us);
	if (r == 0 && *text)
		r = -EINVAL;
	if (r == 0)
		*time = found;
	return r;
}

static void load(struct patient_clock *clock)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	int r = fs_read_file(clock->path, FILE_MAX_BYTES, &text);

	clock->time = (struct patient_time){ .known_us = clock_realtime_us(),
					     .at_us = clock_monotonic_us() };
	if (r == 0)
		r = parse(buf_string(&text), &clock->time);
	if (r < 0 && r != -ENOENT)
		log_warning("%s cannot be read, so the clock is believed: %s", clock->path,
			    strerror(-r));
}

/* Carries all that it needs: the clock may be closed before it is done. */
struct save {
	struct job job;
	int result;
	char text[FILE_MAX_BYTES];
	char path[];
};

static void save_work(struct job *job)
{
	struct save *save = container_of(job, struct save, job);

	save->result = fs_write_file_atomic(save->path, slice_from_string(save->text), FILE_MODE);
}

static void save_done(struct job *job)
{
	struct save *save = container_of(job, struct save, job);

	if (save->result < 0)
		log_warning("The time cannot be kept in %s: %s", save->path,
			    strerror(-save->result));
	free(save);
}

static void save(struct patient_clock *clock)
{
	size_t len = strlen(clock->path) + 1;
	struct save *save = calloc(1, sizeof(*save) + len);

	if (!save)
		return; /* the next one */
	save->job = (struct job){ .work = save_work, .done = save_done };
	memcpy(save->path, clock->path, len);
	(void)snprintf(save->text, sizeof(save->text), "%" PRId64 " %" PRId64 "\n",
		       clock->time.known_us, clock->time.waited_us);
	loop_submit(clock->loop, &save->job);
}

/* -- the clock -- */

int patient_clock_open(const char *path, struct loop *loop, struct patient_clock **ret,
		       struct error *error)
{
	struct patient_clock *clock = calloc(1, sizeof(*clock));

	if (!clock || !(clock->path = strdup(path))) {
		free(clock);
		return error_set_errno(error, ENOMEM, "Cannot make a clock");
	}
	clock->loop = loop;
	load(clock);
	*ret = clock;
	return 0;
}

struct patient_clock *patient_clock_close(struct patient_clock *clock)
{
	if (!clock)
		return NULL;
	free(clock->path);
	free(clock);
	return NULL;
}

int64_t patient_clock_now_us(struct patient_clock *clock)
{
	bool was_ahead = clock->time.is_ahead;
	int64_t realtime_us = clock_realtime_us(), monotonic_us = clock_monotonic_us();
	int64_t now_us = patient_time_look(&clock->time, realtime_us, monotonic_us);

	if (clock->time.is_ahead && !was_ahead)
		log_warning("The clock is %lld hours ahead of what it was: nothing is deleted for "
			    "its age by it before it has stood for a day.",
			    (long long)((realtime_us - now_us) / (3600 * USEC_PER_SEC)));
	if (monotonic_us >= clock->save_at_us) {
		clock->save_at_us = monotonic_us + SAVE_EVERY_US;
		save(clock);
	}
	return now_us;
}
