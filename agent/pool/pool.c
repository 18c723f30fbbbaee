/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pool/pool.h"

#include <errno.h>

#include "agent/pool/memory.h"
#include "agent/pool/pool_internal.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"

#define STARVED_RETRY_US (200 * USEC_PER_MSEC)

void pool_mark_dirty(struct pool *pool)
{
	dirty_mark(&pool->dirty);
}

void pool_add_starved(struct version *version)
{
	if (version->starved)
		return;
	version->starved = true;
	share_enter(version->pool, version->owner);
	TAILQ_INSERT_TAIL(&version->pool->starved_versions, version, starved_link);
	pool_mark_dirty(version->pool);
}

void pool_remove_starved(struct version *version)
{
	version->starved = false;
	share_leave(version->owner);
	TAILQ_REMOVE(&version->pool->starved_versions, version, starved_link);
}

/* -- starts -- */

enum start_result { START_DONE, START_NOT_NOW, START_NOTHING };

static void start_failed(struct version *version, struct error *error)
{
	error_wrap(error, "No sandbox could be started for the function");
	version->pool->start_failures++;
	log_write(LOG_WARNING,
		  &(struct log_fields){ .tenant = version->tenant,
					.function = version->function_name },
		  "%s", error_log_text(error));
	version_count_failure(version, error, false);
}

/* For a provisioned sandbox; others may be about to end. `reason` NULL: the node is full. */
static void lack_room(struct version *version, const char *reason)
{
	if (!reason && version->pool->freeing_bytes > 0)
		provision_wait(version);
	else
		provision_failed(version, reason ? reason
						 : "The node has no memory left for so many "
						   "sandboxes.");
}

static enum start_result start_one(struct version *version)
{
	struct pool *pool = version->pool;
	_cleanup_error_ struct error error = ERROR_INIT;
	bool for_demand, provisioned;
	int r;

	if (!version->current || version->retry_at_us > 0 ||
	    version_wanted_starts(version, &for_demand) == 0)
		return START_NOTHING;
	r = version_ensure_template(version);
	if (r > 0)
		r = version_ensure_code(version);
	if (r < 0) {
		(void)error_set_errno(&error, r, "Cannot ask for its template or code");
		start_failed(version, &error);
	}
	if (r <= 0)
		return START_NOTHING;
	if (pool->slots_taken >= pool->config.max_starts)
		return START_NOT_NOW;
	provisioned = !for_demand && provision_wanted_starts(version) > 0;
	r = memory_make_room(version, for_demand || provisioned, &error);
	if (r <= 0 && provisioned) {
		lack_room(version, r < 0 ? error_text(&error) : NULL);
		return START_NOTHING;
	}
	if (r < 0) {
		version_fail_demands(version, &error);
		return START_NOTHING;
	}
	if (r == 0)
		return for_demand ? START_NOT_NOW : START_NOTHING;
	if (sandbox_start(version, provisioned, &error) < 0) {
		start_failed(version, &error);
		return START_NOTHING;
	}
	return START_DONE;
}

static void on_starved_time(void *arg)
{
	pool_mark_dirty(arg);
}

/* In turn, one start each, tenants by their shares, until all have what they want or a limit is
 * reached. */
static void serve_starved(struct pool *pool)
{
	struct version *version;

	while ((version = share_pick(pool))) {
		enum start_result result;

		version->references++;
		result = start_one(version);
		if (result != START_NOT_NOW && version->starved)
			pool_remove_starved(version);
		if (result == START_DONE) {
			share_count_start(version);
			pool_add_starved(version);
		}
		version_unref(version);
		if (result == START_NOT_NOW)
			break;
	}
	/* Memory may come from elsewhere than this pool. */
	if (version && pool->slots_taken < pool->config.max_starts)
		(void)!timer_arm(&pool->starved_timer, pool->loop,
				 clock_monotonic_us() + STARVED_RETRY_US, on_starved_time, pool);
}

/* -- draining -- */

