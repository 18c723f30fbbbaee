/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For tests of cli: a scripted node, and verbs that are run against it with what they print caught.
 * Brings <cmocka.h>. */

#include "rpc_harness.h"

#include <fcntl.h>
#include <jansson.h>

#include "cli/verb.h"
#include "mayfly/fs.h"

#include <mayfly/v1/invoke.pb-c.h>
#include <mayfly/v1/node.pb-c.h>
#include <mayfly/v1/usage.pb-c.h>

volatile sig_atomic_t interrupted;

struct node {
	struct test_loop loop;
	struct rpc_server *server;
	struct gate stopped, remembered;
	char dir[64], address[128];
	ProtobufCMessage *last; /* owned; a copy of the last request */
	unsigned gets;          /* of the loop, as is what follows */
	char got_qualifier[32]; /* by Get */
	unsigned invokes;
	struct gate deleted;
	struct rpc_call *watcher;
};

static struct node node;

/* The gate orders what the loop wrote before what the test reads, and the other way round. */
static const void _unused_ *last_request(void)
{
	(void)gate_value(&node.remembered);
	return node.last;
}

static void remember(const ProtobufCMessage *request)
{
	gate_add(&node.remembered, 1);
	size_t n = protobuf_c_message_get_packed_size(request);
	_cleanup_free_ uint8_t *bytes = malloc(n + 1);
	assert_non_null(bytes);
	(void)protobuf_c_message_pack(request, bytes);
	protobuf_c_message_free_unpacked(node.last, NULL);
	node.last = protobuf_c_message_unpack(request->descriptor, NULL, n, bytes);
	assert_non_null(node.last);
	gate_add(&node.remembered, 1);
}

/* -- the scripted services -- */

static void answer_function(struct rpc_call *call, const char *name, const char *version, int state)
{
	Mayfly__V1__Function function = MAYFLY__V1__FUNCTION__INIT;
	Mayfly__V1__EnvironmentVariable variable = MAYFLY__V1__ENVIRONMENT_VARIABLE__INIT;
	Mayfly__V1__EnvironmentVariable *variables[] = { &variable };
	Mayfly__V1__SnapStart snap_start = MAYFLY__V1__SNAP_START__INIT;

	snap_start.apply_on =
		MAYFLY__V1__SNAP_START_APPLY_ON__SNAP_START_APPLY_ON_PUBLISHED_VERSIONS;
	function.snap_start = &snap_start;
	variable.key = (char *)"STAGE";
	variable.value = (char *)"test";
	function.environment = variables;
	function.n_environment = 1;
	function.function_name = (char *)name;
	function.version = (char *)version;
	function.function_arn = (char *)"arn:aws:lambda:us-east-1:000000000000:function:f";
	function.runtime = (char *)"python3.13";
	function.memory_size_mb = 128;
	function.timeout_seconds = 3;
	function.last_modified_us = 1764037614123000;
	function.state = (Mayfly__V1__FunctionState)state;
	function.state_reason = (char *)(state == 4 ? "no disk" : "");
	function.state_reason_code = (char *)(state == 4 ? "InternalError" : "");
	rpc_call_reply(call, &function.base);
}

static void on_create(struct rpc_call *call, const ProtobufCMessage *request, void *user _unused_)
{
	(void)gate_value(&node.remembered);
	node.gets = 0;
	remember(request);
	answer_function(call, ((const Mayfly__V1__CreateFunctionRequest *)request)->function_name,
			"$LATEST", MAYFLY__V1__FUNCTION_STATE__FUNCTION_STATE_PENDING);
}

static void on_update(struct rpc_call *call, const ProtobufCMessage *request, void *user _unused_)
{
	remember(request);
	answer_function(call, "f", "$LATEST", MAYFLY__V1__FUNCTION_STATE__FUNCTION_STATE_ACTIVE);
}

/* Pending at the first look, then settled by its name. */
static void on_get(struct rpc_call *call, const ProtobufCMessage *message, void *user _unused_)
{
	const char *name = ((const Mayfly__V1__GetFunctionRequest *)message)->function_name;
	_cleanup_error_ struct error e = ERROR_INIT;

	if (strcmp(name, "missing") == 0) {
		(void)error_set(&e, ERROR_NOT_FOUND, NULL, "Function not found: %s", name);
		rpc_call_fail(call, &e);
		return;
	}
	(void)snprintf(node.got_qualifier, sizeof(node.got_qualifier), "%s",
		       ((const Mayfly__V1__GetFunctionRequest *)message)->qualifier);
	int settled = strcmp(name, "broken") == 0 ? 4 : 2;
	int state = node.gets++ == 0 ? MAYFLY__V1__FUNCTION_STATE__FUNCTION_STATE_PENDING : settled;
	gate_add(&node.remembered, 1); /* all of it is written before there is an answer */
	answer_function(call, name, *node.got_qualifier ? node.got_qualifier : "$LATEST", state);
}

