/* SPDX-License-Identifier: Apache-2.0 */

/* Watch: the state of everything, then each change, and gauges once a period. A watcher that is too
 * slow loses changes and is told how many. */

#include <errno.h>

#include "agent/api/node_internal.h"
#include "agent/api/node_messages.h"
#include "mayfly/clock.h"

#define WATCH_MAX_EVENTS  4096 /* changes; what was there at first comes on top */
#define PERIOD_DEFAULT_MS 1000
#define PERIOD_MIN_MS     100
#define PERIOD_MAX_MS     3600000

struct watch_event {
	STAILQ_ENTRY(watch_event) link;
	size_t len;
	uint8_t packed[];
};

struct watch {
	LIST_ENTRY(watch) link;
	struct node_service *service;
	struct rpc_call *rpc;
	struct timer timer;
	int64_t period_us;
	bool gauges_due;
	bool in_flight;
	bool ended;
	bool cancelled;
	bool filling; /* with what is there: without bound */
	STAILQ_HEAD(, watch_event) events;
	size_t count;
	uint64_t dropped;
};

static void watch_free(struct watch *watch)
{
	struct watch_event *event;

	LIST_REMOVE(watch, link);
	timer_disarm(&watch->timer);
	while ((event = STAILQ_FIRST(&watch->events))) {
		STAILQ_REMOVE_HEAD(&watch->events, link);
		free(event);
	}
	free(watch);
}

static void event_init(Mayfly__V1__NodeEvent *message, Mayfly__V1__NodeEvent__EventCase kind)
{
	mayfly__v1__node_event__init(message);
	message->event_case = kind;
	message->time_us = clock_realtime_us();
}

/* A change as it is told, with what its message points to. */
struct change {
	Mayfly__V1__NodeEvent message;
	union {
		Mayfly__V1__Sandbox sandbox;
		Mayfly__V1__Template template;
		Mayfly__V1__FunctionChange function;
	};
	char version[FUNCTION_VERSION_BYTES]; /* of a function */
};

static void change_of_sandbox(struct change *change, const struct sandbox_facts *facts)
{
	event_init(&change->message, MAYFLY__V1__NODE_EVENT__EVENT_SANDBOX);
	node_message_sandbox(&change->sandbox, facts);
	change->message.sandbox = &change->sandbox;
}

static void change_of_template(struct change *change, const struct template_facts *facts)
{
	event_init(&change->message, MAYFLY__V1__NODE_EVENT__EVENT_TEMPLATE);
	node_message_template(&change->template, facts);
	change->message.template_ = &change->template;
}

static void change_of_function(struct change *change, const struct function *function)
{
	event_init(&change->message, MAYFLY__V1__NODE_EVENT__EVENT_FUNCTION);
	node_message_function(&change->function, change->version, function);
	change->message.function = &change->function;
}

/* -- sending -- */

static int send_event(struct watch *watch)
{
	struct watch_event *event = STAILQ_FIRST(&watch->events);
	Mayfly__V1__NodeEvent *message =
		mayfly__v1__node_event__unpack(NULL, event->len, event->packed);
	int r = message ? rpc_call_send(watch->rpc, &message->base) : -ENOMEM;

	if (message)
		mayfly__v1__node_event__free_unpacked(message, NULL);
	if (r == -EAGAIN || r == -ECANCELED)
		return r;
	STAILQ_REMOVE_HEAD(&watch->events, link);
	watch->count--;
	free(event);
	if (r < 0)
		watch->dropped++;
	return 0;
}

static int send_dropped(struct watch *watch)
{
	Mayfly__V1__NodeEvent message;
	int r;

	event_init(&message, MAYFLY__V1__NODE_EVENT__EVENT_DROPPED);
	message.dropped = watch->dropped;
	r = rpc_call_send(watch->rpc, &message.base);
	if (r >= 0)
		watch->dropped = 0;
	return r;
}

static int send_gauges(struct watch *watch)
{
	Mayfly__V1__Gauges gauges = MAYFLY__V1__GAUGES__INIT;
	Mayfly__V1__NodeEvent message;
	int r;

	event_init(&message, MAYFLY__V1__NODE_EVENT__EVENT_GAUGES);
	node_fill_gauges(watch->service, &gauges);
	message.gauges = &gauges;
	r = rpc_call_send(watch->rpc, &message.base);
	if (r >= 0)
		watch->gauges_due = false;
	return r;
}

static void pump(struct watch *watch)
{
	int r = 0;

	while (!watch->ended && !watch->in_flight) {
		if (!STAILQ_EMPTY(&watch->events))
			r = send_event(watch);
		else if (watch->dropped > 0)
			r = send_dropped(watch);
		else if (watch->gauges_due)
			r = send_gauges(watch);
		else
			return;
		watch->in_flight = r >= 0 || r == -EAGAIN;
		watch->ended = !watch->in_flight;
	}
	if (!watch->ended || (watch->in_flight && !watch->cancelled))
		return;
	rpc_call_finish(watch->rpc);
	watch_free(watch);
}

static void on_writable(void *arg)
{
	struct watch *watch = arg;

	watch->in_flight = false;
	pump(watch);
}

static void on_cancelled(void *arg)
{
	struct watch *watch = arg;

	watch->cancelled = watch->ended = true;
	pump(watch);
}

