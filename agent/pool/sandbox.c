/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pool/sandbox.h"

#include <errno.h>

#include "agent/pool/pool_internal.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"

#define BIT(state) (1U << SANDBOX_##state)

static const char *const state_names[] = {
	[SANDBOX_NEW] = "NEW",
	[SANDBOX_RESTORING] = "RESTORING",
	[SANDBOX_INITIALIZING] = "INITIALIZING",
	[SANDBOX_READY] = "READY",
	[SANDBOX_BUSY] = "BUSY",
	[SANDBOX_FROZEN] = "FROZEN",
	[SANDBOX_STOPPING] = "STOPPING",
	[SANDBOX_GONE] = "GONE",
};

/* A clone of a function template skips INITIALIZING. */
static const uint32_t successors[] = {
	[SANDBOX_NEW] = BIT(RESTORING),
	[SANDBOX_RESTORING] = BIT(INITIALIZING) | BIT(READY) | BIT(STOPPING),
	[SANDBOX_INITIALIZING] = BIT(READY) | BIT(STOPPING),
	[SANDBOX_READY] = BIT(BUSY) | BIT(FROZEN) | BIT(STOPPING),
	[SANDBOX_BUSY] = BIT(READY) | BIT(FROZEN) | BIT(STOPPING),
	[SANDBOX_FROZEN] = BIT(READY) | BIT(BUSY) | BIT(STOPPING),
	[SANDBOX_STOPPING] = BIT(GONE),
	[SANDBOX_GONE] = 0,
};

const struct state_table sandbox_states = {
	.noun = "sandbox",
	.names = state_names,
	.successors = successors,
	.count = _SANDBOX_STATE_MAX,
};

bool sandbox_is_starting(const struct sandbox *sandbox)
{
	return sandbox->state == SANDBOX_RESTORING || sandbox->state == SANDBOX_INITIALIZING;
}

/* Its vCPUs have something to do. */
static bool runs(const struct sandbox *sandbox)
{
	return sandbox_is_starting(sandbox) || sandbox->state == SANDBOX_BUSY;
}

/* One start less under way: another may begin. */
static void release_slot(struct sandbox *sandbox)
{
	if (!sandbox->slot)
		return;
	sandbox->slot = false;
	sandbox->pool->slots_taken--;
	pool_mark_dirty(sandbox->pool);
}

int sandbox_set_state(struct sandbox *sandbox, enum sandbox_state state)
{
	struct pool *pool = sandbox->pool;
	bool was_starting = sandbox_is_starting(sandbox);
	bool was_busy = sandbox->state == SANDBOX_BUSY;
	bool ran = runs(sandbox);

	if (!state_may_follow(&sandbox_states, sandbox->state, state)) {
		log_write(LOG_ERR, &(struct log_fields){ .sandbox = sandbox->id },
			  "A sandbox was to go from %s to %s, which it may not",
			  state_name(&sandbox_states, sandbox->state),
			  state_name(&sandbox_states, state));
		return -EINVAL;
	}
	cpu_use_step(sandbox, clock_monotonic_us());
	pool->by_state[sandbox->state]--;
	sandbox->state = state;
	pool->by_state[state]++;
	sandbox->version->starting += sandbox_is_starting(sandbox);
	sandbox->version->starting -= was_starting;
	sandbox->version->busy += state == SANDBOX_BUSY;
	sandbox->version->busy -= was_busy;
	if (runs(sandbox) && !ran)
		share_cpu_begin(pool, sandbox->version->owner);
	if (!runs(sandbox) && ran)
		share_cpu_end(pool, sandbox->version->owner);
	if (!sandbox_is_starting(sandbox))
		release_slot(sandbox);
	if (state == SANDBOX_STOPPING || state == SANDBOX_GONE)
		version_compiler_gone(sandbox);
	sandbox->version->function->alive += state == SANDBOX_RESTORING;
	sandbox->version->function->alive -= state == SANDBOX_STOPPING;
	if (state == SANDBOX_STOPPING) {
		sandbox->version->provisioned_alive -= sandbox->provisioned;
		pool->freeing_bytes += sandbox->version->cost_bytes;
		share_give_back(sandbox->version);
	}
	pool_notify(sandbox);
	return 0;
}