/* Pages of two functions, five in all. */
static void on_list(struct rpc_call *call, const ProtobufCMessage *message, void *user _unused_)
{
	const Mayfly__V1__ListFunctionsRequest *request =
		(const Mayfly__V1__ListFunctionsRequest *)message;
	Mayfly__V1__ListFunctionsResponse page = MAYFLY__V1__LIST_FUNCTIONS_RESPONSE__INIT;
	Mayfly__V1__Function functions[2];
	Mayfly__V1__Function *pointers[2] = { &functions[0], &functions[1] };
	char names[2][8], marker[8] = "";
	unsigned from = (unsigned)strtoul(request->marker, NULL, 10);

	for (unsigned i = 0; i < 2 && from + i < 5; i++) {
		mayfly__v1__function__init(&functions[i]);
		(void)snprintf(names[i], sizeof(names[i]), "f%u", from + i);
		functions[i].function_name = names[i];
		functions[i].version = (char *)(*request->function_version ? "7" : "$LATEST");
		page.n_functions++;
	}
	if (from + 2 < 5)
		(void)snprintf(marker, sizeof(marker), "%u", from + 2);
	page.functions = pointers;
	page.next_marker = marker;
	rpc_call_reply(call, &page.base);
}

static void add_phases(struct rpc_call *call)
{
	Mayfly__V1__Phases phases = MAYFLY__V1__PHASES__INIT;
	uint8_t bytes[256];
	char id[32];

	phases.start_kind = MAYFLY__V1__START_KIND__START_KIND_SPARE;
	phases.total_us = 4200;
	phases.handler_us = 3100;
	phases.guest_us = 3000;
	(void)snprintf(id, sizeof(id), "%02u23456789abcdef", node.invokes++ % 100);
	phases.sandbox_id = id;
	size_t n = mayfly__v1__phases__pack(&phases, bytes);
	assert_int_equal(rpc_call_add_trailer(call, "mayfly-phases-bin", slice_new(bytes, n)), 0);
}

static void on_invoke(struct rpc_call *call, const ProtobufCMessage *message, void *user _unused_)
{
	const Mayfly__V1__InvokeRequest *request = (const Mayfly__V1__InvokeRequest *)message;
	Mayfly__V1__InvokeResponse response = MAYFLY__V1__INVOKE_RESPONSE__INIT;

	remember(message);
	response.status_code = 200;
	response.executed_version = (char *)"$LATEST";
	response.request_id = (char *)"11111111-2222-4333-8444-555555555555";
	response.payload = request->payload;
	if (strcmp(request->function_name, "raises") == 0)
		response.function_error = (char *)"Unhandled";
	add_phases(call);
	rpc_call_reply(call, &response.base);
}

static unsigned stream_step;

static void stream_next(void *arg)
{
	Mayfly__V1__InvokeStreamResponse part = MAYFLY__V1__INVOKE_STREAM_RESPONSE__INIT;
	Mayfly__V1__InvokeComplete complete = MAYFLY__V1__INVOKE_COMPLETE__INIT;

	if (stream_step == 3) {
		add_phases(arg);
		rpc_call_finish(arg);
		return;
	}
	if (stream_step < 2) {
		part.event_case = MAYFLY__V1__INVOKE_STREAM_RESPONSE__EVENT_PAYLOAD_CHUNK;
		part.payload_chunk =
			(ProtobufCBinaryData){ 3, (uint8_t *)(stream_step ? "two" : "one") };
	} else {
		part.event_case = MAYFLY__V1__INVOKE_STREAM_RESPONSE__EVENT_COMPLETE;
		part.complete = &complete;
	}
	stream_step++;
	assert_int_equal(rpc_call_send(arg, &part.base), 0);
}

static void on_stream(struct rpc_call *call, const ProtobufCMessage *message, void *user _unused_)
{
	remember(message);
	stream_step = 0;
	rpc_call_set_writable(call, stream_next, call);
	stream_next(call);
}

