/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/metrics_service.h"

#include <errno.h>
#include <sys/queue.h>

#include "agent/api/metrics_message.h"
#include "mayfly/clock.h"

#define INTERVAL_DEFAULT_S 5
#define INTERVAL_MAX_S     60

struct metrics_watch {
	LIST_ENTRY(metrics_watch) link;
	struct metrics_service *service;
	struct rpc_call *call;
	struct metrics_scope scope; /* `since`: what was sent */
	struct timer timer;
	int64_t interval_us;
	uint64_t skipped;
	bool due;
	bool in_flight;
};

struct metrics_service {
	struct metrics_service_config config;
	LIST_HEAD(, metrics_watch) watches;
	unsigned count;
	bool stopped;
};

/* -- a watch -- */

static void end(struct metrics_watch *watch, const struct error *error)
{
	LIST_REMOVE(watch, link);
	watch->service->count--;
	timer_disarm(&watch->timer);
	if (error)
		rpc_call_fail(watch->call, error);
	else
		rpc_call_finish(watch->call);
	free(watch);
}

/* 0, or a negative errno: it is to be ended, unless it was cancelled. */
static int send(struct metrics_watch *watch)
{
	const struct metrics_service_config *config = &watch->service->config;
	const struct metrics *metrics = invoker_metrics(config->invoker);
	Mayfly__V1__MetricsSnapshot message;
	struct metrics_scope scope = watch->scope;
	int r;

	/* A row that is gone is told by a whole snapshot without it. */
	if (metrics_forgot(metrics) > scope.since)
		scope.since = 0;
	r = metrics_message_fill(config, &scope, &message);
	if (r == 0) {
		message.skipped = watch->skipped;
		r = rpc_call_send(watch->call, &message.base);
	}
	metrics_message_clear(&message);
	if (r < 0)
		return r;
	watch->scope.since = metrics_serial(metrics);
	watch->skipped = 0;
	watch->due = false;
	watch->in_flight = true;
	return 0;
}

static void pump(struct metrics_watch *watch)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	int r;

	if (!watch->due || watch->in_flight)
		return;
	r = send(watch);
	if (r >= 0 || r == -EAGAIN || r == -ECANCELED)
		return;
	(void)error_set_errno(&error, r, "Cannot tell metrics");
	end(watch, &error);
}

static void on_writable(void *arg)
{
	struct metrics_watch *watch = arg;

	watch->in_flight = false;
	pump(watch);
}

static void on_cancelled(void *arg)
{
	end(arg, NULL);
}

/* One that is due is sent as things are when it can be, so none waits behind it. */
static void on_time(void *arg)
{
	struct metrics_watch *watch = arg;
	_cleanup_error_ struct error error = ERROR_INIT;
	int r = timer_arm(&watch->timer, watch->service->config.loop,
			  clock_monotonic_us() + watch->interval_us, on_time, watch);

	if (r < 0) {
		(void)error_set_errno(&error, r, "Cannot tell metrics");
		end(watch, &error);
		return;
	}
	watch->skipped += watch->due;
	watch->due = true;
	pump(watch);
}

/* -- Watch -- */

static int decode(const struct metrics_service *service,
		  const Mayfly__V1__WatchMetricsRequest *request, struct metrics_scope *ret,
		  struct error *error)
{
	struct function_reference reference = { 0 };
	const char *tenant;
	int r = api_resolve_tenant(service->config.context, request->tenant, &tenant, error);

	if (r == 0 && request->function_name[0])
		r = api_parse_unqualified(service->config.context, request->function_name, tenant,
					  &reference, error);
	if (r < 0)
		return r;
	if (request->interval_s > INTERVAL_MAX_S)
		return error_set(error, ERROR_INVALID_PARAMETER, "interval_s",
				 "The interval must be between 1 and %d seconds.", INTERVAL_MAX_S);
	if (service->stopped)
		return error_set(error, ERROR_UNAVAILABLE, NULL, "The node is stopping.");
	(void)snprintf(ret->tenant, sizeof(ret->tenant), "%s", request->all_tenants ? "" : tenant);
	(void)snprintf(ret->function, sizeof(ret->function), "%s", reference.name);
	return 0;
}

static int start(struct metrics_service *service, struct rpc_call *call,
		 const Mayfly__V1__WatchMetricsRequest *request, struct error *error)
{
	struct metrics_watch *watch = calloc(1, sizeof(*watch));
	int64_t interval_s = request->interval_s ? request->interval_s : INTERVAL_DEFAULT_S;
	int r;

	if (!watch)
		return error_set_errno(error, ENOMEM, "Cannot watch metrics");
	r = decode(service, request, &watch->scope, error);
	if (r < 0) {
		free(watch);
		return r;
	}
	watch->service = service;
	watch->call = call;
	watch->interval_us = interval_s * USEC_PER_SEC;
	LIST_INSERT_HEAD(&service->watches, watch, link);
	service->count++;
	rpc_call_set_writable(call, on_writable, watch);
	rpc_call_set_cancelled(call, on_cancelled, watch);
	on_time(watch);
	return 0;
}

static void on_watch(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	if (start(user, call, (const Mayfly__V1__WatchMetricsRequest *)message, &error) < 0)
		rpc_call_fail(call, &error);
}

static const struct rpc_method_handler handlers[] = {
	{ "Watch", on_watch },
	{ NULL, NULL },
};

int metrics_service_register(struct rpc_server *server, const struct metrics_service_config *config,
			     struct metrics_service **ret, struct error *error)
{
	_cleanup_(metrics_service_free_p) struct metrics_service *service =
		calloc(1, sizeof(*service));
	int r;

	if (!service)
		return error_set_errno(error, ENOMEM, "Cannot serve metrics");
	service->config = *config;
	LIST_INIT(&service->watches);
	r = rpc_server_add_service(server, &mayfly__v1__metrics_service__descriptor, handlers,
				   service, error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(service);
	return 0;
}

void metrics_service_stop(struct metrics_service *service)
{
	service->stopped = true;
	while (!LIST_EMPTY(&service->watches))
		end(LIST_FIRST(&service->watches), NULL);
}

struct metrics_service *metrics_service_free(struct metrics_service *service)
{
	free(service);
	return NULL;
}