/* -- idle lists -- */

void sandbox_set_idle(struct sandbox *sandbox)
{
	struct version *version = sandbox->version;

	if (sandbox->idle)
		return;
	sandbox->idle = true;
	if (sandbox->provisioned) {
		TAILQ_INSERT_HEAD(&version->provisioned_idle, sandbox, idle_link);
		return;
	}
	if (sandbox->end_tenant) {
		end_tenant_add_idle(sandbox);
		version->idle_used++;
	} else if (sandbox->invocations == 0) {
		TAILQ_INSERT_TAIL(&version->idle, sandbox, idle_link);
		version->spares_ready++;
		sandbox->pool->spares++;
	} else {
		TAILQ_INSERT_HEAD(&version->idle, sandbox, idle_link);
		version->idle_used++;
	}
	TAILQ_INSERT_TAIL(&sandbox->pool->lru, sandbox, lru_link);
}

void sandbox_unset_idle(struct sandbox *sandbox)
{
	struct version *version = sandbox->version;

	if (!sandbox->idle)
		return;
	sandbox->idle = false;
	if (sandbox->provisioned) {
		TAILQ_REMOVE(&version->provisioned_idle, sandbox, idle_link);
		return;
	}
	if (sandbox->end_tenant)
		end_tenant_remove_idle(sandbox);
	else
		TAILQ_REMOVE(&version->idle, sandbox, idle_link);
	TAILQ_REMOVE(&sandbox->pool->lru, sandbox, lru_link);
	if (sandbox->invocations == 0) {
		version->spares_ready--;
		sandbox->pool->spares--;
	} else {
		version->idle_used--;
	}
}

/* -- the timer: what it means depends on the state -- */

static void freeze(struct sandbox *sandbox)
{
	struct pool *pool = sandbox->pool;

	if (sandbox_set_state(sandbox, SANDBOX_FROZEN) < 0)
		return;
	sandbox->frozen_wish = true;
	pool->driver->pause(sandbox->vm, NULL, NULL);
	sandbox_arm(sandbox, clock_monotonic_us() + scaling_keep_us(sandbox));
}

static void expire(struct sandbox *sandbox)
{
	int64_t until_us;

	if (sandbox->provisioned)
		return;
	if (scaling_keeps(sandbox, &until_us)) {
		sandbox_arm(sandbox, until_us);
		return;
	}
	sandbox_stop(sandbox, "idle for longer than the keep-alive");
}

static void on_timer(void *arg)
{
	struct sandbox *sandbox = arg;

	switch (sandbox->state) {
	case SANDBOX_RESTORING:
		sandbox_stop(sandbox, "the restore took longer than its limit");
		return;
	case SANDBOX_INITIALIZING:
		if (sandbox->slot) {
			/* A long INIT waits more than it works. */
			release_slot(sandbox);
			sandbox_arm(sandbox, sandbox->start_limit_us);
			return;
		}
		sandbox_stop(sandbox, "the guest did not answer within the limit of INIT");
		return;
	case SANDBOX_READY:
		freeze(sandbox);
		return;
	case SANDBOX_FROZEN:
		expire(sandbox);
		return;
	case SANDBOX_BUSY:
		if (sandbox->demand)
			sandbox->demand->events->on_overdue(sandbox->demand);
		return;
	default:
		return;
	}
}

