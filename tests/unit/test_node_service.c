/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_api mayfly_client mayfly_invoke mayfly_pool mayfly_logs mayfly_vm mayfly_image
// mayfly_deploy mayfly_store mayfly_functions mayfly_rpc mayfly_core mayfly_base

/* NodeService and TemplateService over a real socket. What they ask of the pool, the invoker and
 * agent/vm is defined here, so that the linker leaves the real rooms out. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "agent/api/node_service.h"
#include "agent/api/template_service.h"
#include "tests/unit/service_harness.h"

#define FLOOD_EVENTS  20000

/* -- the rooms below; everything on the loop -- */

#define TEMPLATES_MAX 4
#define SANDBOXES_MAX 4

struct pool {
	pool_listener *listener;
	void *listener_arg;
	struct sandbox_facts sandboxes[SANDBOXES_MAX];
	size_t count;
	enum pool_policy policy;
	unsigned spares;
	bool end_idle;
};

struct template_store {
	struct loop *loop;
	void (*listener)(const struct template_facts *facts, void *arg);
	void *listener_arg;
	struct template_facts templates[TEMPLATES_MAX];
	size_t count;
	template_ready_fn *ready;
	void *ready_arg;
	sem_t asked;
};

struct invoker {
	uint64_t total;
};

int pool_add_listener(struct pool *pool, pool_listener *listener, void *arg)
{
	pool->listener = listener;
	pool->listener_arg = arg;
	return 0;
}

void pool_each(struct pool *pool, void (*fn)(const struct sandbox_facts *facts, void *arg),
	       void *arg)
{
	for (size_t i = 0; i < pool->count; i++)
		fn(&pool->sandboxes[i], arg);
}

void pool_gauges(const struct pool *pool, struct pool_gauges *ret)
{
	*ret = (struct pool_gauges){ .total = (unsigned)pool->count, .waiting = 3, .starts = 17 };
}

int pool_set_policy(struct pool *pool, const struct function *function, enum pool_policy policy,
		    unsigned spares, bool end_idle, pool_policy_fn *done, void *arg,
		    struct error *error _unused_)
{
	assert_string_equal(function->name, "f");
	pool->policy = policy;
	pool->spares = spares;
	pool->end_idle = end_idle;
	done(2, spares, NULL, arg);
	return 0;
}

void invoker_gauges(const struct invoker *invoker, struct invoker_gauges *ret)
{
	*ret = (struct invoker_gauges){ .running = 1, .total = invoker->total };
}

void event_queue_gauges(const struct event_queue *queue _unused_, struct event_gauges *ret)
{
	*ret = (struct event_gauges){ .waiting = 5, .received = 9, .dropped = 2 };
}

const struct vm_host_info *vm_host_info(const struct vm_host *host _unused_)
{
	static const char *const warnings[] = { "no cgroups", NULL };
	static const struct vm_host_info info = {
		.accelerator = ACCELERATOR_TCG,
		.accelerator_reason = "no /dev/kvm",
		.qemu_version = "7.2",
		.warnings = warnings,
		.init_resident_bytes = 4096,
	};

	return &info;
}

int vm_read_anonymous_bytes(pid_t pid, uint64_t *ret)
{
	if (pid != 4711)
		return -ESRCH;
	*ret = 20U << 20;
	return 0;
}

void template_store_set_listener(struct template_store *store,
				 void (*fn)(const struct template_facts *facts, void *arg),
				 void *arg)
{
	store->listener = fn;
	store->listener_arg = arg;
}

void template_store_each(struct template_store *store,
			 void (*fn)(const struct template_facts *facts, void *arg), void *arg)
{
	for (size_t i = 0; i < store->count; i++)
		fn(&store->templates[i], arg);
}

static void tell(struct template_store *store, const struct template_facts *facts)
{
	store->listener(facts, store->listener_arg);
}

/* Begins, and is ready when the test says so. */
void template_store_get_base(struct template_store *store, const char *runtime, unsigned memory_mb,
			     template_ready_fn *ready, void *arg)
{
	struct template_facts *facts = &store->templates[store->count++];

	*facts = (struct template_facts){ .id = "base-new",
					  .runtime = strcmp(runtime, "python3.13") == 0
							     ? "python3.13"
							     : "nodejs20.x",
					  .memory_mb = memory_mb,
					  .state = TEMPLATE_BUILDING,
					  .step = "starting" };
	store->ready = ready;
	store->ready_arg = arg;
	tell(store, facts);
	(void)sem_post(&store->asked);
}

