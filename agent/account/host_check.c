/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/account/host_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NO_SANDBOX "billed, and there was no sandbox"
#define TOO_MUCH   "more CPU time than was billed"

static int compare_names(const void *a, const void *b)
{
	const struct account_host_use *x = &((const struct account_host_check *)a)->use;
	const struct account_host_use *y = &((const struct account_host_check *)b)->use;
	int r = strcmp(x->tenant, y->tenant);

	if (r == 0)
		r = strcmp(x->function, y->function);
	return r == 0 ? strcmp(x->version, y->version) : r;
}

int host_checks_init(struct host_checks *checks, const struct account_host_use *uses, size_t count)
{
	*checks = (struct host_checks){ .known = count, .count = count, .room = count + 1 };
	checks->checks = calloc(checks->room, sizeof(*checks->checks));
	if (!checks->checks)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		checks->checks[i].use = uses[i];
	qsort(checks->checks, count, sizeof(*checks->checks), compare_names);
	return 0;
}

void host_checks_clear(struct host_checks *checks)
{
	free(checks->checks);
	*checks = (struct host_checks){ 0 };
}

static struct account_host_check *append(struct host_checks *checks)
{
	struct account_host_check *grown;

	if (checks->count == checks->room) {
		grown = reallocarray(checks->checks, checks->room * 2, sizeof(*grown));
		if (!grown)
			return NULL;
		checks->checks = grown;
		checks->room *= 2;
	}
	return &checks->checks[checks->count++];
}

int host_checks_bill(struct host_checks *checks, const char *tenant, const char *function,
		     const char *version, int64_t invocations, int64_t billed_ms)
{
	struct account_host_check key = { 0 };
	struct account_host_check *check;

	(void)snprintf(key.use.tenant, sizeof(key.use.tenant), "%s", tenant);
	(void)snprintf(key.use.function, sizeof(key.use.function), "%s", function);
	(void)snprintf(key.use.version, sizeof(key.use.version), "%s", version);
	check = bsearch(&key, checks->checks, checks->known, sizeof(key), compare_names);
	for (size_t i = checks->known; !check && i < checks->count; i++)
		if (compare_names(&checks->checks[i], &key) == 0)
			check = &checks->checks[i];
	if (!check) {
		check = append(checks);
		if (!check)
			return -ENOMEM;
		*check = key;
	}
	check->invocations += invocations;
	check->billed_ms += billed_ms;
	return 0;
}

static void judge(struct account_host_check *check)
{
	const struct account_host_use *use = &check->use;

	/* Less than nothing is left when records of another time are not as they were. */
	if (check->invocations < 0)
		check->invocations = 0;
	if (check->billed_ms < 0)
		check->billed_ms = 0;
	check->allowed_us = (uint64_t)check->billed_ms * 1000 * use->cpus +
			    (uint64_t)check->invocations * ACCOUNT_AROUND_US + use->beside_us;
	if (check->invocations > 0 && use->sandboxes == 0)
		check->difference = NO_SANDBOX;
	else if (use->serve_us > check->allowed_us)
		check->difference = TOO_MUCH;
}

static int compare_weight(const void *a, const void *b)
{
	const struct account_host_check *x = a, *y = b;

	if (!x->difference != !y->difference)
		return x->difference ? -1 : 1;
	if (x->use.serve_us != y->use.serve_us)
		return x->use.serve_us > y->use.serve_us ? -1 : 1;
	return compare_names(a, b);
}

uint64_t host_checks_judge(struct host_checks *checks)
{
	uint64_t differences = 0;
	size_t kept = 0;

	for (size_t i = 0; i < checks->count; i++) {
		struct account_host_check *check = &checks->checks[i];

		judge(check);
		differences += check->difference != NULL;
		/* Nothing of this time is known of it. */
		if (check->use.sandboxes > 0 || check->invocations > 0)
			checks->checks[kept++] = *check;
	}
	checks->count = kept;
	qsort(checks->checks, checks->count, sizeof(*checks->checks), compare_weight);
	return differences;
}
