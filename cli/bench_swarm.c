/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/bench.h"

#include <errno.h>

#include "mayfly/clock.h"

/* Threads share so many connections. */
#define MAX_CONNECTIONS 16
#define STACK_BYTES     (256U << 10)

struct member {
	struct swarm *swarm;
	struct client *client;
	unsigned index;
	pthread_t thread;
};

static void *member_run(void *arg)
{
	struct member *member = arg;
	(void)pthread_barrier_wait(&member->swarm->barrier);
	member->swarm->run(member->swarm, member->index, member->client);
	return NULL;
}

void swarm_invoke(struct swarm *swarm, struct client *client, unsigned hold_ms, int64_t from_us)
{
	struct sample sample = { 0 };
	_cleanup_error_ struct error e = ERROR_INIT;

	int r = bench_invoke(client, swarm->bench->function, hold_ms, &sample, &e);
	if (r == 0 && from_us > 0)
		sample.client_us = clock_monotonic_us() - from_us;
	(void)pthread_mutex_lock(&swarm->lock);
	if (r == 0) {
		series_add(&swarm->series, &sample);
		bench_keep(swarm->bench, &swarm->series, &sample, false);
	} else {
		swarm->series.failed++;
		if (swarm->error.code == ERROR_NONE)
			error_move(&swarm->error, &e);
	}
	(void)pthread_mutex_unlock(&swarm->lock);
}

/* A call through each, so that connecting is not measured. */
static int connect_all(struct swarm *swarm, struct client **clients, unsigned n)
{
	struct context *context = swarm->bench->context;

	for (unsigned i = 0; i < n; i++) {
		_cleanup_message_ Mayfly__V1__Node *node = NULL;
		int r = client_open_with(&context->options, &clients[i], &context->error);
		if (r == 0)
			r = client_node_get(clients[i], &node, &context->error);
		if (r < 0)
			return r;
		client_set_cancel_flag(clients[i], &interrupted);
	}
	return 0;
}

static int start_all(struct swarm *swarm, struct member *members, struct client **clients,
		     unsigned n_clients)
{
	pthread_attr_t attributes;
	unsigned started = 0;

	(void)pthread_attr_init(&attributes);
	(void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
	for (; started < swarm->clients; started++) {
		members[started] = (struct member){ .swarm = swarm,
						    .client = clients[started % n_clients],
						    .index = started };
		int r = pthread_create(&members[started].thread, &attributes, member_run,
				       &members[started]);
		if (r != 0) { /* the others wait at the barrier for one who never comes */
			(void)fprintf(stderr, "mayfly: cannot start %u threads: %s\n",
				      swarm->clients, strerror(r));
			exit(EXIT_FAILURE);
		}
	}
	(void)pthread_attr_destroy(&attributes);
	swarm->begin_us = clock_monotonic_us();
	(void)pthread_barrier_wait(&swarm->barrier);
	for (unsigned i = 0; i < started; i++)
		(void)pthread_join(members[i].thread, NULL);
	swarm->end_us = clock_monotonic_us();
	return 0;
}

int swarm_run(struct swarm *swarm)
{
	struct client *clients[MAX_CONNECTIONS] = { 0 };
	unsigned n = swarm->clients < MAX_CONNECTIONS ? swarm->clients : MAX_CONNECTIONS;
	_cleanup_free_ struct member *members = calloc(swarm->clients, sizeof(*members));
	if (!members)
		return error_set_errno(&swarm->bench->context->error, ENOMEM, "cannot start");

	int r = connect_all(swarm, clients, n);
	if (r == 0) {
		(void)pthread_mutex_init(&swarm->lock, NULL);
		(void)pthread_barrier_init(&swarm->barrier, NULL, swarm->clients + 1);
		r = start_all(swarm, members, clients, n);
		(void)pthread_barrier_destroy(&swarm->barrier);
		(void)pthread_mutex_destroy(&swarm->lock);
	}
	for (unsigned i = 0; i < n; i++)
		(void)client_close(clients[i]);
	if (swarm->error.code != ERROR_NONE)
		(void)fprintf(stderr, "mayfly: %u of the invocations failed, the first: %s: %s\n",
			      swarm->series.failed, error_kind(swarm->error.code)->name,
			      error_text(&swarm->error));
	error_clear(&swarm->error);
	if (interrupted)
		return error_set(&swarm->bench->context->error, ERROR_CANCELLED, NULL,
				 "interrupted");
	return r;
}
