/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_init_core

/* Frames of the shim's link, written by whatever runs in the function's process. The first
 * byte is the size of the pieces in which they come. */

#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest/init/shim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t seen;

static void take(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		seen += s.data[i];
}

static void on_event(void *user)
{
	(void)user;
}
static void on_one(struct slice a, void *user)
{
	(void)user;
	take(a);
}
static void on_two(struct slice a, struct slice b, void *user)
{
	(void)user;
	take(a);
	take(b);
}
static void on_start(struct slice a, bool s, void *user)
{
	(void)user;
	(void)s;
	take(a);
}
static void on_broken(const char *reason, void *user)
{
	(void)reason;
	shim_close(user);
}

static const struct runtime_listener listener = {
	.on_hello = on_one,
	.on_pong = on_event,
	.on_next = on_event,
	.on_init_error = on_two,
	.on_response_start = on_start,
	.on_response_data = on_one,
	.on_response_end = on_event,
	.on_response_too_large = on_event,
	.on_error = on_two,
	.on_hooks_done = on_two,
	.on_compiled = on_two,
	.on_leaving = on_event,
	.on_broken = on_broken,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct event_loop loop;
	struct shim shim;
	int fds[2];

	if (size < 1 || event_loop_open(&loop) < 0)
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0) {
		(void)close(fds[1]);
		if (shim_open(&shim, &loop, fds[0], &listener, &shim) == 0) {
			size_t step = (size_t)data[0] + 1;
			for (size_t at = 1; at < size; at += step)
				shim_feed(&shim, slice_new(data + at,
							   size - at < step ? size - at : step));
			shim_close(&shim);
		}
	}
	event_loop_close(&loop);
	return 0;
}
