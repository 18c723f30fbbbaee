/* SPDX-License-Identifier: Apache-2.0 */

/* What a sandbox hears from its VM, in whatever state. */

#include "agent/pool/pool_internal.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"

static void on_loaded(struct vm *vm _unused_, void *user)
{
	sandbox_on_loaded(user);
}

static void on_message(struct vm *vm _unused_, const Mayfly__Guest__V1__GuestMessage *message,
		       void *user)
{
	struct sandbox *sandbox = user;
	char reason[256];

	if (sandbox->state == SANDBOX_STOPPING)
		return;
	sandbox_set_delivered(sandbox);
	switch (message->kind_case) {
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_LOGS:
		version_log_records(sandbox->version, sandbox->log, message->logs);
		return;
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_FATAL:
		(void)snprintf(reason, sizeof(reason), "the guest gave up: %.200s",
			       message->fatal->message);
		sandbox_stop(sandbox, reason);
		return;
	default:
		break;
	}
	if (sandbox_is_starting(sandbox)) {
		sandbox_on_start_message(sandbox, message);
		return;
	}
	if (sandbox->demand) {
		sandbox->demand->events->on_message(sandbox->demand, message);
		return;
	}
	sandbox_stop(sandbox, "the guest sent a message while it was idle");
}

/* A start that did not come as far as QEMU (no room on the disk, no process) says nothing about the
 * template. One whose files are not as they were is known to agent/vm. */
static bool may_be_the_template(const struct sandbox *sandbox, const struct vm *vm)
{
	struct vm_facts facts = { 0 };

	if (sandbox->loaded || sandbox->origin == SANDBOX_FROM_BOOT || !sandbox->version->template)
		return false;
	sandbox->pool->driver->facts(vm, &facts);
	return facts.pid > 0;
}

static void count_failed_start(struct sandbox *sandbox, const struct vm *vm, const char *reason)
{
	struct version *version = sandbox->version;
	struct pool *pool = sandbox->pool;
	_cleanup_error_ struct error error = ERROR_INIT;

	pool->start_failures++;
	log_write(LOG_WARNING,
		  &(struct log_fields){ .tenant = version->tenant,
					.function = version->function_name,
					.sandbox = sandbox->id },
		  "A sandbox could not be started: %s", reason);
	if (may_be_the_template(sandbox, vm) && ++version->load_failures >= LOAD_FAILURES_MAX) {
		pool->driver->template_mark_damaged(version->template, reason);
		version_drop_template(version);
		version->load_failures = 0;
	}
	(void)error_set(&error, ERROR_INTERNAL, NULL,
			"No sandbox could be started for the function: %s", reason);
	version_count_failure(version, &error, false);
}

static void on_gone(struct vm *vm, const char *reason, void *user)
{
	struct sandbox *sandbox = user;
	struct version *version = sandbox->version;
	struct pool *pool = sandbox->pool;
	struct demand *demand = TAKE_PTR(sandbox->demand);
	struct version *current;
	bool starting = sandbox->stopped_starting || sandbox_is_starting(sandbox);

	sandbox_unset_idle(sandbox);
	if (sandbox->state != SANDBOX_STOPPING)
		(void)sandbox_set_state(sandbox, SANDBOX_STOPPING);
	(void)sandbox_set_state(sandbox, SANDBOX_GONE);
	cpu_use_gone(sandbox, vm);
	sandbox->vm = NULL;
	TAILQ_REMOVE(&version->sandboxes, sandbox, link);
	pool->by_state[SANDBOX_GONE]--;
	pool->sandbox_count--;
	pool->committed_bytes -= version->cost_bytes;
	pool->freeing_bytes -= version->cost_bytes;
	if (starting && version->current && !pool->draining)
		count_failed_start(sandbox, vm, reason);
	policy_sandbox_gone(sandbox);
	if (demand)
		demand->events->on_lost(demand, reason, sandbox->delivered);
	sandbox_free(sandbox);
	current = version->current ? version
				   : version_find(pool, version->tenant, version->function_name,
						  version->number);
	if (current)
		version_mark_dirty(current);
	version_unref(version);
	pool_mark_dirty(pool);
}

const struct vm_events sandbox_vm_events = {
	.on_loaded = on_loaded,
	.on_message = on_message,
	.on_gone = on_gone,
};
