/* SPDX-License-Identifier: Apache-2.0 */

/* The life of an invocation from the pool's queue to its answer. */

#include <errno.h>

#include "agent/account/budget.h"
#include "agent/invoke/invocation_internal.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"

#define CHUNK_BYTES          (512U << 10) /* a frame holds 1 MiB, headers included */

#define SANDBOX_FAILURE      "Sandbox.Failure"
#define SANDBOX_FAILURE_TEXT "The sandbox ended before the function's response was complete"

static const char empty_event[] = "{}";

/* How an invocation ends whose sandbox failed. */
struct sandbox_failure {
	struct report report;
	char text[160]; /* of the report */
};

/* -- who waits: requests are borrowed, so their bytes are in memory for as long -- */

static int refuse_to_wait(struct invocation *invocation)
{
	int r = error_set(&invocation->error, ERROR_TOO_MANY_REQUESTS, NULL, "Rate Exceeded.");

	error_set_reason(&invocation->error, THROTTLE_NODE);
	metrics_count_throttle(invocation->invoker->metrics, invocation->tenant,
			       invocation->function_name);
	return r;
}

int invocation_enter_room(struct invocation *invocation)
{
	const struct invocation_request *request = &invocation->request;
	int r;

	if (invocation->waiter.tenant)
		return 0;
	r = waiting_room_enter(invocation->invoker->room, invocation->tenant,
			       request->payload.len + request->client_context.len,
			       &invocation->waiter);
	if (r == -ENOMEM)
		return error_set_errno(&invocation->error, r, "Cannot wait for a sandbox");
	return r < 0 ? refuse_to_wait(invocation) : 0;
}

/* Nothing of it has run: it waits in the pool, or for its event to be checked. */
void invocation_on_displaced(struct waiter *waiter, void *arg)
{
	struct invocation *invocation = container_of(waiter, struct invocation, waiter);
	struct invoker *invoker = arg;

	if (!event_check_cancel(invocation))
		pool_cancel(invoker->pool, &invocation->demand);
	timer_disarm(&invocation->wait_timer);
	(void)!refuse_to_wait(invocation);
	invocation_finish_later(invocation);
}

static void free_invocation(struct invocation *invocation)
{
	waiting_room_leave(invocation->invoker->room, &invocation->waiter);
	concurrency_give_back(invocation->invoker->concurrency, &invocation->grant);
	invocation->invoker->running--;
	timer_disarm(&invocation->wait_timer);
	account_drop(invocation->entry);
	error_clear(&invocation->error);
	buf_free(&invocation->response);
	buf_free(&invocation->error_body);
	buf_free(&invocation->log_result);
	free(invocation->error_type);
	free(invocation->tenant);
	free(invocation->function_name);
	free(invocation->arn);
	free(invocation);
}

/* -- the answer -- */

static void fill_phases(struct invocation *invocation, struct invocation_phases *phases)
{
	bool bound = invocation->stamps.bound_us > 0;

	*phases = (struct invocation_phases){
		.received_at_us = invocation->stamps.received_us,
		.complete_at_us = clock_monotonic_us(),
	};
	invocation->facts.id = invocation->sandbox_id; /* the sandbox may be gone */
	if (invocation->stamps.queued_us > 0)
		phases_fill(&invocation->stamps, bound ? &invocation->facts : NULL, phases);
	if (phases->complete_at_us == 0)
		phases->complete_at_us = clock_monotonic_us();
}

static enum metrics_start start_of(enum invocation_start start)
{
	switch (start) {
	case INVOCATION_START_SPARE:
		return METRICS_SPARE;
	case INVOCATION_START_RESTORE:
	case INVOCATION_START_SNAP_START:
		return METRICS_RESTORE;
	case INVOCATION_START_BOOT:
		return METRICS_BOOT;
	default:
		return METRICS_WARM;
	}
}