void template_get_facts(const struct template *template, struct template_facts *ret)
{
	*ret = *(const struct template_facts *)(const void *)template;
}

int template_store_drop(struct template_store *store, const char *id, struct error *error _unused_)
{
	struct template_facts gone;

	if (strcmp(id, "base-busy") == 0)
		return -EBUSY;
	if (store->count == 0 || strcmp(store->templates[0].id, id) != 0)
		return -ENOENT;
	gone = store->templates[0];
	store->templates[0] = store->templates[--store->count];
	tell(store, &gone);
	return 0;
}

/* -- a node -- */

struct node {
	struct harness harness;
	struct pool pool;
	struct template_store templates;
	struct invoker invoker;
	struct node_service *service;
	struct template_service *template_service;
};

static void stop_service(void *arg)
{
	struct node *node = arg;

	node_service_stop(node->service);
}

static void open_services(struct node *node)
{
	static const char *const warnings[] = { "runs as root", NULL };
	struct rpc_server *server = node->harness.server;
	const struct node_service_config config = {
		.node_id = "node-1",
		.state_dir = "/state",
		.images_dir = "/images",
		.context = &node->harness.context,
		.started_us = 12345,
		.loop = node->harness.loop,
		.templates = &node->templates,
		.directory = node->harness.directory,
		.pool = &node->pool,
		.invoker = &node->invoker,
		.events = (struct event_queue *)&node->invoker,
		.warnings = warnings,
	};

	assert_int_equal(node_service_register(server, &config, &node->service, NULL), 0);
	assert_int_equal(template_service_register(server,
						   node_service_template_feed(node->service), NULL,
						   &node->template_service, NULL),
			 0);
}

static int set_up(void **state)
{
	struct node *node = calloc(1, sizeof(*node));

	harness_open(&node->harness);
	node->templates.loop = node->harness.loop;
	node->templates.count = 1;
	node->templates.templates[0] = (struct template_facts){
		.id = "base-a", .runtime = "python3.13", .memory_mb = 128, .state = TEMPLATE_READY
	};
	(void)sem_init(&node->templates.asked, 0, 0);
	node->invoker.total = 99;
	node->pool.count = 2;
	node->pool.sandboxes[0] = (struct sandbox_facts){ .id = "one",
							  .tenant = TENANT,
							  .function_name = "f",
							  .version = "$LATEST",
							  .state = SANDBOX_FROZEN,
							  .origin = SANDBOX_FROM_BASE,
							  .invocations = 5,
							  .pid = 4711 };
	node->pool.sandboxes[1] = (struct sandbox_facts){ .id = "two",
							  .tenant = TENANT,
							  .function_name = "g",
							  .version = "$LATEST",
							  .state = SANDBOX_READY,
							  .origin = SANDBOX_FROM_SNAPSHOT,
							  .pid = 4712 };
	harness_open_functions(&node->harness);
	open_services(node);
	node->harness.stop = stop_service;
	node->harness.stop_arg = node;
	harness_serve(&node->harness);
	*state = node;
	return 0;
}

static int tear_down(void **state)
{
	struct node *node = *state;

	harness_end(&node->harness);
	node->template_service = template_service_free(node->template_service);
	node->service = node_service_free(node->service);
	assert_null(node->templates.listener);
	harness_close(&node->harness);
	free(node);
	return 0;
}

static void create_function(struct node *node, const char *name)
{
	Mayfly__V1__CreateFunctionRequest request = MAYFLY__V1__CREATE_FUNCTION_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__Function *function = NULL;
	_cleanup_error_ struct error error = ERROR_INIT;

	request.function_name = borrow(name);
	request.runtime = borrow("python3.13");
	request.handler = borrow("app.handler");
	request.zip_file = (ProtobufCBinaryData){ .len = 3, .data = (uint8_t *)borrow("zip") };
	if (client_function_create(node->harness.client, &request, &function, &error) < 0)
		fail_msg("%s", error_text(&error));
}

/* -- lists -- */