void sandbox_arm(struct sandbox *sandbox, int64_t at_us)
{
	int r = timer_arm(&sandbox->timer, sandbox->pool->loop, at_us, on_timer, sandbox);

	if (r < 0) /* no memory: it would live without a limit */
		log_write(LOG_ERR, &(struct log_fields){ .sandbox = sandbox->id },
			  "Cannot arm a sandbox's timer: %s", strerror(-r));
}

/* -- binding -- */

static void on_resumed(void *arg)
{
	struct sandbox *sandbox = arg;

	if (sandbox->state != SANDBOX_BUSY || sandbox->resume_asked_us == 0 ||
	    sandbox->resume_done_us > 0)
		return;
	sandbox->resume_done_us = clock_monotonic_us();
	sandbox_set_delivered(sandbox);
}

void sandbox_set_delivered(struct sandbox *sandbox)
{
	if (!sandbox->demand || sandbox->delivered)
		return;
	sandbox->delivered = true;
	sandbox->demand->events->on_delivered(sandbox->demand);
}

/* One that was told to stop a moment ago may do a little more until it does. */
static bool may_run(const struct sandbox *sandbox)
{
	struct vm_facts vm = { 0 };

	sandbox->pool->driver->facts(sandbox->vm, &vm);
	return !sandbox->frozen_wish || vm.running;
}

void sandbox_bind(struct sandbox *sandbox, struct demand *demand)
{
	struct pool *pool = sandbox->pool;
	int64_t now_us = clock_monotonic_us();
	int64_t limit_us;

	if (sandbox->idle && sandbox->invocations == 0 && !sandbox->provisioned)
		version_spare_taken(sandbox->version);
	sandbox_unset_idle(sandbox);
	end_tenant_bind(sandbox, demand);
	sandbox->demand = demand;
	sandbox->invocations++;
	sandbox->last_used_us = clock_realtime_us();
	sandbox->idle_since_us = now_us;
	sandbox->resume_asked_us = 0;
	sandbox->resume_done_us = 0;
	sandbox->delivered = may_run(sandbox);
	(void)sandbox_set_state(sandbox, SANDBOX_BUSY);
	version_touch(sandbox->version);
	if (sandbox->frozen_wish) {
		sandbox->frozen_wish = false;
		sandbox->resume_asked_us = now_us;
		pool->driver->resume(sandbox->vm, on_resumed, sandbox);
	}
	limit_us = pool->config.guest_grace_us +
		   sandbox->version->config.timeout_seconds * USEC_PER_SEC;
	sandbox->repeating_init = sandbox->repeats_init;
	if (sandbox->repeats_init)
		limit_us += pool->config.init_timeout_ms * USEC_PER_MSEC;
	sandbox->repeats_init = false;
	sandbox_arm(sandbox, now_us + limit_us);
}

void sandbox_release(struct sandbox *sandbox, const char *end_reason)
{
	struct pool *pool = sandbox->pool;
	struct version *version = sandbox->version;

	sandbox->demand = NULL;
	sandbox->last_used_us = clock_realtime_us();
	sandbox->idle_since_us = clock_monotonic_us();
	version_touch(version);
	scaling_end(version);
	if (!end_reason && !version->current)
		end_reason = "a newer generation of the function serves";
	if (!end_reason && pool->draining && version->waiting == 0)
		end_reason = "the node is shutting down";
	if (!end_reason && provision_is_surplus(sandbox))
		end_reason = "its provisioned concurrency was taken back";
	if (!end_reason && !sandbox->provisioned && share_must_yield(sandbox))
		end_reason = "another tenant has less than its share";
	if (!end_reason && end_tenant_must_yield(sandbox))
		end_reason = "another end-tenant of the function has waited for longer";
	if (end_reason) {
		sandbox_stop(sandbox, end_reason);
		return;
	}
	if (sandbox->frozen_wish) {
		sandbox->frozen_wish = false;
		pool->driver->resume(sandbox->vm, NULL, NULL);
	}
	if (sandbox_set_state(sandbox, SANDBOX_READY) < 0)
		return;
	sandbox_set_idle(sandbox);
	sandbox_arm(sandbox, clock_monotonic_us() + pool->config.freeze_after_us);
	if (version->waiting > 0 || !TAILQ_EMPTY(&pool->starved_versions))
		version_mark_dirty(version);
}

