/* SPDX-License-Identifier: Apache-2.0 */

/* From nothing to READY: clone (or boot), Restore, Initialize, and for a spare a few rounds of
 * Warm. Each step is a message, its answer leads to the next. */

#include <errno.h>

#include "agent/pool/pool_internal.h"
#include "mayfly/clock.h"
#include "mayfly/id.h"
#include "mayfly/log.h"

#define ENTROPY_BYTES 64

static void send_or_stop(struct sandbox *sandbox, const Mayfly__Guest__V1__HostMessage *message)
{
	if (sandbox->pool->driver->send(sandbox->vm, message) < 0)
		sandbox_stop(sandbox, "the guest's channel takes no more");
}

static void write_line(struct sandbox *sandbox, int64_t time_us, const struct buf *line, int r)
{
	if (r >= 0 && line->len > 0)
		log_stream_write(sandbox->log, time_us, buf_slice(line));
}

/* -- steps -- */

static void send_prepare(struct sandbox *sandbox)
{
	Mayfly__Guest__V1__HostMessage message = MAYFLY__GUEST__V1__HOST_MESSAGE__INIT;
	Mayfly__Guest__V1__Prepare prepare = MAYFLY__GUEST__V1__PREPARE__INIT;

	prepare.runtime = initialize_runtime_kind(sandbox->version->config.runtime);
	message.kind_case = MAYFLY__GUEST__V1__HOST_MESSAGE__KIND_PREPARE;
	message.prepare = &prepare;
	send_or_stop(sandbox, &message);
}

static void send_restore(struct sandbox *sandbox)
{
	Mayfly__Guest__V1__HostMessage message = MAYFLY__GUEST__V1__HOST_MESSAGE__INIT;
	Mayfly__Guest__V1__Restore restore = MAYFLY__GUEST__V1__RESTORE__INIT;
	uint8_t entropy[ENTROPY_BYTES];

	random_bytes(entropy, sizeof(entropy));
	restore.entropy.data = entropy;
	restore.entropy.len = sizeof(entropy);
	restore.realtime_us = clock_realtime_us();
	restore.sandbox_id = sandbox->id;
	restore.log_stream_name = sandbox->log_stream_name;
	message.kind_case = MAYFLY__GUEST__V1__HOST_MESSAGE__KIND_RESTORE;
	message.restore = &restore;
	sandbox->restore_sent_us = clock_monotonic_us();
	send_or_stop(sandbox, &message);
	explicit_bzero(entropy, sizeof(entropy));
}

static void send_initialize(struct sandbox *sandbox)
{
	struct version *version = sandbox->version;
	Mayfly__Guest__V1__HostMessage message = MAYFLY__GUEST__V1__HOST_MESSAGE__INIT;
	_cleanup_(initialize_clear) struct initialize initialize = { 0 };

	if (initialize_fill(version, sandbox->log_stream_name, &initialize) < 0) {
		sandbox_stop(sandbox, "out of memory");
		return;
	}
	initialize_add_code(sandbox, &initialize);
	if (sandbox->provisioned)
		initialize_set_provisioned(version, &initialize);
	version_log_init_start(version, sandbox->log);
	message.kind_case = MAYFLY__GUEST__V1__HOST_MESSAGE__KIND_INITIALIZE;
	message.initialize = &initialize.message;
	sandbox->init_sent_us = clock_monotonic_us();
	if (sandbox_set_state(sandbox, SANDBOX_INITIALIZING) < 0)
		return;
	sandbox->start_limit_us =
		sandbox->init_sent_us + initialize.message.init_timeout_ms * USEC_PER_MSEC +
		sandbox->pool->config.guest_grace_us + sandbox->pool->config.start_timeout_us;
	sandbox_arm(sandbox, sandbox->init_sent_us + SLOT_INIT_US);
	send_or_stop(sandbox, &message);
}

