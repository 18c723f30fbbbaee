/* SPDX-License-Identifier: Apache-2.0 */

/* grpc.health.v1. All on the loop thread. */

#include "rpc/internal.h"

#include <errno.h>
#include <grpc/health/v1/health.pb-c.h>

/* Of each kind, so that none of them takes what the others need; strangers may have no more calls
 * than that anyway. */
#define MAX_WATCHERS 256
enum { WATCHERS_LOCAL, WATCHERS_KNOWN, WATCHERS_STRANGERS, WATCHERS_KINDS };

typedef Grpc__Health__V1__HealthCheckRequest request_t;
typedef Grpc__Health__V1__HealthCheckResponse response_t;
typedef Grpc__Health__V1__HealthCheckResponse__ServingStatus serving_t;

#define SERVING         GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
#define NOT_SERVING     GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING
#define SERVICE_UNKNOWN GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN

struct service {
	char *name; /* owned */
	serving_t status;
	LIST_ENTRY(service) link;
};

struct watcher {
	struct health *health; /* weak, outlives this */
	struct rpc_call *call; /* owes the final answer */
	char *service;         /* owned */
	int kind;
	int sent; /* the last status sent, -1 before the first */
	LIST_ENTRY(watcher) link;
};

struct health {
	LIST_HEAD(, service) services;
	LIST_HEAD(, watcher) watchers;
	unsigned n_watchers[WATCHERS_KINDS];
	bool stopped;
};

static struct service *find_service(struct health *health, const char *name)
{
	struct service *service;
	LIST_FOREACH (service, &health->services, link)
		if (strcmp(service->name, name) == 0)
			return service;
	return NULL;
}

static serving_t status_of(struct health *health, const char *name)
{
	struct service *service = find_service(health, name);
	return service ? service->status : SERVICE_UNKNOWN;
}

static void on_check(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const request_t *request = (const request_t *)message;
	_cleanup_error_ struct error e = ERROR_INIT;
	response_t response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;

	response.status = status_of(user, request->service);
	if (response.status == SERVICE_UNKNOWN) {
		(void)error_set(&e, ERROR_NOT_FOUND, "service", "Unknown service: %s",
				request->service);
		rpc_call_fail(call, &e);
		return;
	}
	rpc_call_reply(call, &response.base);
}

static void watcher_free(struct watcher *watcher)
{
	LIST_REMOVE(watcher, link);
	watcher->health->n_watchers[watcher->kind]--;
	free(watcher->service);
	free(watcher);
}

/* After the last news the stream ends. */
static void watcher_push(void *arg)
{
	struct watcher *watcher = arg;
	response_t response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;

	response.status = status_of(watcher->health, watcher->service);
	if ((int)response.status != watcher->sent) {
		if (rpc_call_send(watcher->call, &response.base) < 0)
			return; /* again when it is writable */
		watcher->sent = (int)response.status;
	}
	if (!watcher->health->stopped)
		return;
	rpc_call_finish(watcher->call);
	watcher_free(watcher);
}

static void watcher_cancelled(void *arg)
{
	struct watcher *watcher = arg;
	rpc_call_finish(watcher->call);
	watcher_free(watcher);
}

static int kind_of(const struct rpc_call *call)
{
	if (rpc_call_is_strangers(call))
		return WATCHERS_STRANGERS;
	return rpc_call_peer(call).kind == RPC_PEER_UNIX ? WATCHERS_LOCAL : WATCHERS_KNOWN;
}

static void on_watch(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	struct health *health = user;
	const request_t *request = (const request_t *)message;
	_cleanup_error_ struct error e = ERROR_INIT;

	int kind = kind_of(call);
	struct watcher *watcher = calloc(1, sizeof(*watcher));
	char *service = strdup(request->service);
	if (!watcher || !service || health->stopped || health->n_watchers[kind] >= MAX_WATCHERS) {
		(void)error_set(&e, ERROR_UNAVAILABLE, NULL, "No more watchers now");
		rpc_call_fail(call, &e);
		free(watcher);
		free(service);
		return;
	}
	*watcher = (struct watcher){
		.health = health, .call = call, .service = service, .kind = kind, .sent = -1
	};
	LIST_INSERT_HEAD(&health->watchers, watcher, link);
	health->n_watchers[kind]++;
	rpc_call_set_writable(call, watcher_push, watcher);
	rpc_call_set_cancelled(call, watcher_cancelled, watcher);
	watcher_push(watcher);
}

static void tell_watchers(struct health *health)
{
	struct watcher *watcher, *next;

	for (watcher = LIST_FIRST(&health->watchers); watcher; watcher = next) {
		next = LIST_NEXT(watcher, link);
		watcher_push(watcher);
	}
}

static void set_status(struct health *health, const char *name, serving_t status)
{
	struct service *service = find_service(health, name);
	if (!service) {
		service = calloc(1, sizeof(*service));
		char *copy = strdup(name);
		if (!service || !copy) {
			log_error("rpc: out of memory: %s has no health status", name);
			free(service);
			free(copy);
			return;
		}
		service->name = copy;
		LIST_INSERT_HEAD(&health->services, service, link);
	}
	service->status = status;
}

void health_add_service(struct health *health, const char *service)
{
	set_status(health, service, SERVING);
}

void health_set(struct health *health, const char *service, bool serving)
{
	if (health->stopped)
		return;
	set_status(health, service, serving ? SERVING : NOT_SERVING);
	tell_watchers(health);
}

void health_stop(struct health *health)
{
	struct service *service;

	LIST_FOREACH (service, &health->services, link)
		service->status = NOT_SERVING;
	health->stopped = true;
	tell_watchers(health);
}

int health_new(struct rpc_server *server, struct error *e)
{
	static const struct rpc_method_handler handlers[] = {
		{ "Check", on_check },
		{ "Watch", on_watch },
		{ 0 },
	};

	struct health *health = calloc(1, sizeof(*health));
	if (!health)
		return error_set_errno(e, ENOMEM, "cannot make the health service");
	LIST_INIT(&health->services);
	LIST_INIT(&health->watchers);
	server->health = health;
	set_status(health, "", NOT_SERVING);
	return rpc_server_add_service(server, &grpc__health__v1__health__descriptor, handlers,
				      health, e);
}

struct health *health_free(struct health *health)
{
	struct service *service;

	if (!health)
		return NULL;
	while ((service = LIST_FIRST(&health->services))) {
		LIST_REMOVE(service, link);
		free(service->name);
		free(service);
	}
	free(health);
	return NULL;
}