static void watcher_gone(void *arg _unused_)
{
	rpc_call_finish(node.watcher);
	node.watcher = NULL;
}

static void watcher_push(void *arg _unused_)
{
	Mayfly__V1__NodeEvent event = MAYFLY__V1__NODE_EVENT__INIT;
	Mayfly__V1__Gauges gauges = MAYFLY__V1__GAUGES__INIT;

	event.event_case = MAYFLY__V1__NODE_EVENT__EVENT_GAUGES;
	event.gauges = &gauges;
	(void)(rpc_call_send(node.watcher, &event.base) == 0);
}

static void on_watch(struct rpc_call *call, const ProtobufCMessage *message _unused_,
		     void *user _unused_)
{
	node.watcher = call;
	rpc_call_set_cancelled(call, watcher_gone, NULL);
	rpc_call_set_writable(call, watcher_push, NULL);
	watcher_push(NULL);
}

static void on_logs(struct rpc_call *call, const ProtobufCMessage *message, void *user _unused_)
{
	Mayfly__V1__GetLogEventsResponse page = MAYFLY__V1__GET_LOG_EVENTS_RESPONSE__INIT;
	Mayfly__V1__LogEvent event = MAYFLY__V1__LOG_EVENT__INIT;
	Mayfly__V1__LogEvent *events[] = { &event };
	bool second = *((const Mayfly__V1__GetLogEventsRequest *)message)->next_token;

	remember(message);
	event.message = (char *)(second ? "REPORT" : "START");
	event.timestamp_us = 1764037614123456;
	page.events = events;
	page.n_events = 1;
	page.next_token = (char *)(second ? "" : "more");
	rpc_call_reply(call, &page.base);
}

static void on_delete(struct rpc_call *call, const ProtobufCMessage *message _unused_,
		      void *user _unused_)
{
	Mayfly__V1__DeleteFunctionResponse response = MAYFLY__V1__DELETE_FUNCTION_RESPONSE__INIT;
	gate_add(&node.deleted, 1);
	rpc_call_reply(call, &response.base);
}

/* Version 3, Pending until it is asked for. */
static void on_publish(struct rpc_call *call, const ProtobufCMessage *message, void *user _unused_)
{
	Mayfly__V1__Function version = MAYFLY__V1__FUNCTION__INIT;

	(void)gate_value(&node.remembered);
	node.gets = 0;
	remember(message);
	version.function_name = (char *)"f";
	version.version = (char *)"3";
	version.state = MAYFLY__V1__FUNCTION_STATE__FUNCTION_STATE_PENDING;
	rpc_call_reply(call, &version.base);
}

/* $LATEST and version 1, a page each. */
static void on_versions(struct rpc_call *call, const ProtobufCMessage *message, void *user _unused_)
{
	const Mayfly__V1__ListVersionsByFunctionRequest *request =
		(const Mayfly__V1__ListVersionsByFunctionRequest *)message;
	Mayfly__V1__ListVersionsByFunctionResponse page =
		MAYFLY__V1__LIST_VERSIONS_BY_FUNCTION_RESPONSE__INIT;
	Mayfly__V1__Function version = MAYFLY__V1__FUNCTION__INIT, *pointer = &version;

	version.function_name = request->function_name;
	version.version = (char *)(*request->marker ? "1" : "$LATEST");
	page.versions = &pointer;
	page.n_versions = 1;
	page.next_marker = (char *)(*request->marker ? "" : "a");
	rpc_call_reply(call, &page.base);
}

static void fill_alias(Mayfly__V1__Alias *alias)
{
	static Mayfly__V1__AliasRoutingConfiguration routing =
		MAYFLY__V1__ALIAS_ROUTING_CONFIGURATION__INIT;
	static Mayfly__V1__AliasRoutingConfiguration__AdditionalVersionWeightsEntry weight =
		MAYFLY__V1__ALIAS_ROUTING_CONFIGURATION__ADDITIONAL_VERSION_WEIGHTS_ENTRY__INIT;
	static Mayfly__V1__AliasRoutingConfiguration__AdditionalVersionWeightsEntry *weights[] = {
		&weight
	};

	mayfly__v1__alias__init(alias);
	weight.key = (char *)"2";
	weight.value = 0.25;
	routing.additional_version_weights = weights;
	routing.n_additional_version_weights = 1;
	alias->alias_arn = (char *)"arn:aws:lambda:us-east-1:000000000000:function:f:live";
	alias->name = (char *)"live";
	alias->function_version = (char *)"1";
	alias->routing_config = &routing;
}