static void end_idle_sandboxes(struct pool *pool, bool all)
{
	struct sandbox *sandbox, *next;
	struct version *version;

	TAILQ_FOREACH (version, &pool->all, link) {
		if (version->waiting > 0 && !all)
			continue;
		for (sandbox = TAILQ_FIRST(&version->sandboxes); sandbox; sandbox = next) {
			next = TAILQ_NEXT(sandbox, link);
			if (all || sandbox->state != SANDBOX_BUSY)
				sandbox_stop(sandbox, "the node is shutting down");
		}
	}
}

static void on_drain_limit(void *arg)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct pool *pool = arg;
	struct version *version, *next;

	(void)error_set(&error, ERROR_UNAVAILABLE, NULL, "The node is shutting down.");
	for (version = TAILQ_FIRST(&pool->all); version; version = next) {
		next = TAILQ_NEXT(version, link);
		version_fail_demands(version, &error);
	}
	end_idle_sandboxes(pool, true);
	pool_mark_dirty(pool);
}

static void drain_check(struct pool *pool)
{
	loop_fn *done = pool->drained;

	if (!pool->draining)
		return;
	end_idle_sandboxes(pool, false);
	if (pool->sandbox_count > 0 || pool->waiting > 0 || pool->code_jobs > 0 || !done)
		return;
	timer_disarm(&pool->drain_timer);
	timer_disarm(&pool->starved_timer);
	timer_disarm(&pool->garbage_timer);
	pool->drained = NULL;
	done(pool->drained_arg);
}

void pool_drain(struct pool *pool, int64_t limit_us, loop_fn *done, void *arg)
{
	struct version *version;

	pool->draining = true;
	pool->drained = done;
	pool->drained_arg = arg;
	TAILQ_FOREACH (version, &pool->all, link)
		version_mark_dirty(version);
	if (timer_arm(&pool->drain_timer, pool->loop, clock_monotonic_us() + limit_us,
		      on_drain_limit, pool) < 0)
		loop_post(pool->loop, on_drain_limit, pool);
	pool_mark_dirty(pool);
}

static void pool_converge(void *arg)
{
	struct pool *pool = arg;
	struct version *version;

	while ((version = TAILQ_FIRST(&pool->dirty_versions))) {
		version->dirty = false;
		TAILQ_REMOVE(&pool->dirty_versions, version, dirty_link);
		version_converge(version);
	}
	preparations_step(pool);
	serve_starved(pool);
	drain_check(pool);
}

/* -- news of functions -- */

void pool_function_changed(struct pool *pool, const struct function *function)
{
	struct version *old =
		version_find(pool, function->tenant, function->name, function->version);
	_cleanup_error_ struct error error = ERROR_INIT;
	struct version *version;

	templates_collect_function(pool, function, false);
	if (function->state != FUNCTION_ACTIVE || !function->config.package_digest ||
	    (old && old->generation == function->generation))
		return;
	if (version_get(pool, function, &version, &error) < 0) {
		log_warning("Cannot take up a function: %s", error_log_text(&error));
		return;
	}
	if (pool->config.spares_on_deploy)
		version_touch(version);
}

void pool_function_deleted(struct pool *pool, const struct function *function)
{
	struct version *version =
		version_find(pool, function->tenant, function->name, function->version);
	_cleanup_error_ struct error error = ERROR_INIT;

	templates_collect_function(pool, function, true);
	if (!version)
		return;
	(void)error_set(&error, ERROR_NOT_FOUND, NULL, "Function not found: %s:%s", version->arn,
			version->number_name);
	version_fail_demands(version, &error);
	policy_cancel(version, &error);
	version_retire(version, NULL);
}

/* -- demands -- */

static int may_wait(const struct version *version, struct error *error)
{
	if (version->failure.code == ERROR_NONE)
		return 0;
	if (error)
		(void)!error_copy(error, &version->failure);
	return -error_kind(version->failure.code)->errno_value;
}

