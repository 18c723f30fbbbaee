/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/invoke/concurrency.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HASH_FUNCTION HASH_FNV
#include <uthash.h>

#include "agent/functions/function.h"
#include "mayfly/clock.h"

#define KEY_BYTES      (TENANT_ID_DIGITS + 1 + FUNCTION_NAME_MAX + 1)
#define NSEC_PER_SEC_U 1000000000ULL

/* A rate with one second's worth of burst (or of scaling: ten seconds'): when the next one would
 * come if all had come evenly. Never further ahead of now than the burst. */
struct bucket {
	uint64_t due_ns;
};

struct concurrency_tenant {
	char id[TENANT_ID_DIGITS + 1];
	unsigned reserved; /* the sum of its functions' claims */
	unsigned in_use;
	unsigned unreserved_in_use;
	uint64_t throttles;
	struct bucket unreserved_requests;
	UT_hash_handle hh;
};

struct concurrency_function {
	char key[KEY_BYTES]; /* TENANT/NAME */
	struct concurrency_tenant *tenant;
	bool has_reserved;
	bool forgotten; /* goes with the last one that runs */
	unsigned reserved;
	unsigned provisioned;
	unsigned in_use;
	unsigned provisioned_in_use; /* of these */
	unsigned environments;       /* that it may have without growing: it had them */
	struct bucket requests;
	struct bucket provisioned_requests;
	struct bucket growth;
	UT_hash_handle hh;
};

struct concurrency {
	struct concurrency_limits limits;
	struct concurrency_tenant *tenants;
	struct concurrency_function *functions;
	uint64_t throttles;
};

int concurrency_new(const struct concurrency_limits *limits, struct concurrency **ret)
{
	struct concurrency *concurrency = calloc(1, sizeof(*concurrency));

	if (!concurrency)
		return -ENOMEM;
	concurrency->limits = *limits;
	*ret = concurrency;
	return 0;
}

static void drop_function(struct concurrency *concurrency, struct concurrency_function *function)
{
	HASH_DEL(concurrency->functions, function);
	free(function);
}

struct concurrency *concurrency_free(struct concurrency *concurrency)
{
	struct concurrency_tenant *tenant, *next_tenant;
	struct concurrency_function *function, *next;

	if (!concurrency)
		return NULL;
	HASH_ITER (hh, concurrency->functions, function, next)
		drop_function(concurrency, function);
	HASH_ITER (hh, concurrency->tenants, tenant, next_tenant) {
		HASH_DEL(concurrency->tenants, tenant);
		free(tenant);
	}
	free(concurrency);
	return NULL;
}

/* -- who is who -- */

static struct concurrency_tenant *get_tenant(struct concurrency *concurrency, const char *id)
{
	struct concurrency_tenant *tenant;

	HASH_FIND_STR(concurrency->tenants, id, tenant);
	if (tenant || strlen(id) > TENANT_ID_DIGITS)
		return tenant;
	tenant = calloc(1, sizeof(*tenant));
	if (!tenant)
		return NULL;
	memcpy(tenant->id, id, strlen(id) + 1);
	HASH_ADD_STR(concurrency->tenants, id, tenant);
	return tenant;
}

static struct concurrency_function *find_function(struct concurrency *concurrency,
						  const char *tenant, const char *name,
						  char key[KEY_BYTES])
{
	struct concurrency_function *function;
	int len = snprintf(key, KEY_BYTES, "%s/%s", tenant, name);

	if (len < 0 || len >= KEY_BYTES)
		return NULL;
	HASH_FIND_STR(concurrency->functions, key, function);
	return function;
}

static struct concurrency_function *get_function(struct concurrency *concurrency,
						 const char *tenant, const char *name)
{
	char key[KEY_BYTES];
	struct concurrency_function *function = find_function(concurrency, tenant, name, key);

	if (function) {
		function->forgotten = false; /* made anew while the old one still runs */
		return function;
	}
	if (strlen(tenant) + 1 + strlen(name) >= KEY_BYTES)
		return NULL;
	function = calloc(1, sizeof(*function));
	if (!function)
		return NULL;
	function->tenant = get_tenant(concurrency, tenant);
	if (!function->tenant) {
		free(function);
		return NULL;
	}
	memcpy(function->key, key, KEY_BYTES);
	HASH_ADD_STR(concurrency->functions, key, function);
	return function;
}

/* -- reservations -- */

/* What the tenant's others cannot have. */
static unsigned claim(const struct concurrency_function *function)
{
	return function->has_reserved ? function->reserved : function->provisioned;
}

static unsigned on_demand(const struct concurrency_function *function)
{
	return function->in_use - function->provisioned_in_use;
}

