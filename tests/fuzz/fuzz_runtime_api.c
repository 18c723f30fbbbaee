/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_init_core

/* HTTP of the Runtime API, as a hostile process in the guest may send it. The first byte says
 * where the invocation stands. */

#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest/init/runtime_api.h"

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
static void on_data(struct slice a, void *user)
{
	(void)user;
	take(a);
}

static const struct runtime_listener listener = {
	.on_next = on_event,
	.on_restore_next = on_event,
	.on_response_end = on_event,
	.on_response_too_large = on_event,
	.on_init_error = on_two,
	.on_error = on_two,
	.on_hooks_done = on_two,
	.on_response_start = on_start,
	.on_response_data = on_data,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct event_loop loop;
	struct runtime_api api;
	int fds[2];

	if (size < 1 || event_loop_open(&loop) < 0)
		return 0;
	runtime_api_init(&api, &loop, &listener, NULL);
	api.snap_start = data[0] & 1;
	bool ends = data[0] & 4;
	api.state = data[0] & 2 ? RUNTIME_API_RUNNING : RUNTIME_API_STARTED;
	(void)snprintf(api.request_id, sizeof(api.request_id), "id");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0) {
		if (runtime_api_accept(&api, fds[0]) == 0) {
			(void)!write(fds[1], data + 1, size - 1);
			if (ends)
				(void)shutdown(fds[1], SHUT_WR);
			for (int i = 0; i < 8; i++)
				if (event_loop_step(&loop, 0) < 0)
					break;
		}
		(void)close(fds[1]);
		(void)!event_loop_step(&loop, 0);
	}
	runtime_api_close(&api);
	event_loop_close(&loop);
	return 0;
}