int pool_acquire(struct pool *pool, const struct function *function, struct demand *demand,
		 struct sandbox **ret, struct error *error)
{
	struct sandbox *sandbox;
	struct version *version;
	int r;

	if (pool->draining)
		return error_set(error, ERROR_UNAVAILABLE, NULL, "The node is shutting down.");
	r = version_get(pool, function, &version, error);
	if (r < 0)
		return r;
	if (version->barred)
		return error_set(error, ERROR_ACCESS_DENIED, "tenant", "%s", version->barred);
	demand->queued_us = clock_monotonic_us();
	demand->version = NULL;
	version_touch(version);
	r = demand_claim(version, demand);
	if (r < 0)
		return error_set_errno(error, r, "Cannot take the demand");
	scaling_begin(version);
	sandbox = end_tenant_find_idle(version, demand);
	if (sandbox) {
		sandbox_bind(sandbox, demand);
		*ret = sandbox;
		return 1;
	}
	r = may_wait(version, error);
	if (r < 0) {
		demand_disclaim(demand);
		return r;
	}
	demand_enqueue(version, demand);
	pool->waiting++;
	version_mark_dirty(version);
	return 0;
}

void pool_cancel(struct pool *pool, struct demand *demand)
{
	if (!demand->version)
		return;
	demand_dequeue(demand);
	demand_disclaim(demand);
	pool->waiting--;
	pool_mark_dirty(pool);
}

/* -- facts -- */

unsigned pool_count_sandboxes(struct pool *pool, const char *tenant, const char *name)
{
	char key[TENANT_ID_DIGITS + FUNCTION_NAME_MAX + 2];
	const struct pool_function *function;

	if (snprintf(key, sizeof(key), "%s/%s", tenant, name) >= (int)sizeof(key))
		return 0;
	HASH_FIND_STR(pool->functions, key, function);
	return function ? function->alive : 0;
}

int pool_add_listener(struct pool *pool, pool_listener *listener, void *arg)
{
	if (pool->listener_count == POOL_LISTENERS_MAX)
		return -ENOSPC;
	pool->listeners[pool->listener_count].fn = listener;
	pool->listeners[pool->listener_count].arg = arg;
	pool->listener_count++;
	return 0;
}

void pool_notify(struct sandbox *sandbox)
{
	struct pool *pool = sandbox->pool;
	struct sandbox_facts facts;

	if (pool->listener_count == 0)
		return;
	sandbox_get_facts(sandbox, &facts);
	for (unsigned i = 0; i < pool->listener_count; i++)
		pool->listeners[i].fn(&facts, pool->listeners[i].arg);
}

void pool_each(struct pool *pool, void (*fn)(const struct sandbox_facts *facts, void *arg),
	       void *arg)
{
	struct sandbox_facts facts;
	struct sandbox *sandbox;
	struct version *version;

	TAILQ_FOREACH (version, &pool->all, link) {
		TAILQ_FOREACH (sandbox, &version->sandboxes, link) {
			sandbox_get_facts(sandbox, &facts);
			fn(&facts, arg);
		}
	}
}

void pool_gauges(const struct pool *pool, struct pool_gauges *ret)
{
	*ret = (struct pool_gauges){
		.total = pool->sandbox_count,
		.busy = pool->by_state[SANDBOX_BUSY],
		.frozen = pool->by_state[SANDBOX_FROZEN],
		.spare = pool->spares,
		.starting =
			pool->by_state[SANDBOX_RESTORING] + pool->by_state[SANDBOX_INITIALIZING],
		.waiting = pool->waiting,
		.starts = pool->starts,
		.start_failures = pool->start_failures,
		.evictions = pool->evictions,
		.memory_committed_bytes = pool->committed_bytes,
		.memory_budget_bytes = pool->config.memory_budget_bytes,
	};
}

/* -- the pool -- */

#define DEFAULT(field, value)                                                                      \
	do {                                                                                       \
		if (config->field == 0)                                                            \
			config->field = (value);                                                   \
	} while (0)

