/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"
#include "populate.h"
#include "process.h"

#define SAMPLE_BYTES   16
#define POPULATE_BYTES (24ULL << 20)

static void send_or_fail(struct guest *guest, const guest_message *message)
{
	if (channel_send(&guest->channel, message) < 0)
		guest_fail(guest, "an answer could not be sent");
}

/* ---- ends ---- */

static void finish_prepare(struct guest *guest, struct outcome *outcome)
{
	Mayfly__Guest__V1__Prepared answer = MAYFLY__GUEST__V1__PREPARED__INIT;
	outcome_message ended = outcome_to_message(outcome);

	/* However it ended: what starts from now on is limited. */
	guest->prime = PRIME_NONE;
	answer.outcome = &ended;
	answer.runtime_version = guest->runtime_version;
	guest_message message = GUEST_MESSAGE(.prepared = &answer, PREPARED);
	send_or_fail(guest, &message);
}

static void finish_restore(struct guest *guest, struct outcome *outcome)
{
	Mayfly__Guest__V1__Restored answer = MAYFLY__GUEST__V1__RESTORED__INIT;
	outcome_message ended = outcome_to_message(outcome);
	uint8_t sample[SAMPLE_BYTES];

	if (getrandom(sample, sizeof(sample), 0) != (ssize_t)sizeof(sample))
		memset(sample, 0, sizeof(sample));
	answer.outcome = &ended;
	answer.random_sample.data = sample;
	answer.random_sample.len = sizeof(sample);
	answer.realtime_us = clock_realtime_us();
	guest_message message = GUEST_MESSAGE(.restored = &answer, RESTORED);
	send_or_fail(guest, &message);
}

static void finish_initialize(struct guest *guest, struct outcome *outcome)
{
	Mayfly__Guest__V1__Initialized answer = MAYFLY__GUEST__V1__INITIALIZED__INIT;
	outcome_message ended = outcome_to_message(outcome);

	answer.outcome = &ended;
	answer.duration_us = (uint64_t)(clock_monotonic_us() - guest->init_started_us);
	answer.max_memory_bytes = runtime_process_memory_peak(guest);
	guest_message message = GUEST_MESSAGE(.initialized = &answer, INITIALIZED);
	send_or_fail(guest, &message);
}

static void finish_warm(struct guest *guest, struct outcome *outcome)
{
	Mayfly__Guest__V1__Warmed answer = MAYFLY__GUEST__V1__WARMED__INIT;
	outcome_message ended = outcome_to_message(outcome);

	answer.outcome = &ended;
	guest_message message = GUEST_MESSAGE(.warmed = &answer, WARMED);
	send_or_fail(guest, &message);
}

/* What is left to be done now would be done anew in every clone. */
static void settle(struct guest *guest)
{
	int r = 0;

	/* A Node.js has more mapped than it will ever use. */
	if (guest->pid > 0 && guest->runtime_kind == (int)RUNTIME(PYTHON))
		r = populate_process(guest->pid, POPULATE_BYTES);
	if (r == 0)
		r = populate_self();
	if (r < 0)
		log_warning("pages are not met before the snapshot: %s", strerror(-r));
	sync();
}

static void finish_snapshot(struct guest *guest, struct outcome *outcome)
{
	Mayfly__Guest__V1__SnapshotReady answer = MAYFLY__GUEST__V1__SNAPSHOT_READY__INIT;
	outcome_message ended = outcome_to_message(outcome);

	settle(guest);
	answer.outcome = &ended;
	guest_message message = GUEST_MESSAGE(.snapshot_ready = &answer, SNAPSHOT_READY);
	send_or_fail(guest, &message);
}

void tasks_finish(struct guest *guest, struct outcome *outcome)
{
	static void (*const finishers[])(struct guest *, struct outcome *) = {
		[TASK_PREPARE] = finish_prepare,       [TASK_RESTORE] = finish_restore,
		[TASK_INITIALIZE] = finish_initialize, [TASK_WARM] = finish_warm,
		[TASK_SNAPSHOT] = finish_snapshot,     [TASK_COMPILE] = compile_finish,
	};

	if (guest->task == TASK_INVOKE) {
		invocation_finish(guest, outcome);
		return;
	}
	if (guest->task >= ARRAY_SIZE(finishers) || !finishers[guest->task])
		return;
	logs_finish(&guest->logs);
	guest->logs.discard = false;
	timer_disarm(&guest->deadline);
	finishers[guest->task](guest, outcome);
	guest->task = TASK_NONE;
}