/* Once for all sandboxes of the version, while nothing of the function has run in this one. */
static void send_compile(struct sandbox *sandbox)
{
	Mayfly__Guest__V1__HostMessage message = MAYFLY__GUEST__V1__HOST_MESSAGE__INIT;
	struct version_code *code = &sandbox->version->code;

	message.kind_case = MAYFLY__GUEST__V1__HOST_MESSAGE__KIND_COMPILE;
	message.compile = code->files;
	code->compiler = sandbox;
	sandbox->placed = true;
	send_or_stop(sandbox, &message);
}

static void send_warm(struct sandbox *sandbox)
{
	Mayfly__Guest__V1__HostMessage message = MAYFLY__GUEST__V1__HOST_MESSAGE__INIT;
	Mayfly__Guest__V1__Warm warm = MAYFLY__GUEST__V1__WARM__INIT;

	warm.rounds = sandbox->pool->config.warm_rounds;
	message.kind_case = MAYFLY__GUEST__V1__HOST_MESSAGE__KIND_WARM;
	message.warm = &warm;
	send_or_stop(sandbox, &message);
}

static void become_ready(struct sandbox *sandbox)
{
	struct version *version = sandbox->version;

	sandbox->ready_us = clock_monotonic_us();
	version_count_success(version);
	cpu_use_ready(sandbox);
	if (sandbox_set_state(sandbox, SANDBOX_READY) < 0)
		return;
	sandbox_set_idle(sandbox);
	sandbox_arm(sandbox, sandbox->ready_us); /* unless a demand takes it, it freezes now */
	version_mark_dirty(version);
}

/* Warmed by pings when nobody waits for it; never by the tenant's code. */
static void warm_or_ready(struct sandbox *sandbox)
{
	struct version *version = sandbox->version;

	if (version->waiting > 0 || sandbox->init == SANDBOX_INIT_FAILED || !version->current ||
	    sandbox->pool->config.warm_rounds == 0) {
		become_ready(sandbox);
		return;
	}
	if (sandbox->state == SANDBOX_RESTORING &&
	    sandbox_set_state(sandbox, SANDBOX_INITIALIZING) < 0)
		return;
	sandbox->start_limit_us = clock_monotonic_us() + sandbox->pool->config.start_timeout_us;
	sandbox_arm(sandbox,
		    sandbox->slot ? clock_monotonic_us() + SLOT_INIT_US : sandbox->start_limit_us);
	send_warm(sandbox);
}

/* -- answers -- */

static bool step_failed(struct sandbox *sandbox, const Mayfly__Guest__V1__Outcome *outcome,
			const char *step)
{
	char reason[192];

	if (outcome && outcome->status == MAYFLY__GUEST__V1__STATUS__STATUS_OK)
		return false;
	(void)snprintf(reason, sizeof(reason), "the guest failed to %s (%.100s)", step,
		       outcome && outcome->error_type ? outcome->error_type : "no outcome");
	sandbox_stop(sandbox, reason);
	return true;
}

static void write_restore_lines(struct sandbox *sandbox)
{
	struct version *version = sandbox->version;
	struct line_source source = version_line_source(version);
	int64_t now_us = clock_realtime_us();
	_cleanup_buf_ struct buf line = BUF_INIT;

	write_line(sandbox, sandbox->created_us, &line,
		   log_line_restore_start(&line, version->style, sandbox->created_us, &source));
	buf_reset(&line);
	write_line(sandbox, now_us, &line,
		   log_line_restore_report(&line, version->style, now_us,
					   sandbox->restored_us - sandbox->requested_us,
					   LINE_SUCCESS));
}

static void on_restored(struct sandbox *sandbox, const Mayfly__Guest__V1__Restored *restored)
{
	if (step_failed(sandbox, restored->outcome, "restore"))
		return;
	sandbox->restored_us = clock_monotonic_us();
	if (sandbox->origin != SANDBOX_FROM_SNAPSHOT && version_wants_compile(sandbox->version)) {
		send_compile(sandbox);
		return;
	}
	if (sandbox->origin != SANDBOX_FROM_SNAPSHOT) {
		send_initialize(sandbox);
		return;
	}
	sandbox->init = SANDBOX_INIT_OK; /* in the template */
	write_restore_lines(sandbox);
	warm_or_ready(sandbox);
}

