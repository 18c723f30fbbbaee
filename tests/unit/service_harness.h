/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For tests of agent/api: a loop on its own thread with a server on a unix socket, to which the
 * test is a client. The test puts its services on the server between harness_open() and
 * harness_serve(); harness_open_functions() does so for a directory of functions, whose packages
 * are those of package_double.h. After <cmocka.h>. */

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/auth/master_key.h"
#include "agent/api/api_context.h"
#include "agent/api/function_service.h"
#include "agent/core/loop.h"
#include "agent/store/registry.h"
#include "client/client.h"
#include "mayfly/clock.h"
#include "mayfly/fs.h"
#include "rpc/rpc_server.h"
#include "tests/unit/package_double.h"

#define REGION            "eu-central-1"
#define TENANT            "123456789012"
#define HARNESS_LIMIT_SEC 60

struct harness {
	char folder[64];
	char socket[96];
	struct api_context context;
	struct loop *loop;
	struct rpc_server *server;
	struct client *client;
	pthread_t thread;
	void (*stop)(void *arg); /* on the loop, before the server is shut down; may be NULL */
	void *stop_arg;
	/* ---- with harness_open_functions() ---- */
	struct registry *registry;
	struct directory *directory;
	struct function_service *functions;
};

static void harness_post(void *context, rpc_fn *fn, void *arg)
{
	loop_post(context, fn, arg);
}

static void *harness_run(void *arg)
{
	struct harness *harness = arg;

	(void)loop_run(harness->loop);
	return NULL;
}

static void harness_open(struct harness *harness)
{
	struct rpc_server_options options = { .post = harness_post };

	(void)snprintf(harness->folder, sizeof(harness->folder), "/tmp/mayfly-service-XXXXXX");
	assert_non_null(mkdtemp(harness->folder));
	(void)snprintf(harness->socket, sizeof(harness->socket), "%s/sock", harness->folder);
	harness->context = (struct api_context){ .region = REGION, .tenant = TENANT };
	assert_int_equal(loop_new(2, &harness->loop), 0);
	options.post_ctx = harness->loop;
	assert_int_equal(rpc_server_new(&options, &harness->server, NULL), 0);
}

static void _unused_ harness_open_functions(struct harness *harness)
{
	static const char *const runtimes[] = { "nodejs20.x", "provided.al2023", "python3.13" };
	static const struct master_key master_key;
	const struct directory_config config = {
		.master_key = &master_key,
		.state_dir = harness->folder,
		.region = REGION,
		.default_tenant = TENANT,
		.runtimes = runtimes,
		.runtime_count = ARRAY_SIZE(runtimes),
	};
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/packages", harness->folder);
	assert_int_equal(fs_make_directories(path, 0700), 0);
	assert_int_equal(registry_open_memory(&harness->registry, NULL), 0);
	assert_int_equal(directory_open(&config, harness->registry, harness->loop,
					&harness->directory, NULL),
			 0);
	assert_int_equal(function_service_register(harness->server, harness->directory,
						   &harness->context, &harness->functions, NULL),
			 0);
}

static void harness_serve(struct harness *harness)
{
	assert_int_equal(
		rpc_server_listen_unix(harness->server, harness->socket, 0600, (gid_t)-1, NULL), 0);
	assert_int_equal(rpc_server_start(harness->server, NULL), 0);
	assert_int_equal(pthread_create(&harness->thread, NULL, harness_run, harness), 0);
	assert_int_equal(client_open(harness->socket, &harness->client, NULL), 0);
}

static void harness_on_shut_down(void *arg)
{
	struct harness *harness = arg;

	loop_exit(harness->loop, 0);
}

static void harness_shut_down(void *arg)
{
	struct harness *harness = arg;

	if (harness->stop)
		harness->stop(harness->stop_arg);
	rpc_server_shutdown(harness->server, 1000, harness_on_shut_down, harness);
}

/* All calls are answered, the server is gone and the loop with it; what the test made is its own
 * to free, then harness_close(). */
static void harness_end(struct harness *harness)
{
	assert_null(client_close(harness->client));
	loop_post(harness->loop, harness_shut_down, harness);
	assert_int_equal(pthread_join(harness->thread, NULL), 0);
	harness->server = rpc_server_free(harness->server);
	harness->loop = loop_free(harness->loop);
}

static void harness_close(struct harness *harness)
{
	harness->functions = function_service_free(harness->functions);
	harness->directory = directory_close(harness->directory);
	harness->registry = registry_close(harness->registry);
	assert_int_equal(fs_remove_tree(harness->folder), 0);
}

struct harness_step {
	void (*fn)(void *arg);
	void *arg;
	sem_t done;
};

static void harness_step(void *arg)
{
	struct harness_step *step = arg;

	step->fn(step->arg);
	(void)sem_post(&step->done);
}

/* Runs fn(arg) on the loop, and comes back when it was run. */
static void _unused_ on_loop(struct harness *harness, void (*fn)(void *arg), void *arg)
{
	struct harness_step step = { .fn = fn, .arg = arg };
	struct timespec limit;

	assert_int_equal(sem_init(&step.done, 0, 0), 0);
	loop_post(harness->loop, harness_step, &step);
	(void)clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += HARNESS_LIMIT_SEC;
	while (sem_timedwait(&step.done, &limit) < 0)
		assert_int_equal(errno, EINTR);
	(void)sem_destroy(&step.done);
}

static void harness_do_nothing(void *arg _unused_)
{
}

/* What the loop wrote before may be read from here on. An answer is not enough: how a socket orders
 * two threads, no tool can see through gRPC. */
static void _unused_ harness_meet_loop(struct harness *harness)
{
	on_loop(harness, harness_do_nothing, NULL);
}

static char _unused_ *borrow(const char *text)
{
	return (char *)(uintptr_t)text;
}
