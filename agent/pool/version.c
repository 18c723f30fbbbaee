/* SPDX-License-Identifier: Apache-2.0 */

/* A version: one generation of a function's code and configuration, the demands that wait for it
 * and the sandboxes that serve it. */

#include <errno.h>

#include "agent/pool/pool_internal.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"

#define RETRY_FIRST_US (100 * USEC_PER_MSEC)
#define REFILL_US      (200 * USEC_PER_MSEC)
#define RETRY_LAST_US  (30 * USEC_PER_SEC)

bool version_has_snap_start(const struct version *version)
{
	return function_config_has_snap_start(&version->config, version->number);
}

struct line_source version_line_source(const struct version *version)
{
	return (struct line_source){
		.function_name = version->function_name,
		.function_version = version->number_name,
		.runtime = &version->runtime,
		.snap_start = version_has_snap_start(version),
	};
}

/* -- the function -- */

static struct pool_function *function_get(struct pool *pool, const char *tenant, const char *name)
{
	struct pool_function *function;
	char *key;

	if (asprintf(&key, "%s/%s", tenant, name) < 0)
		return NULL;
	HASH_FIND_STR(pool->functions, key, function);
	if (function) {
		free(key);
		function->versions++;
		return function;
	}
	function = calloc(1, sizeof(*function));
	if (!function) {
		free(key);
		return NULL;
	}
	function->key = key;
	function->versions = 1;
	HASH_ADD_KEYPTR(hh, pool->functions, function->key, strlen(function->key), function);
	return function;
}

static void function_put(struct pool *pool, struct pool_function *function)
{
	if (--function->versions > 0)
		return;
	HASH_DEL(pool->functions, function);
	free(function->key);
	free(function);
}

/* -- life -- */

static void version_free(struct version *version)
{
	struct pool *pool = version->pool;

	timer_disarm(&version->retry_timer);
	timer_disarm(&version->refill_timer);
	timer_disarm(&version->plan_timer);
	timer_disarm(&version->provision_timer);
	version_drop_template(version);
	version_code_clear(&version->code);
	version_close_init_log(version);
	if (version->dirty)
		TAILQ_REMOVE(&pool->dirty_versions, version, dirty_link);
	if (version->starved)
		pool_remove_starved(version);
	if (version->owner)
		share_put(pool, version->owner);
	if (version->function)
		function_put(pool, version->function);
	TAILQ_REMOVE(&pool->all, version, link);
	function_config_clear(&version->config);
	error_clear(&version->failure);
	free(version->key);
	free(version->tenant);
	free(version->function_name);
	free(version->arn);
	free(version->package_path);
	free(version);
}

void version_unref(struct version *version)
{
	if (--version->references == 0)
		version_free(version);
}

void version_set_runtime(struct version *version)
{
	const struct pool *pool = version->pool;
	const struct runtime_image *image =
		pool->config.catalogue
			? runtime_catalogue_find(pool->config.catalogue, version->config.runtime)
			: NULL;

	line_runtime_set(&version->runtime, version->config.runtime,
			 image ? image->file.digest : NULL, pool->config.region);
}

int version_new(struct pool *pool, const struct function *function,
		const struct function_config *config, uint64_t generation, struct version **ret)
{
	struct version *version = calloc(1, sizeof(*version));
	int r;

	if (!version)
		return -ENOMEM;
	TAILQ_INIT(&version->demands);
	TAILQ_INIT(&version->sandboxes);
	TAILQ_INIT(&version->idle);
	TAILQ_INIT(&version->matches);
	TAILQ_INIT(&version->provisioned_idle);
	TAILQ_INIT(&version->policy_waits);
	TAILQ_INSERT_TAIL(&pool->all, version, link);
	version->pool = pool;
	version->references = 1;
	version->barred =
		pool->config.why_not_run
			? pool->config.why_not_run(function->tenant, pool->config.why_not_run_arg)
			: NULL;
	version->generation = generation;
	version->number = function->version;
	function_version_name(function->version, version->number_name);
	version->tenant = strdup(function->tenant);
	version->owner = share_get(pool, function->tenant);
	version->function = function_get(pool, function->tenant, function->name);
	version->function_name = strdup(function->name);
	version->arn = function_arn(pool->config.region, function->tenant, function->name, NULL);
	version->package_path =
		pool->config.package_path(config->package_digest, pool->config.package_path_arg);
	r = function_config_copy(&version->config, config);
	if (r < 0 || !version->tenant || !version->owner || !version->function ||
	    !version->function_name || !version->arn || !version->package_path ||
	    asprintf(&version->key, "%s/%s:%s", function->tenant, function->name,
		     version->number_name) < 0) {
		version->key = NULL;
		version_unref(version);
		return r < 0 ? r : -ENOMEM;
	}
	version->cpu_use = cpu_use_get(pool, version);
	if (!version->cpu_use) {
		version_unref(version);
		return -ENOMEM;
	}
	version->style = (struct line_style){ .format = config->log_format,
					      .level = line_level_parse(config->system_log_level) };
	version_set_runtime(version);
	version->cost_bytes =
		((uint64_t)pool->config.sandbox_overhead_mb << 20) +
		((uint64_t)config->memory_size_mb << 20) * pool->config.memory_commit_percent / 100;
	*ret = version;
	return 0;
}