static void on_alias(struct rpc_call *call, const ProtobufCMessage *message, void *user _unused_)
{
	Mayfly__V1__Alias alias;

	remember(message);
	fill_alias(&alias);
	rpc_call_reply(call, &alias.base);
}

static void on_aliases(struct rpc_call *call, const ProtobufCMessage *message, void *user _unused_)
{
	Mayfly__V1__ListAliasesResponse page = MAYFLY__V1__LIST_ALIASES_RESPONSE__INIT;
	Mayfly__V1__Alias alias, *pointer = &alias;

	remember(message);
	fill_alias(&alias);
	page.aliases = &pointer;
	page.n_aliases = 1;
	rpc_call_reply(call, &page.base);
}

static void on_delete_alias(struct rpc_call *call, const ProtobufCMessage *message,
			    void *user _unused_)
{
	Mayfly__V1__DeleteAliasResponse response = MAYFLY__V1__DELETE_ALIAS_RESPONSE__INIT;

	remember(message);
	rpc_call_reply(call, &response.base);
}

static void on_policy(struct rpc_call *call, const ProtobufCMessage *message, void *user _unused_)
{
	Mayfly__V1__SetStartPolicyResponse response = MAYFLY__V1__SET_START_POLICY_RESPONSE__INIT;
	const Mayfly__V1__SetStartPolicyRequest *request =
		(const Mayfly__V1__SetStartPolicyRequest *)message;
	assert_true(request->end_idle_sandboxes);
	rpc_call_reply(call, &response.base);
}

static void on_get_node(struct rpc_call *call, const ProtobufCMessage *message _unused_,
			void *user _unused_)
{
	Mayfly__V1__Node answer = MAYFLY__V1__NODE__INIT;
	answer.accelerator = MAYFLY__V1__ACCELERATOR__ACCELERATOR_TCG;
	answer.cpu_model = (char *)"A CPU";
	answer.state_dir = (char *)"/the/state";
	answer.images_dir = (char *)"/the/images";
	rpc_call_reply(call, &answer.base);
}

/* Three sandboxes of 10, 20 and 30 MiB. Two are stopped: one is this process as far as /proc can
 * tell, the other lives elsewhere. */
static void on_sandboxes(struct rpc_call *call, const ProtobufCMessage *message _unused_,
			 void *user _unused_)
{
	Mayfly__V1__ListSandboxesResponse list = MAYFLY__V1__LIST_SANDBOXES_RESPONSE__INIT;
	Mayfly__V1__Sandbox sandboxes[3];
	Mayfly__V1__Sandbox *pointers[] = { &sandboxes[0], &sandboxes[1], &sandboxes[2] };

	for (unsigned i = 0; i < 3; i++) {
		mayfly__v1__sandbox__init(&sandboxes[i]);
		sandboxes[i].anonymous_bytes = (30 - i * 10) << 20;
		sandboxes[i].sandbox_id =
			i == 0 ? program_invocation_short_name : (char *)"not here";
		sandboxes[i].pid = (uint32_t)getpid();
		sandboxes[i].state = i < 2 ? MAYFLY__V1__SANDBOX_STATE__SANDBOX_STATE_FROZEN
					   : MAYFLY__V1__SANDBOX_STATE__SANDBOX_STATE_BUSY;
	}
	list.sandboxes = pointers;
	list.n_sandboxes = 3;
	rpc_call_reply(call, &list.base);
}

/* Two pages of a row each. */
static void on_usage_query(struct rpc_call *call, const ProtobufCMessage *message,
			   void *user _unused_)
{
	Mayfly__V1__QueryUsageResponse page = MAYFLY__V1__QUERY_USAGE_RESPONSE__INIT;
	Mayfly__V1__UsageFigures figures = MAYFLY__V1__USAGE_FIGURES__INIT;
	Mayfly__V1__Money cost = MAYFLY__V1__MONEY__INIT;
	Mayfly__V1__UsageRow row = MAYFLY__V1__USAGE_ROW__INIT;
	Mayfly__V1__UsageRow *rows[] = { &row };
	bool second = *((const Mayfly__V1__QueryUsageRequest *)message)->marker;

	remember(message);
	figures.invocations = second ? 1 : 3;
	figures.billed_mb_ms = 1536000;
	cost.units = 12;
	cost.picos = 500020000000;
	row.function_name = (char *)(second ? "g" : "f");
	row.begins_us = 1795564800000000; /* 2026-11-25 */
	row.figures = &figures;
	row.cost = &cost;
	page.rows = rows;
	page.n_rows = 1;
	page.total = &row;
	page.next_marker = (char *)(second ? "" : "1");
	rpc_call_reply(call, &page.base);
}