static void test_node(void **state)
{
	struct node *node = *state;
	_cleanup_message_ Mayfly__V1__Node *got = NULL;

	create_function(node, "f");
	assert_int_equal(client_node_get(node->harness.client, &got, NULL), 0);
	assert_string_equal(got->version, MAYFLY_VERSION);
	assert_string_equal(got->node_id, "node-1");
	assert_string_equal(got->state_dir, "/state");
	assert_string_equal(got->images_dir, "/images");
	assert_int_equal(got->started_at_us, 12345);
	assert_int_equal(got->accelerator, MAYFLY__V1__ACCELERATOR__ACCELERATOR_TCG);
	assert_string_equal(got->accelerator_reason, "no /dev/kvm");
	assert_string_equal(got->libvirt_version, "");
	assert_string_equal(got->account_id, TENANT);
	assert_string_equal(got->region, REGION);
	assert_true(got->cpu_count > 0);
	assert_true(got->memory_bytes > 0);
	assert_true(got->kernel_release[0]);
	assert_int_equal(got->n_warnings, 2);
	assert_string_equal(got->warnings[0], "no cgroups");
	assert_string_equal(got->warnings[1], "runs as root");
	assert_int_equal(got->init_resident_bytes, 4096);
	assert_int_equal(got->gauges->sandboxes_total, 2);
	assert_int_equal(got->gauges->invocations_queued, 3);
	assert_int_equal(got->gauges->invocations_total, 99);
	assert_int_equal(got->gauges->events_waiting, 5);
	assert_int_equal(got->gauges->events_received_total, 9);
	assert_int_equal(got->gauges->events_dropped_total, 2);
	assert_int_equal(got->gauges->restores_total, 17);
	assert_int_equal(got->gauges->functions_total, 1);
	assert_true(got->gauges->agent_resident_bytes > 0);
}

static void test_sandboxes(void **state)
{
	struct node *node = *state;
	Mayfly__V1__ListSandboxesRequest request = MAYFLY__V1__LIST_SANDBOXES_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__ListSandboxesResponse *all = NULL, *one = NULL;
	Mayfly__V1__ListSandboxesResponse *none = NULL;
	_cleanup_error_ struct error error = ERROR_INIT;

	assert_int_equal(client_node_list_sandboxes(node->harness.client, &request, &all, NULL), 0);
	assert_int_equal(all->n_sandboxes, 2);
	assert_string_equal(all->sandboxes[0]->sandbox_id, "one");
	assert_int_equal(all->sandboxes[0]->anonymous_bytes, 20U << 20);
	assert_int_equal(all->sandboxes[0]->state, MAYFLY__V1__SANDBOX_STATE__SANDBOX_STATE_FROZEN);
	assert_int_equal(all->sandboxes[0]->start_kind, MAYFLY__V1__START_KIND__START_KIND_RESTORE);
	assert_int_equal(all->sandboxes[1]->anonymous_bytes, 0);
	assert_int_equal(all->sandboxes[1]->start_kind, MAYFLY__V1__START_KIND__START_KIND_SPARE);
	request.function_name = borrow("g");
	assert_int_equal(client_node_list_sandboxes(node->harness.client, &request, &one, NULL), 0);
	assert_int_equal(one->n_sandboxes, 1);
	assert_string_equal(one->sandboxes[0]->sandbox_id, "two");
	request.tenant = borrow("999999999999");
	assert_true(client_node_list_sandboxes(node->harness.client, &request, &none, &error) < 0);
	assert_int_equal(error.code, ERROR_NOT_FOUND);
}

static void test_templates(void **state)
{
	struct node *node = *state;
	_cleanup_message_ Mayfly__V1__ListTemplatesResponse *first = NULL, *second = NULL;

	assert_int_equal(client_node_list_templates(node->harness.client, &first, NULL), 0);
	assert_int_equal(client_template_list(node->harness.client, &second, NULL), 0);
	assert_int_equal(first->n_templates, 1);
	assert_int_equal(second->n_templates, 1);
	assert_string_equal(first->templates[0]->template_id, "base-a");
	assert_int_equal(second->templates[0]->state,
			 MAYFLY__V1__TEMPLATE_STATE__TEMPLATE_STATE_READY);
}