struct version *version_find(struct pool *pool, const char *tenant, const char *name,
			     uint64_t number)
{
	char key[TENANT_ID_DIGITS + 256], number_name[FUNCTION_VERSION_BYTES];
	struct version *version;

	function_version_name(number, number_name);
	if (snprintf(key, sizeof(key), "%s/%s:%s", tenant, name, number_name) >= (int)sizeof(key))
		return NULL;
	HASH_FIND_STR(pool->versions, key, version);
	return version;
}

int version_get(struct pool *pool, const struct function *function, struct version **ret,
		struct error *error)
{
	struct version *old =
		version_find(pool, function->tenant, function->name, function->version);
	struct version *version;
	int r;

	if (old && old->generation == function->generation) {
		*ret = old;
		return 0;
	}
	if (!function->config.package_digest)
		return error_set(error, ERROR_RESOURCE_NOT_READY, NULL,
				 "The function has no package yet.");
	r = version_new(pool, function, &function->config, function->generation, &version);
	if (r < 0)
		return error_set_errno(error, r, "Cannot take up the function");
	if (old)
		version_retire(old, version);
	version->current = true;
	HASH_ADD_KEYPTR(hh, pool->versions, version->key, strlen(version->key), version);
	version_mark_dirty(version);
	*ret = version;
	return 0;
}

static void fail_demand(struct demand *demand, const struct error *error)
{
	demand->version->pool->waiting--;
	demand_dequeue(demand);
	demand_disclaim(demand);
	demand->events->on_failed(demand, error);
}

static void move_demand(struct demand *demand, struct version *successor)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	int r;

	demand_dequeue(demand);
	demand_disclaim(demand);
	r = demand_claim(successor, demand);
	if (r >= 0) {
		demand_enqueue(successor, demand);
		return;
	}
	successor->pool->waiting--;
	(void)error_set_errno(&error, r, "Cannot wait for a newer generation of the function");
	demand->events->on_failed(demand, &error);
}

/* Its demands go to the successor (or fail, when there is none), idle sandboxes end, busy ones when
 * they are released. */
void version_retire(struct version *version, struct version *successor)
{
	struct pool *pool = version->pool;
	struct demand *demand;
	struct sandbox *sandbox, *next;

	version->current = false;
	HASH_DEL(pool->versions, version);
	while (successor && (demand = TAILQ_FIRST(&version->demands)))
		move_demand(demand, successor);
	if (successor) {
		successor->active_until_us = version->active_until_us;
		successor->provisioned = version->provisioned;
		successor->arrivals = version->arrivals;
		policy_move(version, successor);
	}
	for (sandbox = TAILQ_FIRST(&version->sandboxes); sandbox; sandbox = next) {
		next = TAILQ_NEXT(sandbox, link);
		if (sandbox->state != SANDBOX_BUSY)
			sandbox_stop(sandbox, "a newer generation of the function serves");
	}
	timer_disarm(&version->retry_timer);
	timer_disarm(&version->refill_timer);
	timer_disarm(&version->plan_timer);
	timer_disarm(&version->provision_timer);
	version_unref(version);
}

/* -- failures -- */

void version_fail_demands(struct version *version, const struct error *error)
{
	struct demand *demand;

	while ((demand = TAILQ_FIRST(&version->demands)))
		fail_demand(demand, error);
}

static void on_retry(void *arg)
{
	struct version *version = arg;

	version->retry_at_us = 0;
	error_clear(&version->failure);
	version_mark_dirty(version);
}