static void count_metrics(const struct invocation *invocation,
			  const struct invocation_phases *phases)
{
	struct metrics_sample sample = {
		.tenant = invocation->tenant,
		.function_name = invocation->function_name,
		.function_error = invocation->function_error,
		.provisioned = invocation->grant.provisioned,
		.spilled_over = invocation->spilled_over,
		.duration_us = invocation->duration_us,
		.start = start_of(phases->start),
	};

	if (!invocation->reported) {
		if (invocation->grant.function) /* it ran, as far as limits know */
			metrics_touch(invocation->invoker->metrics, invocation->tenant,
				      invocation->function_name);
		return;
	}
	sample.phases_us[METRICS_PLACE] = (int64_t)phases->place_us;
	if (sample.start == METRICS_RESTORE) {
		sample.phases_us[METRICS_SPAWN] = (int64_t)phases->spawn_us;
		sample.phases_us[METRICS_LOAD] = (int64_t)phases->load_us;
		sample.phases_us[METRICS_RESUME] = (int64_t)phases->resume_us;
		sample.phases_us[METRICS_INIT] = (int64_t)phases->init_us;
	}
	metrics_count_invocation(invocation->invoker->metrics, &sample);
}

static unsigned status_code(enum invocation_type type)
{
	switch (type) {
	case INVOCATION_DRY_RUN:
		return 204;
	case INVOCATION_EVENT:
		return 202;
	default:
		return 200;
	}
}

void invocation_finish(struct invocation *invocation)
{
	const struct invocation_request *request = &invocation->request;
	bool failed = invocation->error.code != ERROR_NONE;
	const struct buf *payload =
		request->streaming ? &invocation->error_body : &invocation->response;
	struct invocation_result result = {
		.error = failed ? &invocation->error : NULL,
		.status_code = status_code(request->type),
		.function_error = invocation->function_error ? "Unhandled" : "",
		.executed_version = invocation->stamps.bound_us > 0
					    ? invocation_executed_version(invocation)
					    : "",
		.error_type = invocation->error_type ? invocation->error_type : "",
		.payload = buf_slice(payload),
		.log_result = buf_slice(&invocation->log_result),
	};

	fill_phases(invocation, &result.phases);
	if (failed)
		result.status_code = (unsigned)error_kind(invocation->error.code)->http_status;
	if (invocation->function_error)
		invocation->invoker->function_errors++;
	if (result.phases.start == INVOCATION_START_RESTORE ||
	    result.phases.start == INVOCATION_START_SNAP_START ||
	    result.phases.start == INVOCATION_START_BOOT)
		invocation->invoker->cold_starts++;
	count_metrics(invocation, &result.phases);
	request->events->on_done(invocation, &result, request->user);
	free_invocation(invocation);
}

struct buf invocation_take_payload(struct invocation *invocation)
{
	struct buf payload = invocation->response;

	invocation->response = BUF_INIT;
	return payload;
}

static void finish_posted(void *arg)
{
	invocation_finish(arg);
}

void invocation_finish_later(struct invocation *invocation)
{
	loop_post(invocation->invoker->loop, finish_posted, invocation);
}

/* A frozen guest saw the event when it was thawed. QEMU may confirm that late, even after a short
 * handler's answer: then the guest's own count is believed, within what the host saw. */
static void count_from_thaw(struct phase_stamps *stamps, int64_t resume_done_us)
{
	int64_t span_us = stamps->complete_us - stamps->sent_us;
	int64_t thawed_us = resume_done_us;

	if (thawed_us <= stamps->sent_us)
		return;
	if (stamps->guest_us > 0 && span_us > 0 && stamps->guest_us <= (uint64_t)span_us &&
	    stamps->complete_us - (int64_t)stamps->guest_us < thawed_us)
		thawed_us = stamps->complete_us - (int64_t)stamps->guest_us;
	stamps->sent_us = thawed_us < stamps->complete_us ? thawed_us : stamps->complete_us;
}

