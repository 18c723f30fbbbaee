/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How much of what may run at once: the limits of tenants and functions, as Lambda has them
 * (developer guide, "Understanding Lambda function scaling"). Pure bookkeeping, no waiting: what is
 * over a limit is refused with the reason, so that a function which calls another one can never
 * wait for itself. Loop thread. */

#include <stdbool.h>
#include <stdint.h>

#include "mayfly/cleanup.h"
#include "mayfly/error.h"

/* Lambda's defaults. */
#define CONCURRENCY_TENANT_DEFAULT   1000
#define CONCURRENCY_REQUESTS_DEFAULT 10
#define CONCURRENCY_SCALING_DEFAULT  1000
#define CONCURRENCY_SCALING_SECONDS  10

/* Of TooManyRequestsException, with Lambda's names. */
#define THROTTLE_TENANT              "ConcurrentInvocationLimitExceeded"
#define THROTTLE_RESERVED            "ReservedFunctionConcurrentInvocationLimitExceeded"
#define THROTTLE_RATE                "FunctionInvocationRateLimitExceeded"
#define THROTTLE_RESERVED_RATE       "ReservedFunctionInvocationRateLimitExceeded"

struct concurrency_limits {
	unsigned tenant; /* invocations of one tenant at once */
	/* A tenant's own limit, 0: the above; NULL: no tenant has one. */
	unsigned (*of_tenant)(const char *tenant, void *arg);
	void *of_tenant_arg;
	unsigned requests; /* a second, for each unit of a limit */
	unsigned scaling;  /* environments that a function may gain in ten seconds */
};

struct concurrency;

int concurrency_new(const struct concurrency_limits *limits, struct concurrency **ret) _must_use_;
/* When nothing is taken any more. Copes with NULL. */
struct concurrency *concurrency_free(struct concurrency *concurrency);
DEFINE_CLEANUP(struct concurrency, concurrency_free)

/* What a function has for itself; NULL: nothing, it shares with the tenant's others. What runs
 * already counts under the new rule from now on, and is not stopped. 0 or -ENOMEM. */
int concurrency_set_reserved(struct concurrency *concurrency, const char *tenant, const char *name,
			     const unsigned *reserved) _must_use_;
/* What all its versions have provisioned: counts against its reservation, or against what the
 * tenant's others share, whether it is used or not. 0 or -ENOMEM. */
int concurrency_set_provisioned(struct concurrency *concurrency, const char *tenant,
				const char *name, unsigned provisioned) _must_use_;
/* The function is no more. */
void concurrency_forget(struct concurrency *concurrency, const char *tenant, const char *name);

/* One that runs. Zeroed: none. */
struct concurrency_grant {
	struct concurrency_function *function;
	bool provisioned;
};

/* For one invocation of a function that has so many environments now, starting ones included.
 * Refused with ERROR_TOO_MANY_REQUESTS and one of the reasons above, or -ENOMEM. */
int concurrency_take(struct concurrency *concurrency, const char *tenant, const char *name,
		     unsigned environments, int64_t now_us, struct concurrency_grant *ret,
		     struct error *error) _must_use_;
/* The same for one of its provisioned places, which is free: its rate is a limit, and the tenant's.
 */
int concurrency_take_provisioned(struct concurrency *concurrency, const char *tenant,
				 const char *name, int64_t now_us, struct concurrency_grant *ret,
				 struct error *error) _must_use_;
/* Copes with none, and leaves none. */
void concurrency_give_back(struct concurrency *concurrency, struct concurrency_grant *grant);

struct concurrency_usage {
	unsigned limit;    /* of the tenant */
	unsigned reserved; /* the sum of reservations, and of what others have provisioned */
	unsigned in_use;   /* of the tenant */
	unsigned unreserved_in_use; /* of functions without a reservation */
	uint64_t throttles;         /* since the start */
};
void concurrency_tenant_usage(struct concurrency *concurrency, const char *tenant,
			      struct concurrency_usage *ret);
/* Of one function; 0 when nothing is known of it. */
unsigned concurrency_function_in_use(struct concurrency *concurrency, const char *tenant,
				     const char *name);
/* Of those, the ones in provisioned places. */
unsigned concurrency_provisioned_in_use(struct concurrency *concurrency, const char *tenant,
					const char *name);
/* Of all tenants. */
uint64_t concurrency_throttles(const struct concurrency *concurrency);
