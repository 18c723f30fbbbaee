/* SPDX-License-Identifier: Apache-2.0 */

/* What is done for a configuration before it serves. With SnapStart its function template is made.
 * Else a small package is compiled, in a clone of the base template that serves nobody and ends: so
 * no sandbox that serves has the compiler's work in its memory, and none waits for it. That is not
 * a condition. Without a base template yet, without memory for a clone or when it fails, the
 * function serves all the same, and its first sandbox compiles. */

#include <errno.h>

#include "agent/pool/memory.h"
#include "agent/pool/pool_internal.h"

struct preparation {
	struct version *version; /* referenced; never current */
	pool_prepared_fn *done;
	void *arg;
	bool template_asked; /* and not come */
	bool started;        /* the clone that compiles */
	TAILQ_ENTRY(preparation) link;
};

static void finish(struct preparation *preparation, const struct error *error)
{
	struct version *version = preparation->version;

	preparation->done(error, preparation->arg);
	version_unref(version);
	free(preparation);
}

/* -- with SnapStart -- */

static void on_function_template(struct template *template, const struct error *error, void *arg)
{
	finish(arg, template ? NULL : error);
}

/* -- without -- */

struct base_search {
	const struct function_config *config;
	bool found;
};

static void look_at(const struct template_facts *facts, void *arg)
{
	struct base_search *search = arg;

	search->found |= facts->kind == TEMPLATE_BASE && facts->state == TEMPLATE_READY &&
			 facts->listed && facts->memory_mb == search->config->memory_size_mb &&
			 strcmp(facts->runtime, search->config->runtime) == 0;
}

static bool base_is_there(const struct version *version)
{
	struct pool *pool = version->pool;
	struct base_search search = { .config = &version->config };

	pool->driver->template_each(pool->templates, look_at, &search);
	return search.found;
}

static void on_base(struct template *template, const struct error *error _unused_, void *arg)
{
	struct preparation *preparation = arg;
	struct version *version = preparation->version;

	preparation->template_asked = false;
	if (template)
		version->template = version->pool->driver->template_ref(template);
	else
		preparation->started = true; /* nothing will be */
	pool_mark_dirty(version->pool);
}

static void ask_for_base(struct preparation *preparation)
{
	struct version *version = preparation->version;

	preparation->template_asked = true;
	version->pool->driver->template_get_base(version->pool->templates, version->config.runtime,
						 version->config.memory_size_mb, on_base,
						 preparation);
}

/* Whether there is nothing more to do or to wait for. */
static bool step(struct preparation *preparation)
{
	struct version *version = preparation->version;
	struct pool *pool = version->pool;
	int r;

	if (preparation->template_asked)
		return false;
	if (version->barred)
		return true; /* nothing of it may run, to compile neither */
	if (preparation->started)
		return TAILQ_EMPTY(&version->sandboxes) && version->code.jobs == 0;
	if (pool->draining)
		return version->code.jobs == 0;
	r = version_ensure_code(version);
	if (r <= 0)
		return r < 0;
	if (!version_wants_compile(version))
		return true;
	if (!version->template) {
		if (!base_is_there(version))
			return true;
		ask_for_base(preparation);
		return false;
	}
	if (pool->slots_taken >= pool->config.max_starts)
		return false;
	preparation->started = true;
	return memory_make_room(version, false, NULL) != 1 ||
	       sandbox_start(version, false, NULL) < 0;
}

/* A snapshot cannot be made without running what is in it. */
static void end(struct preparation *preparation)
{
	const struct version *version = preparation->version;
	_cleanup_error_ struct error error = ERROR_INIT;

	if (version->barred && version_has_snap_start(version))
		(void)error_set(&error, ERROR_ACCESS_DENIED, "tenant", "%s", version->barred);
	finish(preparation, error.code == ERROR_NONE ? NULL : &error);
}

void preparations_step(struct pool *pool)
{
	struct preparation *preparation, *next;

	for (preparation = TAILQ_FIRST(&pool->preparations); preparation; preparation = next) {
		next = TAILQ_NEXT(preparation, link);
		if (!step(preparation))
			continue;
		TAILQ_REMOVE(&pool->preparations, preparation, link);
		end(preparation);
	}
}

/* -- both -- */

static int prepare(struct pool *pool, const struct function *function,
		   const struct function_config *config, struct preparation *preparation)
{
	struct version *version;
	int r = version_new(pool, function, config, 0, &version);

	if (r < 0)
		return r;
	version->preparing = true;
	preparation->version = version;
	if (!version_has_snap_start(version) || version->barred) {
		TAILQ_INSERT_TAIL(&pool->preparations, preparation, link);
		pool_mark_dirty(pool);
		return 0;
	}
	r = version_request_function_template(version, on_function_template, preparation);
	if (r < 0)
		version_unref(version);
	return r;
}

void pool_prepare_function(struct pool *pool, const struct function *function,
			   const struct function_config *config, pool_prepared_fn *done, void *arg)
{
	struct preparation *preparation = calloc(1, sizeof(*preparation));
	_cleanup_error_ struct error error = ERROR_INIT;
	int r = -ENOMEM;

	if (preparation) {
		preparation->done = done;
		preparation->arg = arg;
		r = prepare(pool, function, config, preparation);
	}
	if (r >= 0)
		return;
	free(preparation);
	(void)error_set_errno(&error, r, "Cannot prepare the function");
	done(&error, arg);
}

void preparations_free(struct pool *pool)
{
	struct preparation *preparation;

	while ((preparation = TAILQ_FIRST(&pool->preparations))) {
		TAILQ_REMOVE(&pool->preparations, preparation, link);
		free(preparation);
	}
}