/* One figure is not as it should be, nor the CPU time of one version. */
static void on_usage_reconcile(struct rpc_call *call, const ProtobufCMessage *message _unused_,
			       void *user _unused_)
{
	Mayfly__V1__ReconcileUsageResponse sums = MAYFLY__V1__RECONCILE_USAGE_RESPONSE__INIT;
	Mayfly__V1__UsageDifference difference = MAYFLY__V1__USAGE_DIFFERENCE__INIT;
	Mayfly__V1__UsageDifference *differences[] = { &difference };
	Mayfly__V1__UsageFigures figures = MAYFLY__V1__USAGE_FIGURES__INIT;
	Mayfly__V1__UsageRow row = MAYFLY__V1__USAGE_ROW__INIT;
	Mayfly__V1__UsageCpu cpu = MAYFLY__V1__USAGE_CPU__INIT, fine = MAYFLY__V1__USAGE_CPU__INIT;
	Mayfly__V1__UsageCpu *cpus[] = { &cpu, &fine };
	char *names[] = { (char *)"billed_ms" };

	row.function_name = (char *)"f";
	row.figures = &figures;
	difference.counted = difference.claimed = &row;
	difference.claimed_by = (char *)"rollup";
	difference.figures = names;
	difference.n_figures = 1;
	sums.differences = differences;
	sums.n_differences = 1;
	cpu.tenant = (char *)"123456789012";
	cpu.function_name = (char *)"f";
	cpu.version = (char *)"7";
	cpu.difference = (char *)"more CPU time than was billed";
	cpu.serve_us = 2500000;
	cpu.billed_ms = 12;
	fine.version = (char *)"8";
	sums.cpu = cpus;
	sums.n_cpu = sums.cpu_versions = 2;
	sums.cpu_differences = 1;
	sums.difference_count = 2;
	sums.sandboxes_counted = 3;
	sums.sandboxes_uncounted = 1;
	rpc_call_reply(call, &sums.base);
}

/* The template is there already. */
static void on_build(struct rpc_call *call, const ProtobufCMessage *message _unused_,
		     void *user _unused_)
{
	rpc_call_finish(call);
}

static void node_stopped(void *arg _unused_)
{
	gate_add(&node.stopped, 1);
}

static void node_shutdown(void *arg _unused_)
{
	rpc_server_shutdown(node.server, 1000, node_stopped, NULL);
}

static int start_node(void **state _unused_)
{
	static const struct rpc_method_handler functions[] = { { "Create", on_create },
							       { "Get", on_get },
							       { "List", on_list },
							       { "UpdateCode", on_update },
							       { "UpdateConfiguration", on_update },
							       { "Delete", on_delete },
							       { "PublishVersion", on_publish },
							       { "ListVersionsByFunction",
								 on_versions },
							       { 0 } };
	static const struct rpc_method_handler aliases[] = {
		{ "Create", on_alias }, { "Get", on_alias },           { "List", on_aliases },
		{ "Update", on_alias }, { "Delete", on_delete_alias }, { 0 }
	};
	static const struct rpc_method_handler invoke[] = { { "Invoke", on_invoke },
							    { "InvokeStream", on_stream },
							    { 0 } };
	static const struct rpc_method_handler logs[] = { { "Get", on_logs }, { 0 } };
	static const struct rpc_method_handler nodes[] = { { "Watch", on_watch },
							   { "GetNode", on_get_node },
							   { "ListSandboxes", on_sandboxes },
							   { "SetStartPolicy", on_policy },
							   { 0 } };
	static const struct rpc_method_handler usage[] = { { "Query", on_usage_query },
							   { "Reconcile", on_usage_reconcile },
							   { 0 } };
	static const struct rpc_method_handler templates[] = { { "Build", on_build }, { 0 } };
	const struct rpc_server_options options = { .post = test_loop_post,
						    .post_ctx = &node.loop };
	const struct gate gate = GATE_INIT;
	char path[96];

	node.stopped = node.remembered = node.deleted = gate;
	(void)snprintf(node.dir, sizeof(node.dir), "/tmp/mayfly-cli-XXXXXX");
	assert_non_null(mkdtemp(node.dir));
	(void)snprintf(path, sizeof(path), "%s/sock", node.dir);
	(void)snprintf(node.address, sizeof(node.address), "unix:%s", path);
	test_loop_start(&node.loop);
	assert_int_equal(rpc_server_new(&options, &node.server, NULL), 0);
	assert_int_equal(rpc_server_add_service(node.server,
						&mayfly__v1__function_service__descriptor,
						functions, NULL, NULL),
			 0);
	assert_int_equal(rpc_server_add_service(node.server, &mayfly__v1__alias_service__descriptor,
						aliases, NULL, NULL),
			 0);
	assert_int_equal(rpc_server_add_service(node.server,
						&mayfly__v1__invoke_service__descriptor, invoke,
						NULL, NULL),
			 0);
	assert_int_equal(rpc_server_add_service(node.server, &mayfly__v1__log_service__descriptor,
						logs, NULL, NULL),
			 0);
	assert_int_equal(rpc_server_add_service(node.server, &mayfly__v1__node_service__descriptor,
						nodes, NULL, NULL),
			 0);
	assert_int_equal(rpc_server_add_service(node.server,
						&mayfly__v1__template_service__descriptor,
						templates, NULL, NULL),
			 0);
	assert_int_equal(rpc_server_add_service(node.server, &mayfly__v1__usage_service__descriptor,
						usage, NULL, NULL),
			 0);
	assert_int_equal(rpc_server_listen_unix(node.server, path, 0600, (gid_t)-1, NULL), 0);
	assert_int_equal(rpc_server_start(node.server, NULL), 0);
	return 0;
}