static void test_policy(void **state)
{
	struct node *node = *state;
	Mayfly__V1__SetStartPolicyRequest request = MAYFLY__V1__SET_START_POLICY_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__SetStartPolicyResponse *response = NULL;
	_cleanup_error_ struct error missing = ERROR_INIT, bad = ERROR_INIT, error = ERROR_INIT;
	const int64_t limit_us = clock_monotonic_us() + HARNESS_LIMIT_SEC * USEC_PER_SEC;
	int r;

	request.function_name = borrow("f");
	request.policy = MAYFLY__V1__START_POLICY__START_POLICY_SPARE;
	request.spares = 4;
	request.end_idle_sandboxes = true;
	assert_true(client_node_set_start_policy(node->harness.client, &request, &response,
						 &missing) < 0);
	assert_int_equal(missing.code, ERROR_NOT_FOUND);
	create_function(node, "f");
	do { /* refused while it is Pending */
		error_clear(&error);
		r = client_node_set_start_policy(node->harness.client, &request, &response, &error);
		assert_true(r == 0 || error.code == ERROR_CONFLICT);
		assert_true(clock_monotonic_us() < limit_us);
	} while (r < 0);
	assert_int_equal(response->ended, 2);
	assert_int_equal(response->spares_ready, 4);
	harness_meet_loop(&node->harness);
	assert_int_equal(node->pool.policy, POOL_POLICY_SPARE);
	assert_true(node->pool.end_idle);
	request.policy = (Mayfly__V1__StartPolicy)9;
	client_free_message(TAKE_PTR(response));
	assert_true(client_node_set_start_policy(node->harness.client, &request, &response, &bad) <
		    0);
	assert_string_equal(bad.field, "policy");
}

/* -- Watch -- */

static struct client_stream *open_watch(struct node *node, uint32_t period_ms)
{
	Mayfly__V1__WatchRequest request = MAYFLY__V1__WATCH_REQUEST__INIT;
	struct client_stream *stream = NULL;

	request.gauge_period_ms = period_ms;
	assert_int_equal(client_node_watch(node->harness.client, &request, &stream, NULL), 0);
	return stream;
}

static Mayfly__V1__NodeEvent *next_of(struct client_stream *stream,
				      Mayfly__V1__NodeEvent__EventCase kind)
{
	for (;;) {
		Mayfly__V1__NodeEvent *event = NULL;
		_cleanup_error_ struct error error = ERROR_INIT;

		if (client_node_watch_next(stream, &event, &error) != 1)
			fail_msg("%s", error_text(&error));
		assert_true(event->time_us > 0);
		if (event->event_case == kind)
			return event;
		client_free_message(event);
	}
}

static void change_sandbox(void *arg)
{
	struct node *node = arg;

	node->pool.sandboxes[0].state = SANDBOX_BUSY;
	node->pool.listener(&node->pool.sandboxes[0], node->pool.listener_arg);
}

static void expect_sandbox(struct client_stream *stream, const char *id,
			   Mayfly__V1__SandboxState sandbox_state)
{
	_cleanup_message_ Mayfly__V1__NodeEvent *event =
		next_of(stream, MAYFLY__V1__NODE_EVENT__EVENT_SANDBOX);

	assert_string_equal(event->sandbox->sandbox_id, id);
	assert_int_equal(event->sandbox->state, sandbox_state);
}

static void expect_template(struct client_stream *stream, const char *id,
			    Mayfly__V1__TemplateState template_state)
{
	_cleanup_message_ Mayfly__V1__NodeEvent *event =
		next_of(stream, MAYFLY__V1__NODE_EVENT__EVENT_TEMPLATE);

	assert_string_equal(event->template_->template_id, id);
	assert_int_equal(event->template_->state, template_state);
}

static void expect_function(struct client_stream *stream, const char *function_state)
{
	_cleanup_message_ Mayfly__V1__NodeEvent *event =
		next_of(stream, MAYFLY__V1__NODE_EVENT__EVENT_FUNCTION);

	assert_string_equal(event->function->function_name, "f");
	assert_string_equal(event->function->state, function_state);
}

static void drop_template(struct node *node, const char *id, struct error *error)
{
	Mayfly__V1__DropTemplateRequest request = MAYFLY__V1__DROP_TEMPLATE_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__DropTemplateResponse *response = NULL;
	int r;

	request.template_id = borrow(id);
	r = client_template_drop(node->harness.client, &request, &response, error);
	assert_true(error ? r < 0 : r == 0);
}

