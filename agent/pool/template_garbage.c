/* SPDX-License-Identifier: Apache-2.0 */

/* Templates that nobody needs any more. Each takes about 100 MB; a deployment with SnapStart makes
 * one, and so does each MemorySize that is tried. */

#include <errno.h>
#include <string.h>

#include "agent/pool/pool_internal.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"

#define SWEEP_US (60 * USEC_PER_SEC)

/* Names first, drops after: the store's list must not change under the walk. */
struct gathering {
	const struct function *function; /* NULL: every version of every function */
	struct buf names;                /* id, tenant, function, version, each with its NUL */
	bool short_of_memory;
};

static const char *version_of(const struct template_facts *facts)
{
	return facts->version ? facts->version : FUNCTION_LATEST;
}

static bool is_of(const struct template_facts *facts, const struct function *function)
{
	char version[FUNCTION_VERSION_BYTES];

	function_version_name(function->version, version);
	return strcmp(facts->tenant, function->tenant) == 0 &&
	       strcmp(facts->function_name, function->name) == 0 &&
	       strcmp(version_of(facts), version) == 0;
}

static void gather(const struct template_facts *facts, void *arg)
{
	struct gathering *gathering = arg;
	const char *const words[] = { facts->id, facts->tenant, facts->function_name,
				      version_of(facts) };

	if (facts->kind != TEMPLATE_FUNCTION || facts->state == TEMPLATE_BUILDING)
		return;
	if (gathering->function && !is_of(facts, gathering->function))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (buf_append(&gathering->names, words[i], strlen(words[i]) + 1) < 0)
			gathering->short_of_memory = true;
}

/* *ret stays NULL when the version wants no template of its own. */
static int find_wanted(struct pool *pool, const struct function *function, char **ret)
{
	struct version *version;
	int r;

	if (!function || !function->config.package_digest ||
	    !function_config_has_snap_start(&function->config, function->version))
		return 0;
	r = version_new(pool, function, &function->config, 0, &version);
	if (r < 0)
		return r;
	r = version_template_id(version, ret);
	version_unref(version);
	return r;
}

/* While a template is being prepared nobody can say which one will be needed. */
static bool is_settled(const struct function *function)
{
	return !function || (function->state != FUNCTION_PENDING &&
			     function->update_status != UPDATE_IN_PROGRESS);
}

static void drop_unless_wanted(struct pool *pool, const char *id, const struct function *function)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	_cleanup_free_ char *wanted = NULL;

	if (!is_settled(function) || find_wanted(pool, function, &wanted) < 0)
		return;
	if (wanted && strcmp(wanted, id) == 0)
		return;
	if (pool->driver->template_drop(pool->templates, id, &error) < 0)
		log_warning("Cannot drop the template %s: %s", id, error_log_text(&error));
}

static void collect(struct pool *pool, struct gathering *gathering, pool_find_fn *find, void *arg)
{
	_cleanup_buf_ struct buf names = BUF_INIT;

	pool->driver->template_each(pool->templates, gather, gathering);
	names = gathering->names;
	if (gathering->short_of_memory)
		return; /* the next start of the agent collects them */
	for (size_t at = 0; at < names.len;) {
		const char *id = (const char *)names.data + at;
		const char *tenant = id + strlen(id) + 1;
		const char *name = tenant + strlen(tenant) + 1;
		const char *version = name + strlen(name) + 1;

		drop_unless_wanted(pool, id, find(tenant, name, version, arg));
		at = (size_t)(version + strlen(version) + 1 - (const char *)names.data);
	}
}

static const struct function *find_given(const char *tenant _unused_, const char *name _unused_,
					 const char *version _unused_, void *function)
{
	return function;
}

void templates_collect_function(struct pool *pool, const struct function *function, bool deleted)
{
	struct gathering gathering = { .function = function };

	/* The cast only passes it through. */
	collect(pool, &gathering, find_given, deleted ? NULL : (void *)function);
}

void pool_collect_templates(struct pool *pool, pool_find_fn *find, void *arg)
{
	struct gathering gathering = { 0 };

	collect(pool, &gathering, find, arg);
}

/* -- base templates -- */

struct base_gathering {
	struct pool *pool;
	int64_t before_us; /* last used; realtime */
	struct buf ids;    /* each with its NUL */
};

static void gather_base(const struct template_facts *facts, void *arg)
{
	struct base_gathering *gathering = arg;
	const struct pool_config *config = &gathering->pool->config;

	if (facts->kind != TEMPLATE_BASE || facts->state == TEMPLATE_BUILDING ||
	    facts->clones > 0 || facts->used_us > gathering->before_us)
		return;
	if (config->base_is_needed(facts->runtime, facts->memory_mb, config->base_is_needed_arg))
		return;
	/* Short of memory, it goes another time. */
	(void)!buf_append(&gathering->ids, facts->id, strlen(facts->id) + 1);
}

static void drop_bases(struct pool *pool, const struct buf *ids)
{
	for (size_t at = 0; at < ids->len;) {
		const char *id = (const char *)ids->data + at;
		_cleanup_error_ struct error error = ERROR_INIT;
		int r = pool->driver->template_drop(pool->templates, id, &error);

		if (r >= 0)
			log_info("template %s is dropped: no function needs it", id);
		else if (r != -EBUSY)
			log_warning("Cannot drop the template %s: %s", id, error_log_text(&error));
		at += strlen(id) + 1;
	}
}

void templates_collect_bases(struct pool *pool)
{
	struct base_gathering gathering = {
		.pool = pool,
		.before_us = clock_realtime_us() - pool->config.base_template_keep_us,
	};
	struct version *version;

	if (pool->config.base_template_keep_us > 0 && pool->config.base_is_needed) {
		pool->driver->template_each(pool->templates, gather_base, &gathering);
		drop_bases(pool, &gathering.ids);
		buf_free(&gathering.ids);
	}
	TAILQ_FOREACH (version, &pool->all, link)
		if (!version_template_is_usable(version))
			version_drop_template(version);
}

static void on_sweep(void *arg)
{
	struct pool *pool = arg;

	templates_collect_bases(pool);
	templates_watch_bases(pool);
}

void templates_watch_bases(struct pool *pool)
{
	int64_t period_us = SWEEP_US;

	if (pool->config.base_template_keep_us > 0 &&
	    pool->config.base_template_keep_us < period_us)
		period_us = pool->config.base_template_keep_us;
	if (timer_arm(&pool->garbage_timer, pool->loop, clock_monotonic_us() + period_us, on_sweep,
		      pool) < 0)
		log_warning("Without a timer, templates that nobody needs are kept");
}
