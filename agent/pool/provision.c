/* SPDX-License-Identifier: Apache-2.0 */

/* Provisioned concurrency: sandboxes that a version is to have initialised at any time. */

#include "agent/pool/pool_internal.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"

#define RETRY_US (15 * USEC_PER_SEC)
#define WAIT_US  (200 * USEC_PER_MSEC)

static void on_time(void *arg)
{
	struct version *version = arg;

	version->provision_retry_at_us = 0;
	version_mark_dirty(version);
}

static void try_later(struct version *version, int64_t wait_us)
{
	version->provision_retry_at_us = clock_monotonic_us() + wait_us;
	if (timer_arm(&version->provision_timer, version->pool->loop,
		      version->provision_retry_at_us, on_time, version) < 0)
		on_time(version);
}

void provision_wait(struct version *version)
{
	if (version->current)
		try_later(version, WAIT_US);
}

void provision_failed(struct version *version, const char *reason)
{
	bool is_new = strcmp(version->provision_failure, reason) != 0;

	if (!version->current)
		return;
	(void)snprintf(version->provision_failure, sizeof(version->provision_failure), "%s",
		       reason);
	if (is_new)
		log_write(LOG_WARNING,
			  &(struct log_fields){ .tenant = version->tenant,
						.function = version->function_name },
			  "Not all of the %u provisioned sandboxes of %s:%s are there: %s",
			  version->provisioned, version->function_name, version->number_name,
			  reason);
	try_later(version, RETRY_US);
}

unsigned provision_wanted_starts(const struct version *version)
{
	if (version->pool->draining || version->provision_retry_at_us > 0 ||
	    version->provisioned <= version->provisioned_alive)
		return 0;
	return version->provisioned - version->provisioned_alive;
}

bool provision_is_surplus(const struct sandbox *sandbox)
{
	return sandbox->provisioned &&
	       sandbox->version->provisioned_alive > sandbox->version->provisioned;
}

static unsigned count_available(const struct version *version)
{
	const struct sandbox *sandbox;
	unsigned available = 0;

	TAILQ_FOREACH (sandbox, &version->sandboxes, link)
		available +=
			sandbox->provisioned && (sandbox->idle || sandbox->state == SANDBOX_BUSY);
	return available;
}

void provision_check(struct version *version)
{
	if (version->provision_failure[0] && count_available(version) >= version->provisioned)
		version->provision_failure[0] = '\0';
}

/* Busy ones end when they are released. */
static void end_surplus(struct version *version)
{
	struct sandbox *sandbox, *next;

	for (sandbox = TAILQ_FIRST(&version->sandboxes); sandbox; sandbox = next) {
		next = TAILQ_NEXT(sandbox, link);
		if (sandbox->state == SANDBOX_BUSY || !provision_is_surplus(sandbox))
			continue;
		sandbox_stop(sandbox, "its provisioned concurrency was taken back");
		sandbox->stopped_starting = false;
	}
}

int pool_set_provisioned(struct pool *pool, const struct function *function, unsigned provisioned)
{
	struct version *version =
		version_find(pool, function->tenant, function->name, function->version);
	int r;

	if (!version && provisioned == 0)
		return 0;
	r = version_get(pool, function, &version, NULL);
	if (r < 0 || version->provisioned == provisioned)
		return r;
	version->provisioned = provisioned;
	version->provision_failure[0] = '\0';
	version->provision_retry_at_us = 0;
	timer_disarm(&version->provision_timer);
	end_surplus(version);
	version_mark_dirty(version);
	return 0;
}

void pool_get_provision(struct pool *pool, const struct function *function,
			struct pool_provision *ret)
{
	const struct version *version =
		version_find(pool, function->tenant, function->name, function->version);

	*ret = (struct pool_provision){ 0 };
	if (!version)
		return;
	ret->wanted = version->provisioned;
	ret->allocated = version->provisioned_alive;
	ret->available = count_available(version);
	if (version->barred)
		ret->failure = version->barred;
	else if (version->provision_failure[0])
		ret->failure = version->provision_failure;
	else if (version->failure.code != ERROR_NONE && ret->available < ret->wanted)
		ret->failure = error_text(&version->failure);
}

bool pool_has_provisioned(struct pool *pool, const struct function *function, unsigned *ret_wanted)
{
	const struct version *version =
		version_find(pool, function->tenant, function->name, function->version);

	*ret_wanted = version ? version->provisioned : 0;
	return version && version->waiting == 0 && !pool->draining &&
	       version->generation == function->generation &&
	       !TAILQ_EMPTY(&version->provisioned_idle);
}
