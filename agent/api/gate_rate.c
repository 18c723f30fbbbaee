/* SPDX-License-Identifier: Apache-2.0 */

/* How often a tenant may call what is no invocation: as Lambda's control plane, so many a second
 * for each account (Lambda quotas, "API requests"). Of operators nothing is counted. */

#include <errno.h>
#define HASH_FUNCTION HASH_FNV
#include <uthash.h>

#include "agent/api/gate_internal.h"
#include "mayfly/clock.h"

#define CALLER_RATE_EXCEEDED "CallerRateLimitExceeded"

/* Lambda says nothing of bursts. With this many seconds' worth at once, lists that are read page by
 * page are not cut off. */
#define BURST_S              4

#define TENANTS_KEPT         256 /* beyond this many, those that are quiet are forgotten */

/* For each rate the time at which all that was asked for would have been due, one after the other;
 * a limit is how far it may be ahead. */
struct gate_rates {
	char tenant[TENANT_ID_BYTES];
	int64_t due_us[ACCESS_RATE_COUNT];
	UT_hash_handle hh;
};

static bool is_quiet(const struct gate_rates *rates, int64_t now_us)
{
	for (unsigned i = 0; i < ACCESS_RATE_COUNT; i++)
		if (rates->due_us[i] > now_us)
			return false;
	return true;
}

static void forget_quiet(struct gate *gate, int64_t now_us)
{
	struct gate_rates *rates, *next;

	HASH_ITER (hh, gate->rates, rates, next) {
		if (!is_quiet(rates, now_us))
			continue;
		HASH_DEL(gate->rates, rates);
		free(rates);
	}
}

static struct gate_rates *find(struct gate *gate, const char *tenant, int64_t now_us)
{
	struct gate_rates *rates = NULL;

	HASH_FIND_STR(gate->rates, tenant, rates);
	if (rates)
		return rates;
	if (HASH_COUNT(gate->rates) >= TENANTS_KEPT)
		forget_quiet(gate, now_us);
	rates = calloc(1, sizeof(*rates));
	if (!rates)
		return NULL;
	gate_copy_text(rates->tenant, sizeof(rates->tenant), tenant);
	HASH_ADD_STR(gate->rates, tenant, rates);
	return rates;
}

int gate_check_rate(struct gate *gate, const struct gate_call *known, struct error *e)
{
	enum access_rate rate = access_rate_of(known->row);
	int64_t now_us = clock_monotonic_us();
	struct gate_rates *rates;
	int64_t *due_us;
	int r;

	if (known->principal.kind != PRINCIPAL_USER || rate == ACCESS_RATE_NONE ||
	    gate->per_second[rate] == 0)
		return 0;
	rates = find(gate, known->principal.tenant, now_us);
	if (!rates)
		return error_set_errno(e, ENOMEM, "Cannot take the request");
	due_us = &rates->due_us[rate];
	if (*due_us < now_us)
		*due_us = now_us;
	if (*due_us + USEC_PER_SEC / gate->per_second[rate] > now_us + BURST_S * USEC_PER_SEC) {
		r = error_set(e, ERROR_TOO_MANY_REQUESTS, NULL, "Rate exceeded");
		error_set_reason(e, CALLER_RATE_EXCEEDED);
		return r;
	}
	*due_us += USEC_PER_SEC / gate->per_second[rate];
	return 0;
}

void gate_forget_rates(struct gate *gate)
{
	forget_quiet(gate, INT64_MAX);
}