static int stop_node(void **state _unused_)
{
	test_loop_post(&node.loop, node_shutdown, NULL);
	assert_true(gate_wait(&node.stopped, 1, GATE_LIMIT_S));
	(void)rpc_server_free(node.server);
	test_loop_stop(&node.loop);
	protobuf_c_message_free_unpacked(node.last, NULL);
	assert_int_equal(fs_remove_tree(node.dir), 0);
	return 0;
}

/* -- running a command -- */

struct output {
	int code;
	struct buf out, err;
};

static int redirect(int fd, const char *path)
{
	int saved = dup(fd);
	int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(saved >= 0 && file >= 0);
	assert_int_equal(dup2(file, fd), fd);
	(void)close(file);
	return saved;
}

static void restore(int fd, int saved, const char *path, struct buf *text)
{
	assert_int_equal(dup2(saved, fd), fd);
	(void)close(saved);
	assert_int_equal(fs_read_file(path, 1 << 20, text), 0);
}

#define MAX_WORDS 40

/* Words after "mayfly", NULL at the end. */
static struct output run(const char *first, ...)
{
	char *argv[MAX_WORDS + 4] = { (char *)"mayfly", (char *)first };
	char out[96], err[96];
	struct output output = { 0 };
	(void)gate_value(&node.remembered); /* what the test has read, it has read before this */
	int argc = 2, words = 0;
	va_list ap;

	va_start(ap, first);
	while (argc < MAX_WORDS && (argv[argc] = va_arg(ap, char *)))
		argc++;
	va_end(ap);
	argv[argc++] = (char *)"--address";
	argv[argc++] = node.address;
	argv[argc] = NULL;

	const struct verb *verb = verb_find(argc - 1, argv + 1, &words);
	assert_non_null(verb);
	(void)snprintf(out, sizeof(out), "%s/out", node.dir);
	(void)snprintf(err, sizeof(err), "%s/err", node.dir);
	(void)fflush(stdout);
	int saved_out = redirect(STDOUT_FILENO, out), saved_err = redirect(STDERR_FILENO, err);
	output.code = verb_run(verb, argc - words, argv + words);
	(void)fflush(stdout);
	restore(STDOUT_FILENO, saved_out, out, &output.out);
	restore(STDERR_FILENO, saved_err, err, &output.err);
	return output;
}

static void output_free(struct output *output)
{
	buf_free(&output->out);
	buf_free(&output->err);
}
#define _cleanup_output_ _cleanup_(output_free)

static _unused_ json_t *parse(const struct output *output)
{
	json_error_t where;
	json_t *json = json_loads(buf_string(&output->out), JSON_DECODE_ANY, &where);
	if (!json)
		fail_msg("not JSON: %s", buf_string(&output->out));
	return json;
}

static void _unused_ write_file(const char *name, const char *text)
{
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/%s", node.dir, name);
	assert_int_equal(fs_write_file_atomic(path, slice_from_string(text), 0644), 0);
}
