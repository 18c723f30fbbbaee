/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/intake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mayfly/clock.h"
#include "mayfly/log.h"
#include "rpc/rpc_server.h"

#define LOOK_EVERY_MS 50
#define QUIET_LOOKS   20 /* without any request, and the watch sleeps until there is one */

/* HTTP/2's frames and headers between messages, and what TLS puts around them. */
#define SLACK_BYTES   (256U << 10)
#define MESSAGE_BYTES 512U /* the same, of each call */

void intake_init(struct intake *intake, const struct rpc_limits *limits,
		 void (*end)(struct rpc_call *call, enum intake_end why))
{
	pthread_condattr_t monotonic;

	*intake = (struct intake){ .max_calls = limits->calls,
				   .max_bytes = (uint64_t)limits->receiving_mb << 20,
				   .receive_s = limits->receive_s,
				   .end = end };
	TAILQ_INIT(&intake->receptions);
	(void)pthread_mutex_init(&intake->lock, NULL);
	(void)pthread_condattr_init(&monotonic);
	(void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&intake->changed, &monotonic);
	(void)pthread_condattr_destroy(&monotonic);
}

/* -- calls -- */

static int refuse(struct error *e, const char *whose)
{
	int r = error_set(e, ERROR_TOO_MANY_REQUESTS, NULL, "Too many calls at a time %s.", whose);

	error_set_reason(e, "CallLimitExceeded");
	return r;
}

static int check(const struct intake *intake, const struct payer *payer, bool is_stranger,
		 struct error *e)
{
	if (is_stranger && payer->calls >= INTAKE_STRANGERS_PER_ADDRESS)
		return refuse(e, "without credentials from this address");
	if (is_stranger && intake->strangers >= INTAKE_STRANGERS)
		return refuse(e, "without credentials");
	if (payer->calls >= intake->max_calls / 2)
		return refuse(e, "of this tenant");
	if (intake->calls >= intake->max_calls + INTAKE_STRANGERS)
		return refuse(e, "on this node");
	return 0;
}

static void release(struct intake *intake, struct payer *payer)
{
	if (payer->calls > 0)
		return;
	HASH_DEL(intake->payers, payer);
	free(payer);
}

static int join(struct intake *intake, uint64_t id, bool is_stranger, struct payer **ret,
		struct error *e)
{
	struct payer *payer;

	HASH_FIND(hh, intake->payers, &id, sizeof(id), payer);
	if (!payer) {
		payer = calloc(1, sizeof(*payer));
		if (!payer)
			return error_set_errno(e, ENOMEM, "Cannot take the call");
		payer->id = id;
		HASH_ADD(hh, intake->payers, id, sizeof(payer->id), payer);
	}
	int r = check(intake, payer, is_stranger, e);
	if (r < 0) {
		release(intake, payer);
		return r;
	}
	payer->calls++;
	intake->calls++;
	intake->strangers += is_stranger;
	*ret = payer;
	return 0;
}

int intake_join(struct intake *intake, uint64_t payer, bool is_stranger, struct payer **ret,
		struct error *e)
{
	(void)pthread_mutex_lock(&intake->lock);
	int r = join(intake, payer, is_stranger, ret, e);
	(void)pthread_mutex_unlock(&intake->lock);
	return r;
}

void intake_leave(struct intake *intake, struct payer *payer, bool is_stranger)
{
	(void)pthread_mutex_lock(&intake->lock);
	payer->calls--;
	intake->calls--;
	intake->strangers -= is_stranger;
	release(intake, payer);
	(void)pthread_mutex_unlock(&intake->lock);
}

/* -- requests -- */

/* Without memory for it the connection is not looked at; core's quota is there. */
static struct inlet *find_inlet(struct intake *intake, const struct connection_ref *connection)
{
	struct inlet *inlet;

	HASH_FIND(hh, intake->inlets, &connection->number, sizeof(connection->number), inlet);
	if (inlet)
		return inlet;
	inlet = calloc(1, sizeof(*inlet));
	if (!inlet)
		return NULL;
	inlet->connection = *connection;
	inlet->received_bytes = connection_received(connection);
	TAILQ_INIT(&inlet->receptions);
	HASH_ADD(hh, intake->inlets, connection.number, sizeof(inlet->connection.number), inlet);
	return inlet;
}

void intake_begin(struct intake *intake, struct reception *reception,
		  const struct connection_ref *connection, uint32_t allowed_bytes, unsigned for_s)
{
	(void)pthread_mutex_lock(&intake->lock);
	struct inlet *inlet = connection->number ? find_inlet(intake, connection) : NULL;

	reception->inlet = inlet;
	reception->is_there = true;
	reception->is_ending = false;
	reception->allowed_bytes = allowed_bytes;
	reception->until_us = for_s ? clock_monotonic_us() + for_s * USEC_PER_SEC : INT64_MAX;
	if (inlet) {
		reception->base_bytes = inlet->received_bytes - inlet->owned_bytes;
		inlet->allowed_bytes += allowed_bytes;
		TAILQ_INSERT_TAIL(&inlet->receptions, reception, in_inlet);
	}
	TAILQ_INSERT_TAIL(&intake->receptions, reception, in_all);
	if (intake->sleeps)
		(void)pthread_cond_signal(&intake->changed);
	(void)pthread_mutex_unlock(&intake->lock);
}

static void leave_inlet(struct intake *intake, struct reception *reception, uint64_t bytes)
{
	struct inlet *inlet = reception->inlet;

	TAILQ_REMOVE(&inlet->receptions, reception, in_inlet);
	inlet->allowed_bytes -= reception->allowed_bytes;
	inlet->owned_bytes += bytes + MESSAGE_BYTES;
	if (!TAILQ_EMPTY(&inlet->receptions))
		return;
	HASH_DEL(intake->inlets, inlet);
	free(inlet);
}