static void test_watch(void **state)
{
	struct node *node = *state;
	_cleanup_(client_stream_close_p) struct client_stream *stream = open_watch(node, 100);
	Mayfly__V1__DeleteFunctionRequest request = MAYFLY__V1__DELETE_FUNCTION_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__DeleteFunctionResponse *deleted = NULL;

	/* What is there. */
	expect_template(stream, "base-a", MAYFLY__V1__TEMPLATE_STATE__TEMPLATE_STATE_READY);
	expect_sandbox(stream, "one", MAYFLY__V1__SANDBOX_STATE__SANDBOX_STATE_FROZEN);
	expect_sandbox(stream, "two", MAYFLY__V1__SANDBOX_STATE__SANDBOX_STATE_READY);
	/* What changes. */
	on_loop(&node->harness, change_sandbox, node);
	expect_sandbox(stream, "one", MAYFLY__V1__SANDBOX_STATE__SANDBOX_STATE_BUSY);
	drop_template(node, "base-a", NULL);
	expect_template(stream, "base-a", MAYFLY__V1__TEMPLATE_STATE__TEMPLATE_STATE_GONE);
	create_function(node, "f");
	expect_function(stream, "Pending");
	expect_function(stream, "Active");
	request.function_name = borrow("f");
	assert_int_equal(client_function_delete(node->harness.client, &request, &deleted, NULL), 0);
	expect_function(stream, "Deleted");
	for (unsigned i = 0; i < 3; i++) {
		_cleanup_message_ Mayfly__V1__NodeEvent *event =
			next_of(stream, MAYFLY__V1__NODE_EVENT__EVENT_GAUGES);

		assert_int_equal(event->gauges->sandboxes_total, 2);
	}
}

static void flood(void *arg)
{
	struct node *node = arg;

	for (unsigned i = 0; i < FLOOD_EVENTS; i++) {
		node->pool.sandboxes[0].invocations = i + 10;
		node->pool.listener(&node->pool.sandboxes[0], node->pool.listener_arg);
	}
}

/* Who is too slow hears how much it missed: not one change more, not one less. */
static void test_watch_too_slow(void **state)
{
	struct node *node = *state;
	_cleanup_(client_stream_close_p) struct client_stream *stream = open_watch(node, 3600000);
	uint64_t seen = 0, dropped = 0;

	expect_sandbox(stream, "one", MAYFLY__V1__SANDBOX_STATE__SANDBOX_STATE_FROZEN);
	expect_sandbox(stream, "two", MAYFLY__V1__SANDBOX_STATE__SANDBOX_STATE_READY);
	on_loop(&node->harness, flood, node);
	while (seen + dropped < FLOOD_EVENTS) {
		Mayfly__V1__NodeEvent *event = NULL;

		assert_int_equal(client_node_watch_next(stream, &event, NULL), 1);
		seen += event->event_case == MAYFLY__V1__NODE_EVENT__EVENT_SANDBOX;
		if (event->event_case == MAYFLY__V1__NODE_EVENT__EVENT_DROPPED)
			dropped += event->dropped;
		client_free_message(event);
	}
	assert_true(dropped > 0);
	assert_int_equal(seen + dropped, FLOOD_EVENTS);
}

static void test_watch_ends(void **state)
{
	struct node *node = *state;
	_cleanup_(client_stream_close_p) struct client_stream *stream = open_watch(node, 0);
	Mayfly__V1__NodeEvent *event = NULL;
	int r;

	for (unsigned i = 0; i < 10; i++)
		(void)client_stream_close(open_watch(node, 0));
	expect_sandbox(stream, "one", MAYFLY__V1__SANDBOX_STATE__SANDBOX_STATE_FROZEN);
	on_loop(&node->harness, stop_service, node);
	while ((r = client_node_watch_next(stream, &event, NULL)) > 0)
		client_free_message(event);
	assert_int_equal(r, 0);
}

static void test_watch_refused(void **state)
{
	struct node *node = *state;
	_cleanup_(client_stream_close_p) struct client_stream *stream = open_watch(node, 99);
	Mayfly__V1__NodeEvent *event = NULL;
	_cleanup_error_ struct error error = ERROR_INIT;

	assert_true(client_node_watch_next(stream, &event, &error) < 0);
	assert_int_equal(error.code, ERROR_INVALID_PARAMETER);
	assert_string_equal(error.field, "gauge_period_ms");
}

/* -- templates -- */

static struct client_stream *open_build(struct node *node, const char *runtime, uint32_t memory_mb)
{
	Mayfly__V1__BuildTemplateRequest request = MAYFLY__V1__BUILD_TEMPLATE_REQUEST__INIT;
	struct client_stream *stream = NULL;

	request.runtime = borrow(runtime);
	request.memory_size_mb = memory_mb;
	assert_int_equal(client_template_build(node->harness.client, &request, &stream, NULL), 0);
	return stream;
}

static void wait_asked(struct node *node)
{
	struct timespec limit;

	(void)clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += HARNESS_LIMIT_SEC;
	assert_int_equal(sem_timedwait(&node->templates.asked, &limit), 0);
}

static struct template_facts *facts_of_build(struct node *node)
{
	return &node->templates.templates[node->templates.count - 1];
}

static void next_step(void *arg)
{
	struct node *node = arg;

	facts_of_build(node)->step = "warming the runtime";
	tell(&node->templates, facts_of_build(node));
}

