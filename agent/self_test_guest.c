/* SPDX-License-Identifier: Apache-2.0 */

#include "agent/self_test_guest.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "mayfly/clock.h"

#define ENTROPY_BYTES    64
#define INIT_LIMIT_MS    10000
#define INVOKE_LIMIT_MS  10000
#define REPLY_MAX_BYTES  65536
#define EPHEMERAL_MB     512
#define SELF_TEST_TENANT "000000000000"

int self_test_wait(struct loop *loop, const bool *flag, int64_t limit_us)
{
	int64_t deadline_us = clock_monotonic_us() + limit_us;
	while (!*flag) {
		int64_t left_us = deadline_us - clock_monotonic_us();
		if (left_us <= 0)
			return -ETIME;
		int r = sd_event_run(loop_event(loop), (uint64_t)left_us);
		if (r < 0)
			return r;
	}
	return 0;
}

/* -- what comes from the guest -- */

static void note_outcome(struct self_test_guest *guest, const Mayfly__Guest__V1__Outcome *outcome,
			 const char *step)
{
	if (outcome && outcome->status == MAYFLY__GUEST__V1__STATUS__STATUS_OK)
		return;
	(void)error_set(
		&guest->failure, ERROR_INTERNAL, NULL, "%s: %.100s %.*s", step,
		outcome && outcome->error_type ? outcome->error_type : "no outcome",
		outcome ? (int)(outcome->error_body.len < 300 ? outcome->error_body.len : 300) : 0,
		outcome ? (const char *)outcome->error_body.data : "");
}

static void on_loaded(struct vm *vm, void *user)
{
	struct self_test_guest *guest = user;
	struct vm_facts facts;
	vm_facts(vm, &facts);
	guest->spawned_us = facts.spawned_us;
	guest->loaded_us = facts.loaded_us;
	guest->loaded = true;
}

static void note_restored(struct self_test_guest *guest,
			  const Mayfly__Guest__V1__Restored *restored)
{
	guest->restored = true;
	guest->restored_us = clock_monotonic_us();
	guest->clock_error_us = restored->realtime_us - clock_realtime_us();
	guest->sample_len = restored->random_sample.len < SELF_TEST_SAMPLE
				    ? restored->random_sample.len
				    : SELF_TEST_SAMPLE;
	memcpy(guest->sample, restored->random_sample.data, guest->sample_len);
	note_outcome(guest, restored->outcome, "restore");
}

static void on_message(struct vm *vm, const Mayfly__Guest__V1__GuestMessage *message, void *user)
{
	struct self_test_guest *guest = user;
	(void)vm;
	switch (message->kind_case) {
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_RESTORED:
		note_restored(guest, message->restored);
		break;
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_INITIALIZED:
		guest->initialized = true;
		guest->initialized_us = clock_monotonic_us();
		note_outcome(guest, message->initialized->outcome, "INIT");
		break;
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_RESPONSE_CHUNK:
		if (buf_append(&guest->reply, message->response_chunk->data.data,
			       message->response_chunk->data.len) < 0)
			(void)error_set(&guest->failure, ERROR_INTERNAL, NULL,
					"the reply is too large");
		break;
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_INVOCATION_DONE:
		guest->answered = true;
		guest->answered_us = clock_monotonic_us();
		note_outcome(guest, message->invocation_done->outcome, "invoke");
		break;
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_FATAL:
		(void)error_set(&guest->failure, ERROR_INTERNAL, NULL, "the guest says: %.200s",
				message->fatal->message);
		break;
	default:
		break;
	}
}

/* Nothing more will come: whoever waits looks at `vm`. */
static void on_gone(struct vm *vm, const char *reason, void *user)
{
	struct self_test_guest *guest = user;
	(void)vm;
	free(guest->gone_reason);
	guest->gone_reason = strdup(reason ? reason : "gone");
	guest->vm = NULL;
	guest->loaded = guest->restored = guest->initialized = guest->answered = true;
}

static const struct vm_events guest_events = {
	.on_loaded = on_loaded,
	.on_message = on_message,
	.on_gone = on_gone,
};

/* Waits for one step's flag, and turns whatever went wrong into `error`. */
static int finish_step(struct self_test_guest *guest, const bool *flag, const char *step,
		       struct error *error)
{
	int r = self_test_wait(guest->loop, flag, SELF_TEST_LIMIT_US);
	if (r == -ETIME)
		return error_set(error, ERROR_DEADLINE_EXCEEDED, NULL, "no answer to %s in %lld s",
				 step, (long long)(SELF_TEST_LIMIT_US / USEC_PER_SEC));
	if (r < 0)
		return error_set_errno(error, r, "%s", step);
	if (!guest->vm)
		return error_set(error, ERROR_INTERNAL, NULL, "the microVM ended during %s: %s",
				 step, guest->gone_reason ? guest->gone_reason : "");
	if (guest->failure.code != ERROR_NONE)
		return error_set(error, ERROR_INTERNAL, NULL, "%s", error_text(&guest->failure));
	return 0;
}

/* -- what goes to it -- */

static int send_restore(struct self_test_guest *guest)
{
	uint8_t entropy[ENTROPY_BYTES];
	random_bytes(entropy, sizeof(entropy));
	Mayfly__Guest__V1__Restore restore = MAYFLY__GUEST__V1__RESTORE__INIT;
	restore.entropy.data = entropy;
	restore.entropy.len = sizeof(entropy);
	restore.realtime_us = clock_realtime_us();
	restore.sandbox_id = guest->id;
	restore.log_stream_name = guest->log_stream;
	Mayfly__Guest__V1__HostMessage message = MAYFLY__GUEST__V1__HOST_MESSAGE__INIT;
	message.kind_case = MAYFLY__GUEST__V1__HOST_MESSAGE__KIND_RESTORE;
	message.restore = &restore;
	return vm_send(guest->vm, &message);
}