static void on_compiled(struct sandbox *sandbox, const Mayfly__Guest__V1__Compiled *compiled)
{
	if (step_failed(sandbox, compiled->outcome, "take the package"))
		return;
	if (version_take_bytecode(sandbox->version, compiled) < 0) {
		sandbox_stop(sandbox, "the guest compiled what nobody asked for");
		return;
	}
	if (sandbox->version->preparing) {
		sandbox_stop(sandbox, "the package is compiled");
		return;
	}
	send_initialize(sandbox);
}

/* A failed INIT is repeated by the guest within the first invocation, and its error is that
 * invocation's answer: the sandbox serves. */
static void on_initialized(struct sandbox *sandbox, const Mayfly__Guest__V1__Initialized *message)
{
	const Mayfly__Guest__V1__Outcome *outcome = message->outcome;

	if (!outcome || outcome->status == MAYFLY__GUEST__V1__STATUS__STATUS_GUEST_FAILURE ||
	    outcome->status == MAYFLY__GUEST__V1__STATUS__STATUS_UNSPECIFIED) {
		(void)step_failed(sandbox, outcome, "initialize");
		return;
	}
	sandbox->init_done_us = clock_monotonic_us();
	sandbox->init = outcome->status == MAYFLY__GUEST__V1__STATUS__STATUS_OK
				? SANDBOX_INIT_OK
				: SANDBOX_INIT_FAILED;
	version_log_init_report(sandbox->version, sandbox->log, outcome,
				sandbox->init_done_us - sandbox->init_sent_us);
	if (sandbox->provisioned && sandbox->init == SANDBOX_INIT_FAILED) {
		provision_failed(sandbox->version, PROVISION_FAILED_INIT);
		sandbox_stop(sandbox, "INIT failed ahead of all invocations");
		sandbox->stopped_starting = false; /* the start itself went well */
		return;
	}
	warm_or_ready(sandbox);
}

static void protocol_error(struct sandbox *sandbox)
{
	sandbox_stop(sandbox, "the guest sent a message out of turn");
}

/* What it waits for now says which answers are in turn. */
void sandbox_on_start_message(struct sandbox *sandbox,
			      const Mayfly__Guest__V1__GuestMessage *message)
{
	bool restoring = sandbox->state == SANDBOX_RESTORING;
	bool booting =
		restoring && sandbox->origin == SANDBOX_FROM_BOOT && sandbox->restore_sent_us == 0;

	switch (message->kind_case) {
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_BOOTED:
		if (!booting)
			break;
		send_prepare(sandbox);
		return;
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_PREPARED:
		if (!booting)
			break;
		if (!step_failed(sandbox, message->prepared->outcome, "start its runtime"))
			send_restore(sandbox);
		return;
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_RESTORED:
		if (!restoring || sandbox->restore_sent_us == 0)
			break;
		on_restored(sandbox, message->restored);
		return;
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_COMPILED:
		if (!restoring || sandbox->version->code.compiler != sandbox)
			break;
		on_compiled(sandbox, message->compiled);
		return;
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_INITIALIZED:
		if (restoring || sandbox->init != SANDBOX_INIT_NONE)
			break;
		on_initialized(sandbox, message->initialized);
		return;
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_WARMED:
		if (restoring || sandbox->init != SANDBOX_INIT_OK)
			break;
		if (!step_failed(sandbox, message->warmed->outcome, "warm its runtime"))
			become_ready(sandbox);
		return;
	default:
		break;
	}
	protocol_error(sandbox);
}