void tasks_finish_ok(struct guest *guest)
{
	struct outcome ok = OUTCOME_OK;

	tasks_finish(guest, &ok);
}

static const char *current_request(const struct guest *guest)
{
	return guest->task == TASK_INVOKE ? guest->invocation.request_id : NULL;
}

void tasks_on_deadline(void *user)
{
	struct guest *guest = user;
	_cleanup_outcome_ struct outcome outcome = OUTCOME_OK;

	switch (guest->task) {
	case TASK_NONE:
		return;
	case TASK_SHUTDOWN:
		guest->loop.stop = true;
		return;
	case TASK_INVOKE:
		/* The caller has its answer: what ran over is only the wait for the next event. */
		if (guest->invocation.response == RESPONSE_ENDED)
			tasks_finish(guest, &guest->invocation.outcome);
		else
			outcome_set_timeout(&outcome, current_request(guest),
					    guest->invocation.timeout_ms);
		guest->invocation.stream_failed = guest->invocation.response == RESPONSE_STARTED;
		break;
	case TASK_INITIALIZE:
		outcome_set_timeout(&outcome, NULL, guest->function->init_timeout_ms);
		break;
	default:
		outcome_set_platform(&outcome, STATUS(TIMEOUT), "Sandbox.Timedout", NULL,
				     "the runtime did not answer in time");
	}
	runtime_process_kill_later(guest);
	tasks_finish(guest, &outcome);
}

void tasks_on_exit(struct guest *guest, int wait_status)
{
	_cleanup_outcome_ struct outcome outcome = OUTCOME_OK;

	/* Its last words may still lie in the link. */
	shim_drain(&guest->shim);
	if (guest->task == TASK_SHUTDOWN) {
		guest->loop.stop = true;
		return;
	}
	if (guest->task == TASK_NONE || guest->runtime == RUNTIME_NONE)
		return;
	if (guest->task == TASK_INVOKE && guest->invocation.response == RESPONSE_ENDED) {
		tasks_finish(guest, &guest->invocation.outcome);
		return;
	}
	bool out_of_memory = (guest->starved || process_oom_kills() > guest->oom_kills) &&
			     WIFSIGNALED(wait_status);
	outcome_set_exit(&outcome, current_request(guest), wait_status, out_of_memory);
	guest->invocation.stream_failed =
		guest->task == TASK_INVOKE && guest->invocation.response == RESPONSE_STARTED;
	tasks_finish(guest, &outcome);
}

/* ---- INIT ---- */

/* `live`: the runtime was started without the function's environment and takes it on now. One that
 * was started with it keeps what a wrapper made of it. */
static int send_start(struct guest *guest, bool live)
{
	const initialize_message *f = guest->function;
	_cleanup_buf_ struct buf meta = BUF_INIT_MAX(UINT16_MAX);
	_cleanup_buf_ struct buf environment = BUF_INIT;
	const char *fields[] = {
		f->handler,
		f->log_group_name,
		f->log_stream_name,
		f->log_format == MAYFLY__GUEST__V1__LOG_FORMAT__LOG_FORMAT_JSON ? "JSON" : "Text",
		f->application_log_level,
		live ? guest->entries : "",
	};
	int r = live ? environment_join(&guest->environment, &environment) : 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(fields); i++)
		r = buf_append(&meta, fields[i], strlen(fields[i]) + 1);
	if (r == 0)
		r = shim_send(&guest->shim, SHIM_START, 0, buf_slice(&meta),
			      buf_slice(&environment));
	guest->runtime = RUNTIME_LOADING;
	return r;
}

void tasks_begin_init(struct guest *guest)
{
	_cleanup_outcome_ struct outcome outcome = OUTCOME_OK;
	int r;

	guest->init_started_us = clock_monotonic_us();
	if (!guest->function) {
		guest_fail(guest, "an event came before Initialize");
		return;
	}
	if (guest->runtime == RUNTIME_IDLE && !guest_needs_restart(guest, guest->function)) {
		r = send_start(guest, true);
		if (r == 0)
			return;
		outcome_set_platform(&outcome, STATUS(GUEST_FAILURE), "Sandbox.Failure",
				     current_request(guest), "start of the function: %s",
				     strerror(-r));
		runtime_process_kill_later(guest);
	} else {
		r = runtime_process_start(guest, &guest->environment, &outcome);
		if (r == 0)
			return;
	}
	tasks_finish(guest, &outcome);
}