void intake_finish(struct intake *intake, struct reception *reception, uint64_t bytes)
{
	(void)pthread_mutex_lock(&intake->lock);
	if (reception->is_there) {
		TAILQ_REMOVE(&intake->receptions, reception, in_all);
		if (reception->inlet)
			leave_inlet(intake, reception, bytes);
		reception->is_there = false;
	}
	(void)pthread_mutex_unlock(&intake->lock);
}

/* -- looking; with the lock held -- */

static void end(const struct intake *intake, struct reception *reception, enum intake_end why)
{
	if (reception->is_ending)
		return;
	reception->is_ending = true;
	intake->end(reception->call, why);
}

static void end_inlet(const struct intake *intake, struct inlet *inlet, enum intake_end why)
{
	struct reception *reception;

	TAILQ_FOREACH (reception, &inlet->receptions, in_inlet)
		end(intake, reception, why);
	inlet->held_bytes = 0; /* it will be soon */
}

/* Both counters wrap around together. */
static void measure(struct inlet *inlet)
{
	const struct reception *oldest = TAILQ_FIRST(&inlet->receptions);

	inlet->received_bytes = connection_received(&inlet->connection);
	int64_t held = (int64_t)(inlet->received_bytes - inlet->owned_bytes - oldest->base_bytes);
	inlet->held_bytes = held > 0 ? (uint64_t)held : 0;
}

static struct payer *payer_of(const struct inlet *inlet)
{
	return rpc_call_payer(TAILQ_FIRST(&inlet->receptions)->call);
}

static uint64_t count(struct intake *intake)
{
	struct inlet *inlet, *next_inlet;
	struct payer *payer, *next_payer;
	uint64_t all = 0;

	HASH_ITER (hh, intake->payers, payer, next_payer)
		payer->held_bytes = 0;
	HASH_ITER (hh, intake->inlets, inlet, next_inlet) {
		measure(inlet);
		if (inlet->held_bytes > inlet->allowed_bytes + SLACK_BYTES)
			end_inlet(intake, inlet, INTAKE_TOO_LARGE);
		payer = payer_of(inlet);
		if (payer)
			payer->held_bytes += inlet->held_bytes;
		all += inlet->held_bytes;
	}
	return all;
}

/* Of the caller with most the connection with most. NULL: nobody has anything. */
static struct inlet *find_largest(const struct intake *intake)
{
	struct inlet *inlet, *next_inlet, *largest = NULL;
	struct payer *payer, *next_payer, *most = NULL;

	HASH_ITER (hh, intake->payers, payer, next_payer)
		if (payer->held_bytes > 0 && (!most || payer->held_bytes > most->held_bytes))
			most = payer;
	HASH_ITER (hh, intake->inlets, inlet, next_inlet)
		if (most && payer_of(inlet) == most &&
		    (!largest || inlet->held_bytes > largest->held_bytes))
			largest = inlet;
	return largest;
}

void intake_look(struct intake *intake)
{
	const int64_t now_us = clock_monotonic_us();
	struct reception *reception;
	struct inlet *largest;
	uint64_t all;

	TAILQ_FOREACH (reception, &intake->receptions, in_all)
		if (reception->until_us <= now_us)
			end(intake, reception, INTAKE_LATE);
	all = count(intake);
	while ((largest = find_largest(intake))) {
		struct payer *payer = payer_of(largest);
		if (all <= intake->max_bytes && payer->held_bytes <= intake->max_bytes / 2)
			return;
		all -= largest->held_bytes;
		payer->held_bytes -= largest->held_bytes;
		end_inlet(intake, largest, INTAKE_TOO_MUCH);
	}
}

static void *watch_run(void *arg)
{
	struct intake *intake = arg;
	unsigned quiet = 0;

	(void)pthread_mutex_lock(&intake->lock);
	while (!intake->stops) {
		quiet = TAILQ_EMPTY(&intake->receptions) ? quiet + 1 : 0;
		intake->sleeps = quiet > QUIET_LOOKS;
		if (intake->sleeps) {
			(void)pthread_cond_wait(&intake->changed, &intake->lock);
			continue;
		}
		struct timespec until;
		(void)clock_gettime(CLOCK_MONOTONIC, &until);
		int64_t next_us = until.tv_sec * USEC_PER_SEC + until.tv_nsec / 1000 +
				  LOOK_EVERY_MS * USEC_PER_MSEC;
		until = (struct timespec){ .tv_sec = next_us / USEC_PER_SEC,
					   .tv_nsec = next_us % USEC_PER_SEC * 1000 };
		(void)pthread_cond_timedwait(&intake->changed, &intake->lock, &until);
		intake_look(intake);
	}
	(void)pthread_mutex_unlock(&intake->lock);
	return NULL;
}

int intake_start(struct intake *intake, struct error *e)
{
	int r = pthread_create(&intake->watch, NULL, watch_run, intake);

	if (r != 0)
		return error_set_errno(e, r, "cannot start a thread");
	intake->runs = true;
	return 0;
}

void intake_clear(struct intake *intake)
{
	if (intake->runs) {
		(void)pthread_mutex_lock(&intake->lock);
		intake->stops = true;
		(void)pthread_cond_signal(&intake->changed);
		(void)pthread_mutex_unlock(&intake->lock);
		(void)pthread_join(intake->watch, NULL);
	}
	(void)pthread_mutex_destroy(&intake->lock);
	(void)pthread_cond_destroy(&intake->changed);
}