void sandbox_stop(struct sandbox *sandbox, const char *reason)
{
	if (sandbox->state == SANDBOX_STOPPING || sandbox->state == SANDBOX_GONE)
		return;
	sandbox_unset_idle(sandbox);
	timer_disarm(&sandbox->timer);
	sandbox->stopped_starting = sandbox_is_starting(sandbox);
	(void)sandbox_set_state(sandbox, SANDBOX_STOPPING);
	sandbox->pool->driver->end(sandbox->vm, reason);
}

/* -- what the bound asker may do -- */

int sandbox_send(struct sandbox *sandbox, const Mayfly__Guest__V1__HostMessage *message)
{
	if (sandbox->state != SANDBOX_BUSY)
		return -ENOTCONN;
	return sandbox->pool->driver->send(sandbox->vm, message);
}

void sandbox_mark_reset(struct sandbox *sandbox)
{
	sandbox->repeats_init = true;
}

void sandbox_hold(struct sandbox *sandbox)
{
	if (sandbox->state != SANDBOX_BUSY || sandbox->frozen_wish)
		return;
	sandbox->frozen_wish = true;
	sandbox->pool->driver->pause(sandbox->vm, NULL, NULL);
}

void sandbox_unhold(struct sandbox *sandbox)
{
	if (sandbox->state != SANDBOX_BUSY || !sandbox->frozen_wish)
		return;
	sandbox->frozen_wish = false;
	sandbox->pool->driver->resume(sandbox->vm, NULL, NULL);
}

const struct function_config *sandbox_config(const struct sandbox *sandbox)
{
	return &sandbox->version->config;
}

const struct line_runtime *sandbox_runtime(const struct sandbox *sandbox)
{
	return &sandbox->version->runtime;
}

struct log_stream *sandbox_log(const struct sandbox *sandbox)
{
	return sandbox->log;
}

void sandbox_get_facts(const struct sandbox *sandbox, struct sandbox_facts *ret)
{
	struct vm_facts vm = { 0 };

	if (sandbox->vm)
		sandbox->pool->driver->facts(sandbox->vm, &vm);
	*ret = (struct sandbox_facts){
		.id = sandbox->id,
		.tenant = sandbox->version->tenant,
		.function_name = sandbox->version->function_name,
		.version = sandbox->version->number_name,
		.template_id = sandbox->template_id ? sandbox->template_id : "",
		.log_stream_name = sandbox->log_stream_name,
		.state = sandbox->state,
		.origin = sandbox->origin,
		.init = sandbox->init,
		.memory_mb = sandbox->version->config.memory_size_mb,
		.pid = vm.pid,
		.invocations = sandbox->invocations,
		.created_us = sandbox->created_us,
		.last_used_us = sandbox->last_used_us,
		.requested_us = sandbox->requested_us,
		.spawned_us = vm.spawned_us,
		.loaded_us = vm.loaded_us,
		.restored_us = sandbox->restored_us,
		.init_sent_us = sandbox->init_sent_us,
		.init_done_us = sandbox->init_done_us,
		.ready_us = sandbox->ready_us,
		.restore_sent_us = sandbox->restore_sent_us,
		.resume_asked_us = sandbox->resume_asked_us,
		.resume_done_us = sandbox->resume_done_us,
		.repeating_init = sandbox->repeating_init,
		.delivered = sandbox->delivered,
	};
}

void sandbox_free(struct sandbox *sandbox)
{
	timer_disarm(&sandbox->timer);
	end_tenant_unbind(sandbox);
	(void)log_stream_close(sandbox->log);
	free(sandbox->template_id);
	free(sandbox);
}