static void reserve(struct concurrency_function *function, const unsigned *reserved)
{
	struct concurrency_tenant *tenant = function->tenant;

	tenant->reserved -= claim(function);
	if (!function->has_reserved)
		tenant->unreserved_in_use -= on_demand(function);
	function->has_reserved = reserved != NULL;
	function->reserved = reserved ? *reserved : 0;
	function->requests = (struct bucket){ 0 };
	tenant->reserved += claim(function);
	if (!function->has_reserved)
		tenant->unreserved_in_use += on_demand(function);
}

static void provision(struct concurrency_function *function, unsigned provisioned)
{
	function->tenant->reserved -= claim(function);
	function->provisioned = provisioned;
	function->provisioned_requests = (struct bucket){ 0 };
	function->tenant->reserved += claim(function);
}

int concurrency_set_provisioned(struct concurrency *concurrency, const char *tenant,
				const char *name, unsigned provisioned)
{
	char key[KEY_BYTES];
	struct concurrency_function *function = find_function(concurrency, tenant, name, key);

	if (provisioned == (function ? function->provisioned : 0))
		return 0; /* a forgotten one stays so */
	function = get_function(concurrency, tenant, name);
	if (!function)
		return -ENOMEM;
	provision(function, provisioned);
	return 0;
}

int concurrency_set_reserved(struct concurrency *concurrency, const char *tenant, const char *name,
			     const unsigned *reserved)
{
	char key[KEY_BYTES];
	struct concurrency_function *function = find_function(concurrency, tenant, name, key);

	if (!function && !reserved)
		return 0;
	function = get_function(concurrency, tenant, name);
	if (!function)
		return -ENOMEM;
	if (function->has_reserved != (reserved != NULL) ||
	    (reserved && function->reserved != *reserved))
		reserve(function, reserved);
	return 0;
}

void concurrency_forget(struct concurrency *concurrency, const char *tenant, const char *name)
{
	char key[KEY_BYTES];
	struct concurrency_function *function = find_function(concurrency, tenant, name, key);

	if (!function)
		return;
	reserve(function, NULL);
	provision(function, 0);
	function->forgotten = true;
	if (function->in_use == 0)
		drop_function(concurrency, function);
}

/* -- rates -- */

static bool bucket_has_one(const struct bucket *bucket, uint64_t per_second, uint64_t burst,
			   uint64_t now_ns)
{
	uint64_t interval_ns = NSEC_PER_SEC_U / per_second;

	return bucket->due_ns <= now_ns || bucket->due_ns - now_ns <= (burst - 1) * interval_ns;
}

static void bucket_take(struct bucket *bucket, uint64_t per_second, uint64_t now_ns)
{
	if (bucket->due_ns < now_ns)
		bucket->due_ns = now_ns;
	bucket->due_ns += NSEC_PER_SEC_U / per_second;
}

/* -- taking -- */

static int throttle(struct concurrency *concurrency, struct concurrency_function *function,
		    const char *reason, struct error *error)
{
	int r = error_set(error, ERROR_TOO_MANY_REQUESTS, NULL, "Rate Exceeded.");

	error_set_reason(error, reason);
	concurrency->throttles++;
	function->tenant->throttles++;
	return r;
}

static unsigned tenant_limit(const struct concurrency *concurrency, const char *tenant)
{
	const struct concurrency_limits *limits = &concurrency->limits;
	unsigned own = limits->of_tenant ? limits->of_tenant(tenant, limits->of_tenant_arg) : 0;

	return own > 0 ? own : limits->tenant;
}

/* Reservations and provisioned places are parts of the tenant's limit when they are made. But it
 * may have been lowered since, and then it holds for them all the same. */
static bool tenant_is_full(const struct concurrency *concurrency,
			   const struct concurrency_tenant *tenant)
{
	return tenant->in_use >= tenant_limit(concurrency, tenant->id);
}

static unsigned unreserved_limit(const struct concurrency *concurrency,
				 const struct concurrency_tenant *tenant)
{
	unsigned limit = tenant_limit(concurrency, tenant->id);

	return limit > tenant->reserved ? limit - tenant->reserved : 0;
}

/* Environments that have ended meanwhile are grown again. */
static bool may_grow(struct concurrency *concurrency, struct concurrency_function *function,
		     unsigned alive, uint64_t now_ns)
{
	unsigned scaling = concurrency->limits.scaling;
	unsigned per_second = scaling / CONCURRENCY_SCALING_SECONDS;
	unsigned kept = alive > on_demand(function) ? alive : on_demand(function);

	if (function->environments > kept)
		function->environments = kept;
	if (on_demand(function) < function->environments)
		return true;
	if (!bucket_has_one(&function->growth, per_second, scaling, now_ns))
		return false;
	bucket_take(&function->growth, per_second, now_ns);
	function->environments = on_demand(function) + 1;
	return true;
}