/* Backs off; after a fatal failure, or some in a row, demands fail until the time is over. */
void version_count_failure(struct version *version, const struct error *error, bool fatal)
{
	unsigned doublings = version->failures < 10 ? version->failures : 10;
	int64_t wait_us = RETRY_FIRST_US << doublings;

	version->failures++;
	if (wait_us > RETRY_LAST_US)
		wait_us = RETRY_LAST_US;
	version->retry_at_us = clock_monotonic_us() + wait_us;
	if (timer_arm(&version->retry_timer, version->pool->loop, version->retry_at_us, on_retry,
		      version) < 0)
		version->retry_at_us = 0;
	if (!fatal && version->failures < START_FAILURES_MAX)
		return;
	error_clear(&version->failure);
	if (version->retry_at_us > 0)
		(void)error_copy(&version->failure, error);
	version_fail_demands(version, error);
	policy_check(version);
}

void version_count_success(struct version *version)
{
	version->failures = 0;
	version->load_failures = 0;
}

/* -- activity -- */

void version_touch(struct version *version)
{
	version->active_until_us = clock_monotonic_us() + version->pool->config.active_window_us;
}

static void on_refill(void *arg)
{
	struct version *version = arg;

	version->refill_at_us = 0;
	version_mark_dirty(version);
}

void version_spare_taken(struct version *version)
{
	if (!version->current)
		return;
	version->refill_at_us = clock_monotonic_us() + REFILL_US;
	if (timer_arm(&version->refill_timer, version->pool->loop, version->refill_at_us, on_refill,
		      version) < 0)
		on_refill(version);
}

bool version_is_active(const struct version *version)
{
	if (!version->current || version->pool->draining)
		return false;
	return version->policy == POOL_POLICY_SPARE ||
	       clock_monotonic_us() < version->active_until_us;
}

unsigned version_spare_target(const struct version *version)
{
	if (version->pool->draining)
		return 0;
	if (version->policy == POOL_POLICY_SPARE)
		return version->policy_spares;
	return version->policy == POOL_POLICY_DEFAULT && version->current ? scaling_spares(version)
									  : 0;
}

/* -- convergence -- */

void version_mark_dirty(struct version *version)
{
	if (version->dirty)
		return;
	version->dirty = true;
	TAILQ_INSERT_TAIL(&version->pool->dirty_versions, version, dirty_link);
	pool_mark_dirty(version->pool);
}

struct sandbox *version_first_idle(const struct version *version)
{
	struct sandbox *provisioned = TAILQ_FIRST(&version->provisioned_idle);

	return provisioned ? provisioned : TAILQ_FIRST(&version->idle);
}

static void serve(struct demand *demand, struct sandbox *sandbox)
{
	demand_dequeue(demand);
	sandbox->pool->waiting--;
	sandbox_bind(sandbox, demand);
	demand->events->on_bound(demand, sandbox);
}

/* Those whose end-tenant has an idle sandbox first: it is of no use to others. */
static void serve_demands(struct version *version)
{
	struct sandbox *sandbox;
	struct demand *demand;

	while (end_tenant_next_match(version, &demand, &sandbox))
		serve(demand, sandbox);
	while ((demand = TAILQ_FIRST(&version->demands)) && (sandbox = version_first_idle(version)))
		serve(demand, sandbox);
}

/* Demands first: each that waits is worth one sandbox under way, never more. */
unsigned version_wanted_starts(const struct version *version, bool *ret_for_demand)
{
	unsigned starting = version->starting;
	unsigned spares = version->spares_ready;
	unsigned target;

	*ret_for_demand = version->waiting > starting;
	if (version->barred)
		return 0;
	if (*ret_for_demand)
		return version->waiting - starting;
	if (version->waiting == 0 && provision_wanted_starts(version) > 0)
		return provision_wanted_starts(version);
	if (version->waiting > 0 || version->refill_at_us > 0)
		return 0; /* what is asked for now has the CPUs to itself */
	spares += starting;
	target = version_spare_target(version);
	return target > spares ? target - spares : 0;
}

void version_converge(struct version *version)
{
	bool for_demand;

	if (!version->current)
		return;
	version->references++; /* callbacks may retire it */
	serve_demands(version);
	provision_check(version);
	if (version->current && version->retry_at_us == 0 &&
	    version_wanted_starts(version, &for_demand) > 0)
		pool_add_starved(version);
	if (version->current)
		scaling_arm(version);
	policy_check(version);
	version_unref(version);
}