static void be_ready(void *arg)
{
	struct node *node = arg;
	struct template_facts *facts = facts_of_build(node);

	facts->state = TEMPLATE_READY;
	facts->step = NULL;
	tell(&node->templates, facts);
	node->templates.ready((struct template *)(void *)facts, NULL, node->templates.ready_arg);
}

static void fail_build(void *arg)
{
	struct node *node = arg;
	_cleanup_error_ struct error error = ERROR_INIT;

	(void)error_set(&error, ERROR_INTERNAL, NULL, "The guest did not boot.");
	node->templates.ready(NULL, &error, node->templates.ready_arg);
}

static void expect_step(struct client_stream *stream, const char *step)
{
	_cleanup_message_ Mayfly__V1__BuildTemplateProgress *progress = NULL;
	_cleanup_error_ struct error error = ERROR_INIT;

	if (client_template_build_next(stream, &progress, &error) != 1)
		fail_msg("%s", error_text(&error));
	assert_string_equal(progress->step, step);
	assert_null(progress->template_);
}

static void test_build(void **state)
{
	struct node *node = *state;
	_cleanup_(client_stream_close_p) struct client_stream *stream =
		open_build(node, "python3.13", 256);
	_cleanup_message_ Mayfly__V1__BuildTemplateProgress *last = NULL;

	expect_step(stream, "starting");
	on_loop(&node->harness, next_step, node);
	expect_step(stream, "warming the runtime");
	on_loop(&node->harness, be_ready, node);
	assert_int_equal(client_template_build_next(stream, &last, NULL), 1);
	assert_non_null(last->template_);
	assert_string_equal(last->template_->template_id, "base-new");
	assert_int_equal(last->template_->memory_size_mb, 256);
	assert_int_equal(last->template_->state, MAYFLY__V1__TEMPLATE_STATE__TEMPLATE_STATE_READY);
	client_free_message(TAKE_PTR(last));
	assert_int_equal(client_template_build_next(stream, &last, NULL), 0);
}

static void test_build_fails(void **state)
{
	struct node *node = *state;
	_cleanup_(client_stream_close_p) struct client_stream *stream =
		open_build(node, "python3.13", 256);
	Mayfly__V1__BuildTemplateProgress *progress = NULL;
	_cleanup_error_ struct error error = ERROR_INIT;

	expect_step(stream, "starting");
	on_loop(&node->harness, fail_build, node);
	assert_true(client_template_build_next(stream, &progress, &error) < 0);
	assert_string_equal(error_text(&error), "The guest did not boot.");
}

/* The build goes on without its client, and may end after the service has. */
static void test_build_left(void **state)
{
	struct node *node = *state;
	struct client_stream *stream = open_build(node, "python3.13", 256);

	wait_asked(node);
	(void)client_stream_close(stream);
	on_loop(&node->harness, next_step, node);
	on_loop(&node->harness, be_ready, node);
	stream = open_build(node, "python3.13", 512);
	wait_asked(node);
	(void)client_stream_close(stream);
}

static void test_build_refused(void **state)
{
	struct node *node = *state;
	static const uint32_t sizes[] = { 0, 127, 10241 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_(client_stream_close_p) struct client_stream *stream =
			open_build(node, "python3.13", sizes[i]);
		Mayfly__V1__BuildTemplateProgress *progress = NULL;
		_cleanup_error_ struct error error = ERROR_INIT;

		assert_true(client_template_build_next(stream, &progress, &error) < 0);
		assert_int_equal(error.code, ERROR_INVALID_PARAMETER);
		assert_string_equal(error.field, "memory_size_mb");
	}
}

static void test_drop_refused(void **state)
{
	struct node *node = *state;
	_cleanup_error_ struct error missing = ERROR_INIT, busy = ERROR_INIT;

	drop_template(node, "nothing", &missing);
	assert_int_equal(missing.code, ERROR_NOT_FOUND);
	assert_string_equal(missing.field, "template_id");
	drop_template(node, "base-busy", &busy);
	assert_int_equal(busy.code, ERROR_CONFLICT);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_node),         TEST(test_sandboxes),     TEST(test_templates),
		TEST(test_policy),       TEST(test_watch),         TEST(test_watch_too_slow),
		TEST(test_watch_ends),   TEST(test_watch_refused), TEST(test_build),
		TEST(test_build_fails),  TEST(test_build_left),    TEST(test_build_refused),
		TEST(test_drop_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
