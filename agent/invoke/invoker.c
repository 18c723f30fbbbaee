/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "agent/invoke/invocation_internal.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"

#define MAX_WAIT_US         (300 * USEC_PER_SEC)
#define MAX_WAITING         10000
#define MAX_WAITING_BYTES   (256ULL << 20)
#define PARSE_IN_LOOP_BYTES (16U << 10) /* about 0.1 ms; larger events are checked by a job */

/* -- news of the directory -- */

static void take_reservation(const struct function *function, void *arg)
{
	struct invoker *invoker = arg;
	const unsigned *reserved =
		function->has_reserved_concurrency ? &function->reserved_concurrency : NULL;

	if (concurrency_set_reserved(invoker->concurrency, function->tenant, function->name,
				     reserved) < 0)
		abort(); /* as loop_post(): a limit that is not kept is worse */
}

/* A version that is not Active yet gets its sandboxes when it is. */
static void take_provision(const struct function *version, void *arg)
{
	struct invoker *invoker = arg;
	unsigned wanted = directory_provisioned(invoker->directory, version);

	if (version->version == 0 || version->state != FUNCTION_ACTIVE)
		return;
	if (pool_set_provisioned(invoker->pool, version, wanted) < 0)
		log_warning("Cannot provision %s: out of memory", version->name);
	metering_set_provisioned(invoker->metering, version, wanted, invoker->starting);
}

/* News of the function: of all its versions, for an alias may have moved from one to another. */
static void provision_function(struct invoker *invoker, const struct function *function,
			       bool version_goes)
{
	unsigned total = directory_provision_each(invoker->directory, function->tenant,
						  function->name, take_provision, invoker);

	if (version_goes)
		total -= function->provisioned < total ? function->provisioned : total;
	if (concurrency_set_provisioned(invoker->concurrency, function->tenant, function->name,
					total) < 0)
		abort(); /* as above */
}

static void on_directory(const struct function *function, enum directory_event event, void *arg)
{
	struct invoker *invoker = arg;

	if (event == DIRECTORY_ALIASES) {
		provision_function(invoker, function, false);
		return;
	}
	if (event != DIRECTORY_DELETED)
		pool_function_changed(invoker->pool, function);
	if (function->version > 0)
		provision_function(invoker, function, event == DIRECTORY_DELETED);
	if (event == DIRECTORY_DELETED) {
		pool_function_deleted(invoker->pool, function);
		metering_forget(invoker->metering, function);
	} else {
		metering_set_snapshot(invoker->metering, function, false);
	}
	if (function->version > 0)
		return; /* limits and counts are the function's */
	if (event == DIRECTORY_DELETED) {
		concurrency_forget(invoker->concurrency, function->tenant, function->name);
		metrics_forget(invoker->metrics, function->tenant, function->name);
	} else {
		take_reservation(function, invoker);
	}
}

/* What the directory has at the start. */
static void take_first(const struct function *function, void *arg)
{
	struct invoker *invoker = arg;

	metering_set_snapshot(invoker->metering, function, true);
	if (function->version > 0)
		return;
	take_reservation(function, arg);
	provision_function(arg, function, false);
}

static unsigned or_default(unsigned value, unsigned initial)
{
	return value > 0 ? value : initial;
}

static struct concurrency_limits fill_limits(const struct concurrency_limits *given)
{
	return (struct concurrency_limits){
		.tenant = or_default(given->tenant, CONCURRENCY_TENANT_DEFAULT),
		.of_tenant = given->of_tenant,
		.of_tenant_arg = given->of_tenant_arg,
		.requests = or_default(given->requests, CONCURRENCY_REQUESTS_DEFAULT),
		.scaling = or_default(given->scaling, CONCURRENCY_SCALING_DEFAULT),
	};
}

/* Of 53 bits, as many as a double tells apart. */
static double draw_random(void *arg _unused_)
{
	uint64_t bits;

	random_bytes(&bits, sizeof(bits));
	return (double)(bits >> 11) / (double)(UINT64_C(1) << 53);
}