int self_test_guest_start(struct self_test_guest *guest, struct loop *loop, struct vm_host *host,
			  struct template *source, const char *package_path, unsigned memory_mb,
			  struct error *error)
{
	*guest = (struct self_test_guest){ .loop = loop, .reply = BUF_INIT_MAX(REPLY_MAX_BYTES) };
	hex_id_generate(guest->id);
	(void)snprintf(guest->log_stream, sizeof(guest->log_stream), "self-test/%s", guest->id);
	guest->requested_us = clock_monotonic_us();
	struct vm_clone_request request = {
		.source = source,
		.sandbox_id = guest->id,
		.package_path = package_path,
		.memory_mb = memory_mb,
		.ephemeral_storage_mb = EPHEMERAL_MB,
	};
	int r = vm_clone(host, &request, &guest_events, guest, &guest->vm, error);
	if (r < 0)
		return r;
	r = finish_step(guest, &guest->loaded, "loading the template", error);
	if (r < 0)
		return r;
	r = send_restore(guest);
	if (r < 0)
		return error_set_errno(error, r, "cannot send Restore");
	vm_resume(guest->vm, NULL, NULL);
	return finish_step(guest, &guest->restored, "Restore", error);
}

int self_test_guest_initialize(struct self_test_guest *guest, const char *runtime,
			       unsigned memory_mb, struct error *error)
{
	Mayfly__Guest__V1__Initialize initialize = MAYFLY__GUEST__V1__INITIALIZE__INIT;
	initialize.function_name = (char *)"self-test";
	initialize.function_version = (char *)"$LATEST";
	initialize.function_arn =
		(char *)"arn:aws:lambda:us-east-1:" SELF_TEST_TENANT ":function:self-test";
	initialize.handler = (char *)"self_test_handler.lambda_handler";
	initialize.memory_mb = memory_mb;
	initialize.timeout_ms = INVOKE_LIMIT_MS;
	initialize.init_timeout_ms = INIT_LIMIT_MS;
	initialize.region = (char *)"us-east-1";
	initialize.account_id = (char *)SELF_TEST_TENANT;
	initialize.runtime_name = (char *)runtime;
	initialize.log_group_name = (char *)"/aws/lambda/self-test";
	initialize.log_stream_name = guest->log_stream;
	initialize.ephemeral_storage_mb = EPHEMERAL_MB;
	Mayfly__Guest__V1__HostMessage message = MAYFLY__GUEST__V1__HOST_MESSAGE__INIT;
	message.kind_case = MAYFLY__GUEST__V1__HOST_MESSAGE__KIND_INITIALIZE;
	message.initialize = &initialize;
	int r = vm_send(guest->vm, &message);
	if (r < 0)
		return error_set_errno(error, r, "cannot send Initialize");
	return finish_step(guest, &guest->initialized, "INIT", error);
}

int self_test_guest_invoke(struct self_test_guest *guest, const char *event, struct error *error)
{
	char request_id[UUID_BYTES];
	uuid_generate(request_id);
	Mayfly__Guest__V1__Invoke invoke = MAYFLY__GUEST__V1__INVOKE__INIT;
	invoke.request_id = request_id;
	invoke.invoked_function_arn =
		(char *)"arn:aws:lambda:us-east-1:" SELF_TEST_TENANT ":function:self-test";
	invoke.content_type = (char *)"application/json";
	invoke.timeout_ms = INVOKE_LIMIT_MS;
	invoke.realtime_us = clock_realtime_us();
	invoke.payload.data = (uint8_t *)event;
	invoke.payload.len = strlen(event);
	invoke.payload_complete = true;
	invoke.payload_bytes = strlen(event);
	Mayfly__Guest__V1__HostMessage message = MAYFLY__GUEST__V1__HOST_MESSAGE__INIT;
	message.kind_case = MAYFLY__GUEST__V1__HOST_MESSAGE__KIND_INVOKE;
	message.invoke = &invoke;
	guest->answered = false;
	buf_reset(&guest->reply);
	guest->invoked_us = clock_monotonic_us();
	int r = vm_send(guest->vm, &message);
	if (r < 0)
		return error_set_errno(error, r, "cannot send Invoke");
	return finish_step(guest, &guest->answered, "Invoke", error);
}

/* -- its end -- */

static int wait_until_gone(struct self_test_guest *guest)
{
	int64_t deadline_us = clock_monotonic_us() + SELF_TEST_LIMIT_US;
	while (guest->vm) {
		int64_t left_us = deadline_us - clock_monotonic_us();
		if (left_us <= 0)
			return -ETIME;
		int r = sd_event_run(loop_event(guest->loop), (uint64_t)left_us);
		if (r < 0)
			return r;
	}
	return 0;
}

int self_test_guest_end(struct self_test_guest *guest, struct error *error)
{
	if (!guest->vm)
		return 0;
	vm_end(guest->vm, "the self-test is over");
	int r = wait_until_gone(guest);
	return r < 0 ? error_set_errno(error, r, "the microVM did not end") : 0;
}

void self_test_guest_clear(struct self_test_guest *guest)
{
	if (guest->vm)
		(void)self_test_guest_end(guest, NULL);
	free(guest->gone_reason);
	error_clear(&guest->failure);
	buf_free(&guest->reply);
}