static void on_recorded(const struct error *error, void *arg)
{
	struct invocation *invocation = arg;

	if (error && error_copy(&invocation->error, error) < 0)
		(void)error_set_errno(&invocation->error, ENOMEM, "Cannot record the usage");
	invocation_finish(invocation);
}

/* What ran is recorded before anybody hears of it. */
static void settle(struct invocation *invocation)
{
	account_record(invocation->invoker->account, TAKE_PTR(invocation->entry), on_recorded,
		       invocation);
}

void invocation_complete(struct invocation *invocation, const struct report *report,
			 const char *end_reason)
{
	struct sandbox *sandbox = invocation->sandbox;
	struct sandbox_facts now;

	invocation->stamps.complete_us = clock_monotonic_us();
	sandbox_get_facts(sandbox, &now);
	count_from_thaw(&invocation->stamps, now.resume_done_us);
	report_write_end(invocation, report);
	invocation->sandbox = NULL;
	sandbox_release(sandbox, end_reason);
	settle(invocation);
}

/* The event was with the guest, so the function may have run: that is the function's error, never
 * one of the call, which a caller may repeat. */
static void set_sandbox_failure(struct invocation *invocation, const char *reason,
				struct sandbox_failure *ret)
{
	log_write(LOG_WARNING,
		  &(struct log_fields){ .tenant = invocation->tenant,
					.function = invocation->function_name,
					.request_id = invocation->id,
					.sandbox = invocation->sandbox_id },
		  "An invocation lost its sandbox: %s", reason);
	response_set_platform_error(invocation, SANDBOX_FAILURE, SANDBOX_FAILURE_TEXT);
	(void)snprintf(ret->text, sizeof(ret->text), "RequestId: %s Error: %s", invocation->id,
		       SANDBOX_FAILURE_TEXT);
	ret->report = (struct report){
		.status = LINE_FAILURE,
		.error_type = SANDBOX_FAILURE,
		.crash = ret->text,
	};
}

void invocation_fail_sandbox(struct invocation *invocation, const char *reason)
{
	struct sandbox_failure failure;

	set_sandbox_failure(invocation, reason, &failure);
	invocation_complete(invocation, &failure.report, reason);
}

void invocation_protocol_error(struct invocation *invocation, const char *what)
{
	char reason[128];

	(void)snprintf(reason, sizeof(reason), "the guest sent %s when it was not its turn", what);
	invocation_fail_sandbox(invocation, reason);
}

/* -- the event -- */

static struct slice event_payload(const struct invocation *invocation)
{
	const struct slice *payload = &invocation->request.payload;

	return payload->len > 0 ? *payload : slice_new(empty_event, sizeof(empty_event) - 1);
}

static ProtobufCBinaryData binary(struct slice s)
{
	return (ProtobufCBinaryData){ .len = s.len, .data = (uint8_t *)(uintptr_t)s.data };
}

static int send_chunks(struct sandbox *sandbox, struct slice payload)
{
	Mayfly__Guest__V1__HostMessage message = MAYFLY__GUEST__V1__HOST_MESSAGE__INIT;
	Mayfly__Guest__V1__PayloadChunk chunk = MAYFLY__GUEST__V1__PAYLOAD_CHUNK__INIT;
	int r = 0;

	message.kind_case = MAYFLY__GUEST__V1__HOST_MESSAGE__KIND_PAYLOAD;
	message.payload = &chunk;
	while (r >= 0 && payload.len > 0) {
		size_t len = payload.len < CHUNK_BYTES ? payload.len : CHUNK_BYTES;

		chunk.data = binary(slice_new(payload.data, len));
		payload = slice_new(payload.data + len, payload.len - len);
		chunk.last = payload.len == 0;
		r = sandbox_send(sandbox, &message);
	}
	return r;
}