static int make_room(struct invoker *invoker, const struct invoker_config *config)
{
	const struct waiting_room_config room = {
		.max_waiting = or_default(config->max_waiting, MAX_WAITING),
		.max_bytes = invoker->max_waiting_bytes,
		.tenant_weight = config->tenant_weight,
		.tenant_weight_arg = config->tenant_weight_arg,
		.on_displaced = invocation_on_displaced,
		.on_displaced_arg = invoker,
	};

	return waiting_room_new(&room, &invoker->room);
}

int invoker_new(const struct invoker_config *config, struct loop *loop, struct directory *directory,
		struct pool *pool, struct account *account, struct invoker **ret,
		struct error *error)
{
	_cleanup_(invoker_free_p) struct invoker *invoker = calloc(1, sizeof(*invoker));
	const struct concurrency_limits limits = fill_limits(&config->limits);
	int r;

	if (!invoker)
		return error_set_errno(error, ENOMEM, "Cannot make the invoker");
	*invoker = (struct invoker){
		.loop = loop,
		.directory = directory,
		.pool = pool,
		.account = account,
		.region = strdup(config->region),
		.default_tenant = strdup(config->default_tenant),
		.draw = config->draw ? config->draw : draw_random,
		.draw_arg = config->draw_arg,
		.max_wait_us = config->max_wait_us > 0 ? config->max_wait_us : MAX_WAIT_US,
		.max_waiting_bytes = config->max_waiting_bytes > 0 ? config->max_waiting_bytes
								   : MAX_WAITING_BYTES,
	};
	TAILQ_INIT(&invoker->checks);
	if (!invoker->region || !invoker->default_tenant)
		return error_set_errno(error, ENOMEM, "Cannot make the invoker");
	r = concurrency_new(&limits, &invoker->concurrency);
	if (r >= 0)
		r = make_room(invoker, config);
	if (r < 0)
		return error_set_errno(error, r, "Cannot make the invoker");
	r = metrics_new(config->max_metrics, &invoker->metrics);
	if (r < 0)
		return error_set_errno(error, r, "Cannot make the invoker");
	r = metering_new(loop, directory, pool, account, &invoker->metering);
	if (r < 0)
		return error_set_errno(error, r, "Cannot make the invoker");
	r = directory_add_listener(directory, on_directory, invoker);
	if (r < 0)
		return error_set_errno(error, r, "Cannot hear of functions");
	invoker->starting = true;
	directory_each(directory, take_first, invoker);
	invoker->starting = false;
	*ret = TAKE_PTR(invoker);
	return 0;
}

struct invoker *invoker_free(struct invoker *invoker)
{
	if (!invoker)
		return NULL;
	concurrency_free(invoker->concurrency);
	waiting_room_free(invoker->room);
	metrics_free(invoker->metrics);
	metering_free(invoker->metering);
	free(invoker->region);
	free(invoker->default_tenant);
	free(invoker);
	return NULL;
}

/* -- admission -- */

static bool is_to_run(const struct invocation *invocation)
{
	return invocation->request.type == INVOCATION_REQUEST_RESPONSE;
}

/* A negative errno with invocation->error. */
static int start(struct invocation *invocation)
{
	int r = admission_take(invocation);

	if (r == -error_kind(ERROR_TOO_MANY_REQUESTS)->errno_value)
		metrics_count_throttle(invocation->invoker->metrics, invocation->tenant,
				       invocation->function_name);
	if (r < 0)
		return r;
	invocation->invoker->total++;
	return invocation_place(invocation);
}

void invocation_checked(struct invocation *invocation)
{
	if (invocation->error.code == ERROR_NONE && is_to_run(invocation) && start(invocation) >= 0)
		return;
	invocation_finish(invocation);
}