void sandbox_on_loaded(struct sandbox *sandbox)
{
	sandbox->loaded = true;
	share_check_cpu(sandbox);
	sandbox->version->load_failures = 0;
	if (sandbox->state != SANDBOX_RESTORING)
		return;
	/* A booting guest has nothing to restore; it says Booted in its own time. */
	if (sandbox->origin != SANDBOX_FROM_BOOT)
		send_restore(sandbox);
	if (sandbox->state == SANDBOX_RESTORING)
		sandbox->pool->driver->resume(sandbox->vm, NULL, NULL);
}

/* -- the start -- */

static int request_vm(struct sandbox *sandbox, struct error *error)
{
	struct pool *pool = sandbox->pool;
	const struct version *version = sandbox->version;
	const struct function_config *config = &version->config;

	if (sandbox->origin == SANDBOX_FROM_BOOT) {
		struct vm_boot_request request = {
			.runtime = config->runtime,
			.sandbox_id = sandbox->id,
			.cpu_group = version->tenant,
			.cpu_weight = sandbox->cpu_weight,
			.package_path = version->package_path,
			.memory_mb = config->memory_size_mb,
			.ephemeral_storage_mb = config->ephemeral_storage_mb,
		};
		return pool->driver->boot(pool->host, &request, &sandbox_vm_events, sandbox,
					  &sandbox->vm, error);
	}
	struct vm_clone_request request = {
		.source = version->template,
		.sandbox_id = sandbox->id,
		.cpu_group = version->tenant,
		.cpu_weight = sandbox->cpu_weight,
		.package_path = version->package_path,
		.memory_mb = config->memory_size_mb,
		.ephemeral_storage_mb = config->ephemeral_storage_mb,
	};
	return pool->driver->clone(pool->host, &request, &sandbox_vm_events, sandbox, &sandbox->vm,
				   error);
}

static void set_origin(struct sandbox *sandbox)
{
	const struct version *version = sandbox->version;
	struct template_facts facts = { 0 };

	if (version->policy == POOL_POLICY_BOOT) {
		sandbox->origin = SANDBOX_FROM_BOOT;
		return;
	}
	sandbox->pool->driver->template_get_facts(version->template, &facts);
	sandbox->template_id = facts.id ? strdup(facts.id) : NULL;
	sandbox->origin =
		facts.kind == TEMPLATE_FUNCTION ? SANDBOX_FROM_SNAPSHOT : SANDBOX_FROM_BASE;
}

int sandbox_start(struct version *version, bool provisioned, struct error *error)
{
	struct pool *pool = version->pool;
	struct sandbox *sandbox = calloc(1, sizeof(*sandbox));
	int64_t limit_us;
	int r;

	if (!sandbox)
		return error_set_errno(error, ENOMEM, "Cannot start a sandbox");
	sandbox->pool = pool;
	sandbox->version = version;
	sandbox->provisioned = provisioned;
	sandbox->cpu_weight = share_weight(version->owner, pool);
	sandbox->created_us = clock_realtime_us();
	sandbox->requested_us = clock_monotonic_us();
	hex_id_generate(sandbox->id);
	set_origin(sandbox);
	r = version_open_log(version, sandbox->id, sandbox->created_us, sandbox->log_stream_name,
			     &sandbox->log);
	if (r < 0)
		(void)error_set_errno(error, r, "Cannot open the sandbox's log");
	else
		r = request_vm(sandbox, error);
	if (r < 0) {
		sandbox_free(sandbox);
		return r;
	}
	version->references++;
	version->provisioned_alive += provisioned;
	TAILQ_INSERT_TAIL(&version->sandboxes, sandbox, link);
	pool->sandbox_count++;
	pool->by_state[SANDBOX_NEW]++;
	pool->committed_bytes += version->cost_bytes;
	share_take(version);
	pool->starts++;
	pool->slots_taken++;
	sandbox->slot = true;
	limit_us = sandbox->origin == SANDBOX_FROM_BOOT ? pool->config.boot_timeout_us
							: pool->config.start_timeout_us;
	sandbox_arm(sandbox, sandbox->requested_us + limit_us);
	return sandbox_set_state(sandbox, SANDBOX_RESTORING);
}