/* Of a reservation, what is not provisioned. */
static unsigned reserved_limit(const struct concurrency_function *function)
{
	return function->reserved > function->provisioned
		       ? function->reserved - function->provisioned
		       : 0;
}

int concurrency_take(struct concurrency *concurrency, const char *tenant, const char *name,
		     unsigned environments, int64_t now_us, struct concurrency_grant *ret,
		     struct error *error)
{
	struct concurrency_function *function = get_function(concurrency, tenant, name);
	uint64_t now_ns = (uint64_t)now_us * 1000;
	struct bucket *requests;
	uint64_t rate;
	unsigned limit;

	if (!function)
		return error_set_errno(error, ENOMEM, "Cannot count the invocation");
	limit = function->has_reserved ? reserved_limit(function)
				       : unreserved_limit(concurrency, function->tenant);
	if ((function->has_reserved ? on_demand(function) : function->tenant->unreserved_in_use) >=
	    limit)
		return throttle(concurrency, function,
				function->has_reserved ? THROTTLE_RESERVED : THROTTLE_TENANT,
				error);
	if (tenant_is_full(concurrency, function->tenant))
		return throttle(concurrency, function, THROTTLE_TENANT, error);
	requests = function->has_reserved ? &function->requests
					  : &function->tenant->unreserved_requests;
	rate = (uint64_t)limit * concurrency->limits.requests;
	if (!bucket_has_one(requests, rate, rate, now_ns))
		return throttle(concurrency, function,
				function->has_reserved ? THROTTLE_RESERVED_RATE : THROTTLE_RATE,
				error);
	if (!may_grow(concurrency, function, environments, now_ns))
		return throttle(concurrency, function, THROTTLE_TENANT, error);
	bucket_take(requests, rate, now_ns);
	function->in_use++;
	function->tenant->in_use++;
	if (!function->has_reserved)
		function->tenant->unreserved_in_use++;
	*ret = (struct concurrency_grant){ .function = function };
	return 0;
}

int concurrency_take_provisioned(struct concurrency *concurrency, const char *tenant,
				 const char *name, int64_t now_us, struct concurrency_grant *ret,
				 struct error *error)
{
	struct concurrency_function *function = get_function(concurrency, tenant, name);
	uint64_t now_ns = (uint64_t)now_us * 1000;
	uint64_t rate;

	if (!function)
		return error_set_errno(error, ENOMEM, "Cannot count the invocation");
	if (tenant_is_full(concurrency, function->tenant))
		return throttle(concurrency, function, THROTTLE_TENANT, error);
	rate = (uint64_t)(function->provisioned > 0 ? function->provisioned : 1) *
	       concurrency->limits.requests;
	if (!bucket_has_one(&function->provisioned_requests, rate, rate, now_ns))
		return throttle(concurrency, function,
				function->has_reserved ? THROTTLE_RESERVED_RATE : THROTTLE_RATE,
				error);
	bucket_take(&function->provisioned_requests, rate, now_ns);
	function->in_use++;
	function->provisioned_in_use++;
	function->tenant->in_use++;
	*ret = (struct concurrency_grant){ .function = function, .provisioned = true };
	return 0;
}

void concurrency_give_back(struct concurrency *concurrency, struct concurrency_grant *grant)
{
	struct concurrency_function *function = TAKE_PTR(grant->function);

	if (!function)
		return;
	function->in_use--;
	function->tenant->in_use--;
	if (grant->provisioned)
		function->provisioned_in_use--;
	else if (!function->has_reserved)
		function->tenant->unreserved_in_use--;
	if (function->forgotten && function->in_use == 0)
		drop_function(concurrency, function);
}

/* -- facts -- */

void concurrency_tenant_usage(struct concurrency *concurrency, const char *tenant,
			      struct concurrency_usage *ret)
{
	const struct concurrency_tenant *found;

	*ret = (struct concurrency_usage){ .limit = tenant_limit(concurrency, tenant) };
	HASH_FIND_STR(concurrency->tenants, tenant, found);
	if (!found)
		return;
	ret->reserved = found->reserved;
	ret->in_use = found->in_use;
	ret->unreserved_in_use = found->unreserved_in_use;
	ret->throttles = found->throttles;
}

unsigned concurrency_function_in_use(struct concurrency *concurrency, const char *tenant,
				     const char *name)
{
	char key[KEY_BYTES];
	const struct concurrency_function *function = find_function(concurrency, tenant, name, key);

	return function ? function->in_use : 0;
}

unsigned concurrency_provisioned_in_use(struct concurrency *concurrency, const char *tenant,
					const char *name)
{
	char key[KEY_BYTES];
	const struct concurrency_function *function = find_function(concurrency, tenant, name, key);

	return function ? function->provisioned_in_use : 0;
}

uint64_t concurrency_throttles(const struct concurrency *concurrency)
{
	return concurrency->throttles;
}