/* 1: the answer is known; 0: it comes. */
static int admit(struct invocation *invocation)
{
	const struct function *function;
	struct slice payload = invocation->request.payload;

	if (admission_check(invocation) < 0 || admission_find(invocation, &function) < 0)
		return 1;
	if (payload.len > PARSE_IN_LOOP_BYTES && invocation->request.type != INVOCATION_DRY_RUN) {
		if (invocation_enter_room(invocation) < 0)
			return 1;
		event_check_begin(invocation);
		return 0;
	}
	if (payload.len > 0 && admission_parse_payload(payload, &invocation->error) < 0)
		return 1;
	return !is_to_run(invocation) || start(invocation) < 0;
}

int invoker_submit(struct invoker *invoker, const struct invocation_request *request,
		   struct invocation **ret)
{
	struct invocation *invocation = calloc(1, sizeof(*invocation));

	if (!invocation)
		return -ENOMEM;
	invocation->demand.events = &invocation_demand_events;
	invocation->invoker = invoker;
	invocation->request = *request;
	invocation->stamps.received_us =
		request->received_us > 0 ? request->received_us : clock_monotonic_us();
	invocation->response.max = INVOCATION_RESPONSE_MAX_BYTES;
	if (request->request_id && request->request_id[0])
		(void)snprintf(invocation->id, sizeof(invocation->id), "%s", request->request_id);
	else
		uuid_generate(invocation->id);
	if (!request->trace_id || !request->trace_id[0]) {
		trace_id_generate(clock_realtime_us(), invocation->trace_id);
		invocation->request.trace_id = invocation->trace_id;
	}
	invoker->running++;
	*ret = invocation;
	if (admit(invocation) > 0)
		invocation_finish_later(invocation);
	return 0;
}

void invoker_tenant_concurrency(const struct invoker *invoker, const char *tenant,
				struct concurrency_usage *ret)
{
	concurrency_tenant_usage(invoker->concurrency, tenant, ret);
}

unsigned invoker_function_concurrency(const struct invoker *invoker, const char *tenant,
				      const char *name)
{
	return concurrency_function_in_use(invoker->concurrency, tenant, name);
}

void invoker_get_provision(const struct invoker *invoker, const struct function *version,
			   struct pool_provision *ret)
{
	pool_get_provision(invoker->pool, version, ret);
}

struct availability {
	const struct invoker *invoker;
	unsigned sum;
};

static void add_available(const struct function *version, void *arg)
{
	struct availability *availability = arg;
	struct pool_provision provision;

	pool_get_provision(availability->invoker->pool, version, &provision);
	availability->sum += provision.wanted > 0 ? provision.available : 0;
}

unsigned invoker_provisioned_available(const struct invoker *invoker, const char *tenant,
				       const char *name)
{
	struct availability availability = { .invoker = invoker };

	(void)directory_provision_each(invoker->directory, tenant, name, add_available,
				       &availability);
	return availability.sum;
}

unsigned invoker_provisioned_concurrency(const struct invoker *invoker, const char *tenant,
					 const char *name)
{
	return concurrency_provisioned_in_use(invoker->concurrency, tenant, name);
}

void invoker_count_event(struct invoker *invoker, const char *tenant, const char *function_name,
			 enum metrics_event event)
{
	metrics_count_event(invoker->metrics, tenant, function_name, event);
}

const struct metrics *invoker_metrics(const struct invoker *invoker)
{
	return invoker->metrics;
}

void invoker_gauges(const struct invoker *invoker, struct invoker_gauges *ret)
{
	struct waiting_room_gauges room;

	waiting_room_gauges(invoker->room, &room);
	*ret = (struct invoker_gauges){
		.running = invoker->running,
		.total = invoker->total,
		.function_errors = invoker->function_errors,
		.cold_starts = invoker->cold_starts,
		.throttles = concurrency_throttles(invoker->concurrency),
		.waiting_bytes = room.bytes,
		.waiting_refused = room.refused,
		.waiting_displaced = room.displaced,
	};
}