static void init_done(struct guest *guest)
{
	guest->runtime = RUNTIME_READY;
	if (guest->task == TASK_INITIALIZE || guest->task == TASK_RESTORE) {
		tasks_finish_ok(guest);
		return;
	}
	if (guest->task != TASK_INVOKE)
		return;
	guest->invocation.init_us = clock_monotonic_us() - guest->init_started_us;
	invocation_deliver(guest);
}

/* ---- pings ---- */

static void send_ping(struct guest *guest)
{
	static const char event[] = "{\"ping\": true}";

	if (shim_send(&guest->shim, SHIM_PING, 0, SLICE_INIT, slice_new(event, sizeof(event) - 1)) <
	    0)
		runtime_process_kill_later(guest);
}

static void pings_done(struct guest *guest)
{
	if (guest->prime != PRIME_RUNS) {
		tasks_finish_ok(guest);
		return;
	}
	guest->prime = PRIME_DONE;
	guest->language_bytes = process_file_bytes(guest->pid);
	runtime_process_kill_later(guest);
}

void tasks_start_pings(struct guest *guest, uint32_t rounds)
{
	/* Before there is a function nothing but the shim's own ping speaks. */
	guest->logs.discard = !guest->function;
	guest->pings_left = rounds;
	if (rounds == 0) {
		pings_done(guest);
		return;
	}
	send_ping(guest);
}

static void on_pong(void *user)
{
	struct guest *guest = user;

	if (guest->pings_left == 0 || (guest->task != TASK_PREPARE && guest->task != TASK_WARM))
		return;
	if (--guest->pings_left > 0)
		send_ping(guest);
	else
		pings_done(guest);
}

/* ---- what the runtime says ---- */

static void on_broken(const char *reason, void *user)
{
	struct guest *guest = user;
	_cleanup_outcome_ struct outcome outcome = OUTCOME_OK;

	if (guest->runtime == RUNTIME_NONE)
		return;
	outcome_set_platform(&outcome, STATUS(EXIT), "Runtime.ExitError", current_request(guest),
			     "Runtime exited with error: %s", reason);
	guest->invocation.stream_failed = guest->invocation.response == RESPONSE_STARTED;
	runtime_process_kill_later(guest);
	tasks_finish(guest, &outcome);
}

static void on_leaving(void *user)
{
	runtime_process_kill_later(user);
}

static void on_hello(struct slice version, void *user)
{
	struct guest *guest = user;

	if (guest->runtime != RUNTIME_STARTING)
		return;
	(void)snprintf(guest->runtime_version, sizeof(guest->runtime_version), "%.*s",
		       (int)version.len, version.len ? (const char *)version.data : "");
	guest->runtime = RUNTIME_IDLE;
	guest->shim_spoke = true;
	if (guest->task == TASK_PREPARE)
		tasks_start_pings(guest, guest->warm_rounds);
	else if (guest->function && send_start(guest, false) < 0)
		on_broken("the function could not be started", guest);
}

static void on_next(void *user)
{
	struct guest *guest = user;

	switch (guest->runtime) {
	case RUNTIME_STARTING:
	case RUNTIME_LOADING:
		init_done(guest);
		return;
	case RUNTIME_BUSY:
		if (guest->task != TASK_INVOKE)
			return;
		if (guest->invocation.response != RESPONSE_ENDED) {
			on_broken("no response before the next event", guest);
			return;
		}
		guest->runtime = RUNTIME_READY;
		tasks_finish(guest, &guest->invocation.outcome);
		return;
	default:
		return;
	}
}

static void on_api_next(void *user)
{
	struct guest *guest = user;

	/* Some process of a shim's sandbox; the events are the shim's. */
	if (!guest->shim_spoke)
		on_next(guest);
}

static void on_restore_next(void *user)
{
	struct guest *guest = user;

	if (guest->runtime != RUNTIME_LOADING)
		return;
	guest->runtime = RUNTIME_AWAIT_RESTORE;
	if (guest->task == TASK_INITIALIZE)
		tasks_finish_ok(guest);
	else if (guest->task == TASK_INVOKE && runtime_api_send_restored(&guest->api) == 0)
		guest->runtime = RUNTIME_LOADING;
}

