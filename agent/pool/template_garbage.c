/* SPDX-License-Identifier: Apache-2.0 */

/* Function templates that no served configuration needs any more. Each takes about 100 MB, and a
 * deployment with SnapStart makes one. */

#include <string.h>

#include "agent/pool/pool_internal.h"
#include "mayfly/log.h"

/* Names first, drops after: the store's list must not change under the walk. */
struct gathering {
	const char *tenant; /* NULL: every function's */
	const char *name;
	struct buf names; /* id, tenant, function, each with its NUL */
	bool short_of_memory;
};

static void gather(const struct template_facts *facts, void *arg)
{
	struct gathering *gathering = arg;
	const char *const words[] = { facts->id, facts->tenant, facts->function_name };

	if (facts->kind != TEMPLATE_FUNCTION || facts->state == TEMPLATE_BUILDING)
		return;
	if (gathering->tenant && (strcmp(facts->tenant, gathering->tenant) != 0 ||
				  strcmp(facts->function_name, gathering->name) != 0))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (buf_append(&gathering->names, words[i], strlen(words[i]) + 1) < 0)
			gathering->short_of_memory = true;
}

/* *ret stays NULL when the function wants no template of its own. */
static int find_wanted(struct pool *pool, const struct function *function, char **ret)
{
	struct version *version;
	int r;

	if (!function || function->config.snap_start != SNAP_START_LATEST ||
	    !function->config.package_digest)
		return 0;
	r = version_new(pool, function->tenant, function->name, &function->config, 0, &version);
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
		log_warning("Cannot drop the template %s: %s", id, error_text(&error));
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

		drop_unless_wanted(pool, id, find(tenant, name, arg));
		at += strlen(id) + strlen(tenant) + strlen(name) + 3;
	}
}

static const struct function *find_given(const char *tenant _unused_, const char *name _unused_,
					 void *function)
{
	return function;
}

void templates_collect_function(struct pool *pool, const char *tenant, const char *name,
				const struct function *function)
{
	struct gathering gathering = { .tenant = tenant, .name = name };

	/* The cast only passes it through. */
	collect(pool, &gathering, find_given, (void *)function);
}

void pool_collect_templates(struct pool *pool, pool_find_fn *find, void *arg)
{
	struct gathering gathering = { 0 };

	collect(pool, &gathering, find, arg);
}