static void fill_defaults(struct pool_config *config, const struct vm_host_info *host)
{
	bool slow = host->accelerator == ACCELERATOR_TCG;
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	DEFAULT(memory_budget_bytes, memory_total_bytes() / 10 * 8);
	DEFAULT(memory_reserve_bytes, 512ULL << 20);
	DEFAULT(memory_commit_percent, 10);
	DEFAULT(sandbox_overhead_mb, 32);
	DEFAULT(max_sandboxes, 4096);
	DEFAULT(max_starts, processors > 0 ? (unsigned)processors : 1);
	DEFAULT(share_idle_us, 10 * USEC_PER_SEC);
	DEFAULT(keep_alive_us, 600 * USEC_PER_SEC);
	DEFAULT(keep_alive_min_us, 60 * USEC_PER_SEC);
	if (config->keep_alive_min_us > config->keep_alive_us)
		config->keep_alive_min_us = config->keep_alive_us;
	DEFAULT(cold_start_worth_us, config->keep_alive_us);
	DEFAULT(start_lead_us, 2 * USEC_PER_SEC);
	DEFAULT(spares_max, 16);
	if (config->spares_max < config->spares)
		config->spares_max = config->spares;
	DEFAULT(freeze_after_us, 10 * USEC_PER_MSEC);
	DEFAULT(active_window_us, 600 * USEC_PER_SEC);
	DEFAULT(warm_rounds, 3);
	DEFAULT(start_timeout_us, (slow ? 60 : 10) * USEC_PER_SEC);
	DEFAULT(boot_timeout_us, (slow ? 180 : 30) * USEC_PER_SEC);
	DEFAULT(init_timeout_ms, 10000);
	DEFAULT(guest_grace_us, 2 * USEC_PER_SEC);
}

int pool_new_with_driver(const struct pool_config *config, struct loop *loop,
			 const struct vm_driver *driver, struct vm_host *host,
			 struct template_store *templates, struct log_store *logs,
			 struct pool **ret, struct error *error)
{
	struct pool *pool = calloc(1, sizeof(*pool));
	int r;

	if (!pool)
		return error_set_errno(error, ENOMEM, "Cannot make the pool");
	*pool = (struct pool){
		.loop = loop,
		.driver = driver,
		.host = host,
		.templates = templates,
		.logs = logs,
		.config = *config,
	};
	TAILQ_INIT(&pool->all);
	TAILQ_INIT(&pool->dirty_versions);
	TAILQ_INIT(&pool->starved_versions);
	TAILQ_INIT(&pool->preparations);
	TAILQ_INIT(&pool->lru);
	fill_defaults(&pool->config, driver->host_info(host));
	r = dirty_init(&pool->dirty, loop, pool_converge, pool);
	if (r < 0) {
		free(pool);
		return error_set_errno(error, r, "Cannot make the pool");
	}
	templates_watch_bases(pool);
	*ret = pool;
	return 0;
}

/* What a node that could not drain leaves: its VMs are ended by the next start. */
static void free_sandboxes(struct version *version)
{
	struct sandbox *sandbox;

	while ((sandbox = TAILQ_FIRST(&version->sandboxes))) {
		sandbox_unset_idle(sandbox);
		TAILQ_REMOVE(&version->sandboxes, sandbox, link);
		sandbox_free(sandbox);
	}
}

struct pool *pool_free(struct pool *pool)
{
	struct version *version;

	if (!pool)
		return NULL;
	timer_disarm(&pool->drain_timer);
	share_cpu_stop(pool);
	timer_disarm(&pool->starved_timer);
	timer_disarm(&pool->garbage_timer);
	preparations_free(pool);
	while ((version = TAILQ_FIRST(&pool->all))) {
		free_sandboxes(version);
		if (version->current)
			HASH_DEL(pool->versions, version);
		version->references = 1; /* nobody is left to answer */
		version_unref(version);
	}
	cpu_use_free(pool);
	dirty_free(&pool->dirty);
	free(pool);
	return NULL;
}