static void on_init_error(struct slice type, struct slice body, void *user)
{
	struct guest *guest = user;
	_cleanup_outcome_ struct outcome outcome = OUTCOME_OK;

	if (guest->runtime != RUNTIME_LOADING && guest->runtime != RUNTIME_STARTING)
		return;
	outcome_set_reported(&outcome, type, body);
	if (guest->task == TASK_INVOKE)
		guest->invocation.init_us = clock_monotonic_us() - guest->init_started_us;
	runtime_process_kill_later(guest);
	tasks_finish(guest, &outcome);
}

static bool is_answering(const struct guest *guest)
{
	return guest->runtime == RUNTIME_BUSY && guest->task == TASK_INVOKE;
}

static void on_response_start(struct slice content_type, bool streaming, void *user)
{
	struct guest *guest = user;

	if (is_answering(guest) && guest->invocation.response == RESPONSE_NONE)
		invocation_response_start(guest, content_type, streaming);
}

static void on_response_too_large(void *user)
{
	struct guest *guest = user;

	if (!is_answering(guest) || guest->invocation.response == RESPONSE_ENDED)
		return;
	guest->invocation.stream_failed = guest->invocation.response == RESPONSE_STARTED;
	guest->invocation.response = RESPONSE_ENDED;
	outcome_set_too_large(&guest->invocation.outcome);
}

static void on_response_data(struct slice data, void *user)
{
	struct guest *guest = user;

	if (!is_answering(guest) || guest->invocation.response != RESPONSE_STARTED)
		return;
	if (guest->invocation.response_bytes + data.len > GUEST_STREAM_BYTES) {
		on_response_too_large(guest);
		return;
	}
	invocation_response_data(guest, data);
}

static void on_response_end(void *user)
{
	struct guest *guest = user;

	if (is_answering(guest) && guest->invocation.response == RESPONSE_STARTED)
		guest->invocation.response = RESPONSE_ENDED;
}

static void on_error(struct slice type, struct slice body, void *user)
{
	struct guest *guest = user;

	if (!is_answering(guest) || guest->invocation.response == RESPONSE_ENDED)
		return;
	if (body.len > OUTCOME_LIMIT_BYTES) {
		on_response_too_large(guest);
		return;
	}
	outcome_set_reported(&guest->invocation.outcome, type, body);
	guest->invocation.stream_failed = guest->invocation.response == RESPONSE_STARTED;
	guest->invocation.response = RESPONSE_ENDED;
}

static void on_hooks_done(struct slice type, struct slice body, void *user)
{
	struct guest *guest = user;
	_cleanup_outcome_ struct outcome outcome = OUTCOME_OK;

	if (guest->task != TASK_RESTORE && guest->task != TASK_SNAPSHOT)
		return;
	if (type.len > 0) {
		outcome_set_reported(&outcome, type, body);
		runtime_process_kill_later(guest);
	}
	tasks_finish(guest, &outcome);
}

static void on_compiled(struct slice path, struct slice bytecode, void *user)
{
	struct guest *guest = user;

	if (guest->task != TASK_COMPILE)
		return;
	if (path.len > 0)
		compile_add(guest, path, bytecode);
	else
		tasks_finish_ok(guest);
}

const struct runtime_listener guest_shim_listener = {
	.on_hello = on_hello,
	.on_pong = on_pong,
	.on_next = on_next,
	.on_init_error = on_init_error,
	.on_response_start = on_response_start,
	.on_response_data = on_response_data,
	.on_response_end = on_response_end,
	.on_response_too_large = on_response_too_large,
	.on_error = on_error,
	.on_hooks_done = on_hooks_done,
	.on_compiled = on_compiled,
	.on_restore_next = on_restore_next,
	.on_leaving = on_leaving,
	.on_broken = on_broken,
};

const struct runtime_listener guest_api_listener = {
	.on_hello = on_hello,
	.on_pong = on_pong,
	.on_next = on_api_next,
	.on_init_error = on_init_error,
	.on_response_start = on_response_start,
	.on_response_data = on_response_data,
	.on_response_end = on_response_end,
	.on_response_too_large = on_response_too_large,
	.on_error = on_error,
	.on_hooks_done = on_hooks_done,
	.on_compiled = on_compiled,
	.on_restore_next = on_restore_next,
	.on_leaving = on_leaving,
	.on_broken = on_broken,
};