static void on_period(void *arg)
{
	struct watch *watch = arg;

	watch->gauges_due = true;
	if (timer_arm(&watch->timer, watch->service->config.loop,
		      clock_monotonic_us() + watch->period_us, on_period, watch) < 0)
		watch->ended = true; /* it would fall silent */
	pump(watch);
}

/* -- hearing -- */

static void watch_add(struct watch *watch, const Mayfly__V1__NodeEvent *message)
{
	size_t len = mayfly__v1__node_event__get_packed_size(message);
	struct watch_event *event = NULL;

	if (watch->ended)
		return;
	if (watch->filling || watch->count < WATCH_MAX_EVENTS)
		event = malloc(sizeof(*event) + len);
	if (!event) {
		watch->dropped++;
		return;
	}
	event->len = mayfly__v1__node_event__pack(message, event->packed);
	STAILQ_INSERT_TAIL(&watch->events, event, link);
	watch->count++;
	if (!watch->filling)
		pump(watch);
}

static void add_to_all(struct node_service *service, const Mayfly__V1__NodeEvent *message)
{
	struct watch *watch, *next;

	for (watch = LIST_FIRST(&service->watches); watch; watch = next) {
		next = LIST_NEXT(watch, link);
		watch_add(watch, message);
	}
}

static void on_sandbox(const struct sandbox_facts *facts, void *arg)
{
	struct node_service *service = arg;
	struct change change;

	if (LIST_EMPTY(&service->watches))
		return;
	change_of_sandbox(&change, facts);
	add_to_all(service, &change.message);
}

static void on_template(const struct template_facts *facts, bool gone, void *arg)
{
	struct node_service *service = arg;
	struct change change;

	if (LIST_EMPTY(&service->watches))
		return;
	change_of_template(&change, facts);
	if (gone)
		change.template.state = MAYFLY__V1__TEMPLATE_STATE__TEMPLATE_STATE_GONE;
	add_to_all(service, &change.message);
}

static void on_function(const struct function *function, enum directory_event event, void *arg)
{
	struct node_service *service = arg;
	struct change change;

	if (LIST_EMPTY(&service->watches) || event == DIRECTORY_ALIASES)
		return;
	change_of_function(&change, function);
	if (event == DIRECTORY_DELETED)
		change.function.state = (char *)(uintptr_t) "Deleted";
	add_to_all(service, &change.message);
}

int node_watch_listen(struct node_service *service, struct error *error)
{
	int r = pool_add_listener(service->config.pool, on_sandbox, service);

	if (r >= 0)
		r = directory_add_listener(service->config.directory, on_function, service);
	if (r < 0)
		return error_set_errno(error, r, "Cannot hear of changes on the node");
	service->follower = (struct template_follower){ .fn = on_template, .arg = service };
	template_feed_follow(&service->templates, &service->follower);
	return 0;
}

/* -- what is there at first -- */

static void first_sandbox(const struct sandbox_facts *facts, void *arg)
{
	struct change change;

	change_of_sandbox(&change, facts);
	watch_add(arg, &change.message);
}

static void first_template(const struct template_facts *facts, void *arg)
{
	struct change change;

	change_of_template(&change, facts);
	watch_add(arg, &change.message);
}

static void first_function(const struct function *function, void *arg)
{
	struct change change;

	change_of_function(&change, function);
	watch_add(arg, &change.message);
}

static int start_watch(struct node_service *service, struct rpc_call *rpc,
		       const Mayfly__V1__WatchRequest *request, struct error *error)
{
	uint32_t period_ms =
		request->gauge_period_ms ? request->gauge_period_ms : PERIOD_DEFAULT_MS;
	struct watch *watch;

	if (period_ms < PERIOD_MIN_MS || period_ms > PERIOD_MAX_MS)
		return error_set(error, ERROR_INVALID_PARAMETER, "gauge_period_ms",
				 "The period must be between %d and %d ms.", PERIOD_MIN_MS,
				 PERIOD_MAX_MS);
	watch = calloc(1, sizeof(*watch));
	if (!watch)
		return error_set_errno(error, ENOMEM, "Cannot watch the node");
	STAILQ_INIT(&watch->events);
	watch->service = service;
	watch->rpc = rpc;
	watch->period_us = period_ms * USEC_PER_MSEC;
	LIST_INSERT_HEAD(&service->watches, watch, link);
	rpc_call_set_writable(rpc, on_writable, watch);
	rpc_call_set_cancelled(rpc, on_cancelled, watch);
	watch->filling = true;
	directory_each(service->config.directory, first_function, watch);
	template_store_each(service->config.templates, first_template, watch);
	pool_each(service->config.pool, first_sandbox, watch);
	watch->filling = false;
	on_period(watch);
	return 0;
}

void node_handle_watch(struct rpc_call *rpc, const ProtobufCMessage *request, void *user)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	if (start_watch(user, rpc, (const Mayfly__V1__WatchRequest *)request, &error) < 0)
		rpc_call_fail(rpc, &error);
}

void node_watch_end_all(struct node_service *service)
{
	struct watch *watch, *next;

	for (watch = LIST_FIRST(&service->watches); watch; watch = next) {
		next = LIST_NEXT(watch, link);
		watch->ended = true;
		pump(watch);
	}
}

void node_watch_free_all(struct node_service *service)
{
	struct watch *watch;

	while ((watch = LIST_FIRST(&service->watches)))
		watch_free(watch);
}
