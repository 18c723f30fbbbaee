/* SPDX-License-Identifier: Apache-2.0 */

/* How a function's sandboxes are started, as an operator's benchmark wants it. */

#include <errno.h>

#include "agent/pool/pool_internal.h"
#include "mayfly/clock.h"

static bool spares_are_settled(const struct version *version)
{
	return version->spares_ready >= version_spare_target(version) ||
	       version->failure.code != ERROR_NONE;
}

/* Answers those whose wishes are fulfilled. */
void policy_check(struct version *version)
{
	struct policy_wait *wait, *next;

	for (wait = TAILQ_FIRST(&version->policy_waits); wait; wait = next) {
		next = TAILQ_NEXT(wait, link);
		if (wait->ending > 0 || (wait->wants_spares && !spares_are_settled(version)))
			continue;
		TAILQ_REMOVE(&version->policy_waits, wait, link);
		wait->done(wait->ended, version->spares_ready,
			   version->failure.code == ERROR_NONE ? NULL : &version->failure,
			   wait->arg);
		free(wait);
	}
}

void policy_sandbox_gone(struct sandbox *sandbox)
{
	if (!sandbox->policy_wait)
		return;
	sandbox->policy_wait->ending--;
	sandbox->policy_wait->ended++;
	sandbox->policy_wait = NULL;
}

void policy_move(struct version *from, struct version *to)
{
	to->policy = from->policy;
	to->policy_spares = from->policy_spares;
	TAILQ_CONCAT(&to->policy_waits, &from->policy_waits, link);
}

void policy_cancel(struct version *version, const struct error *error)
{
	struct policy_wait *wait;
	struct sandbox *sandbox;

	TAILQ_FOREACH (sandbox, &version->sandboxes, link)
		sandbox->policy_wait = NULL;
	while ((wait = TAILQ_FIRST(&version->policy_waits))) {
		TAILQ_REMOVE(&version->policy_waits, wait, link);
		wait->done(wait->ended, 0, error, wait->arg);
		free(wait);
	}
}

/* Those under way would become idle ones in a moment: they go too. */
static void end_idle(struct version *version, struct policy_wait *wait)
{
	struct sandbox *sandbox, *next;

	for (sandbox = TAILQ_FIRST(&version->sandboxes); sandbox; sandbox = next) {
		next = TAILQ_NEXT(sandbox, link);
		if (sandbox->state == SANDBOX_BUSY || sandbox->policy_wait ||
		    (sandbox_is_starting(sandbox) && version->waiting > 0))
			continue;
		sandbox->policy_wait = wait;
		wait->ending++;
		sandbox_stop(sandbox, "an operator ended the idle sandboxes");
		sandbox->stopped_starting = false;
	}
}

int pool_set_policy(struct pool *pool, const struct function *function, enum pool_policy policy,
		    unsigned spares, bool end_idle_ones, pool_policy_fn *done, void *arg,
		    struct error *error)
{
	struct policy_wait *wait = calloc(1, sizeof(*wait));
	struct version *version;
	int r = wait ? version_get(pool, function, &version, error) : -ENOMEM;

	if (r < 0) {
		free(wait);
		return error_set_errno(error, r, "Cannot set the start policy");
	}
	version->policy = policy;
	version->policy_spares = policy == POOL_POLICY_SPARE ? spares : 0;
	*wait = (struct policy_wait){ .done = done,
				      .arg = arg,
				      .wants_spares = policy == POOL_POLICY_SPARE };
	TAILQ_INSERT_TAIL(&version->policy_waits, wait, link);
	if (end_idle_ones)
		end_idle(version, wait);
	version_mark_dirty(version);
	return 0;
}