static int send_event(struct invocation *invocation)
{
	const struct invocation_request *request = &invocation->request;
	Mayfly__Guest__V1__HostMessage message = MAYFLY__GUEST__V1__HOST_MESSAGE__INIT;
	Mayfly__Guest__V1__Invoke invoke = MAYFLY__GUEST__V1__INVOKE__INIT;
	struct slice payload = event_payload(invocation);
	int r;

	invoke.request_id = invocation->id;
	invoke.invoked_function_arn = invocation->arn;
	invoke.trace_id = (char *)(uintptr_t)request->trace_id;
	invoke.client_context = binary(request->client_context);
	if (request->end_tenant)
		invoke.tenant_id = (char *)(uintptr_t)request->end_tenant;
	invoke.content_type = (char *)(uintptr_t) "application/json";
	invoke.timeout_ms = (uint32_t)(invocation->timeout_us / USEC_PER_MSEC);
	invoke.realtime_us = invocation->bound_at_us;
	invoke.payload_bytes = payload.len;
	invoke.payload_complete = payload.len <= CHUNK_BYTES;
	if (invoke.payload_complete)
		invoke.payload = binary(payload);
	message.kind_case = MAYFLY__GUEST__V1__HOST_MESSAGE__KIND_INVOKE;
	message.invoke = &invoke;
	r = sandbox_send(invocation->sandbox, &message);
	return r < 0 || invoke.payload_complete ? r : send_chunks(invocation->sandbox, payload);
}

/* A negative errno with invocation->error: the sandbox is released, the answer is owed. */
static int begin(struct invocation *invocation, struct sandbox *sandbox)
{
	int r;

	timer_disarm(&invocation->wait_timer);
	waiting_room_leave(invocation->invoker->room, &invocation->waiter);
	invocation->sandbox = sandbox;
	invocation->stamps.bound_us = clock_monotonic_us();
	invocation->bound_at_us = clock_realtime_us();
	sandbox_get_facts(sandbox, &invocation->facts);
	(void)snprintf(invocation->sandbox_id, sizeof(invocation->sandbox_id), "%s",
		       invocation->facts.id);
	invocation->timeout_us = sandbox_config(sandbox)->timeout_seconds * USEC_PER_SEC;
	invocation->stamps.sent_us = clock_monotonic_us();
	r = send_event(invocation);
	if (r >= 0) {
		if (invocation->facts.delivered)
			report_write_start(invocation);
		return 0;
	}
	invocation->sandbox = NULL;
	sandbox_release(sandbox, "its channel takes no more");
	return error_set_errno(&invocation->error, r, "Cannot hand the event to a sandbox");
}

/* -- what the pool says -- */

static struct invocation *of_demand(struct demand *demand)
{
	return container_of(demand, struct invocation, demand);
}

static void on_bound(struct demand *demand, struct sandbox *sandbox)
{
	struct invocation *invocation = of_demand(demand);

	if (begin(invocation, sandbox) < 0)
		invocation_finish(invocation);
}

static void on_failed(struct demand *demand, const struct error *error)
{
	struct invocation *invocation = of_demand(demand);

	if (error_copy(&invocation->error, error) < 0)
		(void)error_set_errno(&invocation->error, ENOMEM, "No sandbox");
	invocation_finish(invocation);
}

static void on_delivered(struct demand *demand)
{
	report_write_start(of_demand(demand));
}

static void on_message(struct demand *demand, const Mayfly__Guest__V1__GuestMessage *message)
{
	response_on_message(of_demand(demand), message);
}

/* The guest never saw the event: another may have it, once. */
static void place_again(struct invocation *invocation, const char *reason)
{
	invocation->sandbox = NULL;
	if (!invocation->retried) {
		invocation->retried = true;
		if (invocation_place(invocation) >= 0)
			return;
	}
	(void)error_set(&invocation->error, ERROR_UNAVAILABLE, NULL,
			"The sandboxes that were to serve this invocation ended before they had "
			"its event: %s",
			reason);
	invocation_finish(invocation);
}

static void on_lost(struct demand *demand, const char *reason, bool delivered)
{
	struct invocation *invocation = of_demand(demand);
	struct sandbox_failure failure;

	if (!delivered) {
		place_again(invocation, reason);
		return;
	}
	invocation->stamps.complete_us = clock_monotonic_us();
	set_sandbox_failure(invocation, reason, &failure);
	report_write_end(invocation, &failure.report);
	invocation->sandbox = NULL;
	settle(invocation);
}

static void on_overdue(struct demand *demand)
{
	response_set_overdue(of_demand(demand));
}

const struct demand_events invocation_demand_events = {
	.on_bound = on_bound,
	.on_failed = on_failed,
	.on_delivered = on_delivered,
	.on_message = on_message,
	.on_lost = on_lost,
	.on_overdue = on_overdue,
};

/* -- waiting -- */

static void on_wait_over(void *arg)
{
	struct invocation *invocation = arg;

	pool_cancel(invocation->invoker->pool, &invocation->demand);
	if (clock_monotonic_us() >= invocation->request.deadline_us)
		(void)error_set(&invocation->error, ERROR_DEADLINE_EXCEEDED, NULL,
				"The deadline passed while the invocation waited for a sandbox.");
	else
		(void)error_set(&invocation->error, ERROR_UNAVAILABLE, NULL,
				"No sandbox became free in time; try again.");
	invocation_finish(invocation);
}

static int wait_for_sandbox(struct invocation *invocation)
{
	int64_t until_us = clock_monotonic_us() + invocation->invoker->max_wait_us;
	int r;

	if (until_us > invocation->request.deadline_us)
		until_us = invocation->request.deadline_us;
	r = invocation_enter_room(invocation);
	if (r < 0) {
		pool_cancel(invocation->invoker->pool, &invocation->demand);
		return r;
	}
	r = timer_arm(&invocation->wait_timer, invocation->invoker->loop, until_us, on_wait_over,
		      invocation);
	if (r >= 0)
		return 0;
	waiting_room_leave(invocation->invoker->room, &invocation->waiter);
	pool_cancel(invocation->invoker->pool, &invocation->demand);
	return error_set_errno(&invocation->error, r, "Cannot wait for a sandbox");
}

static int account_invocation(struct invocation *invocation)
{
	struct account *account = invocation->invoker->account;
	int r = account_admit(account, &invocation->entry, &invocation->error);

	if (r == 0)
		account_reserve_budgets(account, invocation->entry, invocation->tenant,
					invocation->function_name);
	return r;
}

int invocation_place(struct invocation *invocation)
{
	const struct function *function;
	struct sandbox *sandbox;
	int r = admission_find(invocation, &function);

	if (r == 0 && !invocation->entry)
		r = account_invocation(invocation);
	if (r < 0)
		return r;
	invocation->demand.end_tenant = invocation->request.end_tenant;
	r = pool_acquire(invocation->invoker->pool, function, &invocation->demand, &sandbox,
			 &invocation->error);
	if (r < 0)
		return r;
	invocation->stamps.queued_us = invocation->demand.queued_us;
	return r > 0 ? begin(invocation, sandbox) : wait_for_sandbox(invocation);
}

/* -- what the front says -- */

const char *invocation_request_id(const struct invocation *invocation)
{
	return invocation->id;
}

const char *invocation_executed_version(const struct invocation *invocation)
{
	return invocation->version_name;
}

const char *invocation_tenant(const struct invocation *invocation)
{
	return invocation->tenant;
}

const char *invocation_function_name(const struct invocation *invocation)
{
	return invocation->function_name;
}

const char *invocation_qualifier(const struct invocation *invocation)
{
	return invocation->qualifier;
}

void invocation_abandon(struct invocation *invocation)
{
	invocation->abandoned = true;
	invocation_set_congested(invocation, false);
}

void invocation_set_congested(struct invocation *invocation, bool congested)
{
	if (invocation->congested == congested || !invocation->sandbox)
		return;
	invocation->congested = congested;
	if (congested)
		sandbox_hold(invocation->sandbox);
	else
		sandbox_unhold(invocation->sandbox);
}
