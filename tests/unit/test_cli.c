/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_cli mayfly_rpc

/* The command line against a scripted node: what reaches the node, what is printed, and the exit
 * code. */

#include "rpc_harness.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <sys/stat.h>

#include "cli/bench.h"
#include "cli/package.h"
#include "cli/shorthand.h"
#include "cli/verb.h"
#include "mayfly/fs.h"

#include <mayfly/v1/invoke.pb-c.h>
#include <mayfly/v1/node.pb-c.h>

volatile sig_atomic_t interrupted;

struct node {
	struct test_loop loop;
	struct rpc_server *server;
	struct gate stopped, remembered;
	char dir[64], address[128];
	ProtobufCMessage *last; /* owned; a copy of the last request */
	unsigned gets;          /* of the loop, as is what follows */
	unsigned invokes;
	struct gate deleted;
	struct rpc_call *watcher;
};

static struct node node;

/* The gate orders what the loop wrote before what the test reads, and the other way round. */
static const void *last_request(void)
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

static void answer_function(struct rpc_call *call, const char *name, int state)
{
	Mayfly__V1__Function function = MAYFLY__V1__FUNCTION__INIT;
	Mayfly__V1__EnvironmentVariable variable = MAYFLY__V1__ENVIRONMENT_VARIABLE__INIT;
	Mayfly__V1__EnvironmentVariable *variables[] = { &variable };

	variable.key = (char *)"STAGE";
	variable.value = (char *)"test";
	function.environment = variables;
	function.n_environment = 1;
	function.function_name = (char *)name;
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
	node.gets = 0;
	remember(request);
	answer_function(call, ((const Mayfly__V1__CreateFunctionRequest *)request)->function_name,
			MAYFLY__V1__FUNCTION_STATE__FUNCTION_STATE_PENDING);
}

static void on_update(struct rpc_call *call, const ProtobufCMessage *request, void *user _unused_)
{
	remember(request);
	answer_function(call, "f", MAYFLY__V1__FUNCTION_STATE__FUNCTION_STATE_ACTIVE);
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
	int settled = strcmp(name, "broken") == 0 ? 4 : 2;
	answer_function(call, name, node.gets++ == 0 ? 1 : settled);
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
		sandboxes[i].sandbox_id = (char *)(i == 0 ? "test_cli" : "not here");
		sandboxes[i].pid = (uint32_t)getpid();
		sandboxes[i].state = i < 2 ? MAYFLY__V1__SANDBOX_STATE__SANDBOX_STATE_FROZEN
					   : MAYFLY__V1__SANDBOX_STATE__SANDBOX_STATE_BUSY;
	}
	list.sandboxes = pointers;
	list.n_sandboxes = 3;
	rpc_call_reply(call, &list.base);
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
							       { 0 } };
	static const struct rpc_method_handler invoke[] = { { "Invoke", on_invoke },
							    { "InvokeStream", on_stream },
							    { 0 } };
	static const struct rpc_method_handler logs[] = { { "Get", on_logs }, { 0 } };
	static const struct rpc_method_handler nodes[] = { { "Watch", on_watch },
							   { "GetNode", on_get_node },
							   { "ListSandboxes", on_sandboxes },
							   { "SetStartPolicy", on_policy },
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
	(void)last_request();
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

static json_t *parse(const struct output *output)
{
	json_error_t where;
	json_t *json = json_loads(buf_string(&output->out), JSON_DECODE_ANY, &where);
	if (!json)
		fail_msg("not JSON: %s", buf_string(&output->out));
	return json;
}

/* -- the tests -- */

static void write_file(const char *name, const char *text)
{
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/%s", node.dir, name);
	assert_int_equal(fs_write_file_atomic(path, slice_from_string(text), 0644), 0);
}

static void test_create_sends_everything(void **state _unused_)
{
	char zip[128];
	(void)snprintf(zip, sizeof(zip), "fileb://%s/code.zip", node.dir);
	write_file("code.zip", "PK-like");
	_cleanup_output_ struct output o =
		run("function", "create", "f", "--zip-file", zip, "--runtime", "python3.13",
		    "--handler", "a.b", "--memory-size", "256", "--timeout=7", "--environment",
		    "Variables={A=1,B='x,y'}", "--ephemeral-storage", "Size=1024", "--snap-start",
		    "ApplyOn=Latest", "-o", "json", NULL);
	assert_int_equal(o.code, 0);

	const Mayfly__V1__CreateFunctionRequest *r = last_request();
	assert_string_equal(r->function_name, "f");
	assert_string_equal(r->handler, "a.b");
	assert_int_equal(r->memory_size_mb, 256);
	assert_int_equal(r->timeout_seconds, 7);
	assert_int_equal(r->ephemeral_storage_mb, 1024);
	assert_int_equal(r->zip_file.len, 7);
	assert_int_equal(r->n_environment, 2);
	assert_string_equal(r->environment[1]->key, "B");
	assert_string_equal(r->environment[1]->value, "x,y");
	assert_int_equal(r->snap_start->apply_on, 3);
	assert_null(r->logging_config);

	/* It was Pending at first and is printed as it is now. */
	json_t *json = parse(&o);
	assert_string_equal(json_string_value(json_object_get(json, "State")), "Active");
	assert_string_equal(json_string_value(json_object_get(json, "FunctionName")), "f");
	assert_string_equal(json_string_value(json_object_get(json, "LastModified")),
			    "2025-11-25T02:26:54.123+0000");
	assert_int_equal(json_integer_value(json_object_get(json, "MemorySize")), 128);
	json_t *variables = json_object_get(json_object_get(json, "Environment"), "Variables");
	assert_string_equal(json_string_value(json_object_get(variables, "STAGE")), "test");
	assert_null(json_object_get(json, "StateReason"));
	json_decref(json);
}

static void test_create_without_waiting(void **state _unused_)
{
	char zip[128];
	(void)snprintf(zip, sizeof(zip), "%s/code.zip", node.dir);
	write_file("code.zip", "PK");
	_cleanup_output_ struct output o =
		run("function", "create", "--function-name", "f", "--zip", zip, "--no-wait", NULL);
	assert_int_equal(o.code, 0);
	assert_non_null(strstr(buf_string(&o.out), "Pending"));
	(void)last_request();
	assert_int_equal(node.gets, 0);
}

static void test_create_that_fails(void **state _unused_)
{
	char zip[128];
	(void)snprintf(zip, sizeof(zip), "%s/code.zip", node.dir);
	write_file("code.zip", "PK");
	_cleanup_output_ struct output o = run("function", "create", "broken", "--zip", zip, NULL);
	assert_int_equal(o.code, 6);
	assert_non_null(strstr(buf_string(&o.err), "broken is Failed: no disk (InternalError)"));
}

static void test_wrong_options(void **state _unused_)
{
	static const char *const cases[][5] = {
		{ "function", "create", "f", NULL },      /* no code */
		{ "function", "create", NULL },           /* no name */
		{ "function", "create", "f", "g", NULL }, /* too many */
		{ "function", "update-configuration", "f", "--timeout=-1", NULL },
		{ "function", "update-configuration", "f", "--memory-size=1x", NULL },
		{ "function", "update-configuration", "f", "--environment=A=1", NULL },
		{ "function", "update-configuration", "f", "--environment={", NULL },
		{ "function", "update-configuration", "f", "--snap-start=ApplyOn=No", NULL },
		{ "function", "update-configuration", "f", "--runtime=cobol", NULL },
		{ "function", "update-configuration", "f", "--nonsense", NULL },
		{ "invoke", "f", "--payload=@/nonexistent", NULL },
		{ "logs", "f", "--since=yesterday", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_output_ struct output o =
			run(cases[i][0], cases[i][1], cases[i][2], cases[i][3], cases[i][4], NULL);
		assert_int_equal(o.code, 2);
		assert_true(o.err.len > 0);
	}
}

static void test_update_configuration_sends_what_was_named(void **state _unused_)
{
	_cleanup_output_ struct output o =
		run("function", "update-configuration", "f", "--description", "", "--environment",
		    "{\"Variables\": {}}", "--log-format", "JSON", NULL);
	assert_int_equal(o.code, 0);
	const Mayfly__V1__UpdateFunctionConfigurationRequest *r = last_request();
	assert_int_not_equal(r->_description_case, 0);
	assert_int_equal(r->_memory_size_mb_case, 0);
	assert_non_null(r->environment);
	assert_int_equal(r->environment->n_variables, 0);
	assert_int_equal(r->logging_config->log_format, 2);
	assert_null(r->snap_start);
}

static void test_not_found(void **state _unused_)
{
	_cleanup_output_ struct output o = run("function", "get", "missing", NULL);
	assert_int_equal(o.code, 3);
	assert_string_equal(buf_string(&o.err),
			    "mayfly: ResourceNotFoundException: Function not found: missing\n");
	assert_int_equal(o.out.len, 0);
}

static void test_list_follows_pages(void **state _unused_)
{
	_cleanup_output_ struct output all = run("function", "list", "-o", "json", NULL);
	_cleanup_output_ struct output three =
		run("function", "list", "--max-items", "3", "-o", "json", NULL);
	json_t *json = parse(&all);
	assert_int_equal(json_array_size(json_object_get(json, "Functions")), 5);
	assert_null(json_object_get(json, "NextMarker"));
	json_decref(json);
	json = parse(&three);
	assert_int_equal(json_array_size(json_object_get(json, "Functions")), 3);
	json_decref(json);
}

static void test_invoke(void **state _unused_)
{
	_cleanup_output_ struct output o =
		run("invoke", "f", "--payload", "{\"a\":1}", "--log", "tail", NULL);
	assert_int_equal(o.code, 0);
	assert_string_equal(buf_string(&o.out), "{\"a\":1}");
	assert_int_equal(o.err.len, 0);
	const Mayfly__V1__InvokeRequest *r = last_request();
	assert_int_equal(r->log_type, MAYFLY__V1__LOG_TYPE__LOG_TYPE_TAIL);
}

static void test_invoke_from_file(void **state _unused_)
{
	char at[128];
	write_file("event.json", "{\"from\": \"file\"}");
	(void)snprintf(at, sizeof(at), "@%s/event.json", node.dir);
	_cleanup_output_ struct output o = run("invoke", "f", "-p", at, NULL);
	assert_string_equal(buf_string(&o.out), "{\"from\": \"file\"}");
}

static void test_invoke_shows_phases(void **state _unused_)
{
	_cleanup_output_ struct output o = run("invoke", "f", "-v", NULL);
	assert_non_null(strstr(buf_string(&o.err), "Start     Spare, sandbox "));
	assert_non_null(strstr(buf_string(&o.err), "handler      3.100"));
	assert_non_null(strstr(buf_string(&o.err), "total        4.200"));
}

static void test_invoke_function_error(void **state _unused_)
{
	_cleanup_output_ struct output o =
		run("invoke", "raises", "--payload", "{\"errorType\":\"E\"}", NULL);
	assert_int_equal(o.code, 8);
	assert_string_equal(buf_string(&o.out), "{\"errorType\":\"E\"}");
	assert_non_null(strstr(buf_string(&o.err), "function error: Unhandled"));
}

static void test_invoke_json(void **state _unused_)
{
	_cleanup_output_ struct output o =
		run("invoke", "raises", "--payload", "{\"x\": [1]}", "-o", "json", NULL);
	assert_int_equal(o.code, 8);
	json_t *json = parse(&o);
	assert_int_equal(json_integer_value(json_object_get(json, "StatusCode")), 200);
	assert_string_equal(json_string_value(json_object_get(json, "FunctionError")), "Unhandled");
	assert_true(json_is_array(json_object_get(json_object_get(json, "Payload"), "x")));
	json_t *phases = json_object_get(json, "Phases");
	assert_string_equal(json_string_value(json_object_get(phases, "start_kind")), "Spare");
	json_decref(json);
}

static void test_invoke_stream(void **state _unused_)
{
	_cleanup_output_ struct output o = run("invoke", "f", "--stream", "-v", NULL);
	assert_int_equal(o.code, 0);
	assert_string_equal(buf_string(&o.out), "onetwo");
	assert_non_null(strstr(buf_string(&o.err), "Spare"));
}

static void test_logs(void **state _unused_)
{
	_cleanup_output_ struct output o = run("logs", "/aws/lambda/f", "--since", "10m", NULL);
	assert_string_equal(buf_string(&o.out), "START\nREPORT\n");
	const Mayfly__V1__GetLogEventsRequest *r = last_request();
	assert_string_equal(r->log_group_name, "/aws/lambda/f");
	int64_t back = clock_realtime_us() - r->start_time_us;
	assert_in_range(back, 600 * USEC_PER_SEC, 660 * USEC_PER_SEC);
	_cleanup_output_ struct output timed = run("logs", "f", "-t", NULL);
	assert_non_null(strstr(buf_string(&timed.out), "2025-11-25T02:26:54.123Z START"));
}

static void test_unreachable_node(void **state _unused_)
{
	struct output o = { 0 };
	char *argv[] = { (char *)"node", (char *)"--address", (char *)"unix:/nonexistent/sock",
			 NULL };
	char err[96];
	int words = 0;
	const struct verb *verb = verb_find(1, argv, &words);

	(void)snprintf(err, sizeof(err), "%s/err", node.dir);
	int saved = redirect(STDERR_FILENO, err);
	o.code = verb_run(verb, 3, argv);
	restore(STDERR_FILENO, saved, err, &o.err);
	assert_int_equal(o.code, 6);
	assert_non_null(strstr(buf_string(&o.err), "Cannot reach the node"));
	output_free(&o);
}

/* Folders give the same bytes again, and keep links and executable bits. */
static void test_package_of_a_folder(void **state _unused_)
{
	_cleanup_buf_ struct buf one = BUF_INIT, two = BUF_INIT;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/code/lib", node.dir);
	assert_int_equal(fs_make_directories(path, 0755), 0);
	write_file("code/lib/b.py", "b = 1\n");
	write_file("code/a.py", "a = 1\n");
	(void)snprintf(path, sizeof(path), "%s/code/a.py", node.dir);
	assert_int_equal(chmod(path, 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/code/link", node.dir);
	assert_int_equal(symlink("a.py", path), 0);
	(void)snprintf(path, sizeof(path), "%s/code/", node.dir);
	assert_int_equal(package_from_directory(path, &one, NULL), 0);
	assert_int_equal(package_from_directory(path, &two, NULL), 0);
	assert_int_equal(one.len, two.len);
	assert_memory_equal(one.data, two.data, one.len);

	static const struct {
		const char *name;
		mode_t mode;
	} wanted[] = { { "a.py", 0755 }, { "lib/b.py", 0644 }, { "link", 0777 } };
	struct archive *zip = archive_read_new();
	struct archive_entry *entry;
	assert_int_equal(archive_read_support_format_zip(zip), ARCHIVE_OK);
	assert_int_equal(archive_read_open_memory(zip, one.data, one.len), ARCHIVE_OK);
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		assert_int_equal(archive_read_next_header(zip, &entry), ARCHIVE_OK);
		assert_string_equal(archive_entry_pathname(entry), wanted[i].name);
		assert_int_equal(archive_entry_perm(entry), wanted[i].mode);
	}
	assert_int_equal(archive_read_next_header(zip, &entry), ARCHIVE_EOF);
	assert_int_equal(archive_read_free(zip), ARCHIVE_OK);
}

static void test_shorthand(void **state _unused_)
{
	static const struct {
		const char *text, *json; /* NULL: refused */
	} cases[] = {
		{ "A=1", "{\"A\":\"1\"}" },
		{ "A=1,B=two words", "{\"A\":\"1\",\"B\":\"two words\"}" },
		{ "V={A=1,B=\"x,}y\"},C=", "{\"V\":{\"A\":\"1\",\"B\":\"x,}y\"},\"C\":\"\"}" },
		{ "V={}", "{\"V\":{}}" },
		{ " {\"A\": {\"b\": 2}}", "{\"A\":{\"b\":2}}" },
		{ "A", NULL },
		{ "=1", NULL },
		{ "V={A=1", NULL },
		{ "V={A=1}}", NULL },
		{ "A='x", NULL },
		{ "[1]", NULL },
		{ "A={A={A={A={A={A=1}}}}}", NULL },
		{ "file:///nonexistent", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *json = NULL;
		int r = shorthand_parse("x", cases[i].text, &json, NULL);
		if (!cases[i].json) {
			assert_true(r < 0);
			continue;
		}
		assert_int_equal(r, 0);
		char *text = json_dumps(json, JSON_COMPACT);
		assert_string_equal(text, cases[i].json);
		free(text);
		json_decref(json);
	}
}

static void test_nearest_rank(void **state _unused_)
{
	static const int64_t values[] = { 15, 20, 35, 40, 50 };
	static const struct {
		double p;
		int64_t value;
	} cases[] = { { 0, 15 }, { 5, 15 }, { 30, 20 }, { 40, 20 }, { 50, 35 }, { 100, 50 } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(nearest_rank(values, 5, cases[i].p), cases[i].value);
}

static int64_t integer_at(const json_t *json, const char *name)
{
	const json_t *value = json_object_get(json, name);
	assert_true(json_is_integer(value));
	return json_integer_value(value);
}

/* The node says Spare to everything: right in one mode, discarded in the other. */
static void test_bench_cold_start(void **state _unused_)
{
	char samples[128];
	_cleanup_buf_ struct buf lines = BUF_INIT;
	int deleted = gate_value(&node.deleted);

	(void)snprintf(samples, sizeof(samples), "%s/samples", node.dir);
	_cleanup_output_ struct output o = run("bench", "cold-start", "--mode", "spare,restore",
					       "-n", "3", "--samples", samples, "-o", "json", NULL);
	assert_int_equal(o.code, 0);
	assert_int_equal(gate_value(&node.deleted), deleted + 2);
	json_t *json = parse(&o);
	json_t *modes = json_object_get(json, "modes");
	json_t *spare = json_object_get(modes, "spare"), *other = json_object_get(modes, "restore");
	assert_int_equal(json_object_size(modes), 2);
	assert_int_equal(integer_at(spare, "n"), 3);
	assert_int_equal(integer_at(spare, "discarded"), 0);
	assert_true(json_is_real(json_object_get(spare, "p50_ms")));
	assert_true(json_is_real(json_object_get(spare, "max_ms")));
	assert_null(json_object_get(spare, "p99_ms"));
	json_t *phases = json_object_get(spare, "phases_ms");
	assert_true(json_real_value(json_object_get(phases, "handler")) == 3.1);
	assert_int_equal(integer_at(other, "n"), 0);
	assert_int_equal(integer_at(other, "discarded"), 9);
	assert_null(json_object_get(other, "p50_ms"));
	json_t *host = json_object_get(json, "host");
	assert_string_equal(json_string_value(json_object_get(host, "Accelerator")), "TCG");
	json_decref(json);

	unsigned n = 0;
	assert_int_equal(fs_read_file(samples, 1 << 20, &lines), 0);
	for (const char *p = buf_string(&lines); (p = strchr(p, '\n')); p++)
		n++;
	assert_int_equal(n, 12);
}

/* A program in the place of mayfly-raw-qemu, which notes how it was called. */
static void write_raw_program(const char *last_line)
{
	char path[96], script[512];

	(void)snprintf(path, sizeof(path), "%s/raw", node.dir);
	int n = snprintf(script, sizeof(script),
			 "#!/bin/sh\necho \"$@\" >%s/raw.args\nhead -c 2 <$2 >>%s/raw.args\n%s\n",
			 node.dir, node.dir, last_line);
	assert_int_equal(fs_write_file_atomic(path, slice_new(script, (size_t)n), 0700), 0);
	assert_int_equal(setenv("MAYFLY_RAW_QEMU", path, 1), 0);
}

static void test_bench_baseline(void **state _unused_)
{
	_cleanup_buf_ struct buf called = BUF_INIT;
	char path[96];

	write_raw_program("echo '{\"p50_ms\": 2.5, \"restores_per_second\": 1000000.0}'");
	_cleanup_output_ struct output o =
		run("bench", "cold-start", "--mode", "spare,raw", "-n", "2", "-o", "json", NULL);
	assert_int_equal(o.code, 0);
	json_t *json = parse(&o);
	assert_true(json_real_value(json_object_get(json_object_get(json, "raw_qemu"), "p50_ms")) ==
		    2.5);
	json_t *spare = json_object_get(json_object_get(json, "modes"), "spare");
	assert_true(json_real_value(json_object_get(spare, "platform_p50_ms")) == 1.2);
	json_decref(json);

	/* The node's folders, the measured event, and a ZIP to read. */
	(void)snprintf(path, sizeof(path), "%s/raw.args", node.dir);
	assert_int_equal(fs_read_file(path, 4096, &called), 0);
	assert_non_null(strstr(buf_string(&called), "--handler lambda_function.handler"));
	assert_non_null(strstr(buf_string(&called),
			       "--state-dir /the/state --images /the/images "
			       "--payload {\"sleep_ms\": 0} --parallel 1 -n 2\nPK"));

	_cleanup_output_ struct output burst =
		run("bench", "burst", "--clients", "3", "-o", "json", NULL);
	assert_int_equal(burst.code, 0);
	json = parse(&burst);
	json_t *one = json_array_get(json_object_get(json, "bursts"), 0);
	assert_true(json_real_value(json_object_get(one, "raw_restores_per_second")) == 1e6);
	/* The scripted handler may have taken longer than its invocation: no rate, no ratio. */
	double rate = json_real_value(json_object_get(one, "restores_per_second"));
	const json_t *ratio = json_object_get(one, "burst/raw");
	assert_true((ratio != NULL) == (rate > 0));
	if (ratio)
		assert_true(fabs(json_real_value(ratio) * 1e6 - rate) < 0.001 * rate);
	json_decref(json);
}

/* What was measured stands without it. */
static void test_bench_baseline_that_fails(void **state _unused_)
{
	write_raw_program("exit 1");
	_cleanup_output_ struct output o =
		run("bench", "cold-start", "--mode", "spare,raw", "-n", "2", "-o", "json", NULL);
	assert_int_equal(o.code, 0);
	assert_non_null(strstr(buf_string(&o.err), "without the raw QEMU baseline"));
	json_t *json = parse(&o);
	assert_null(json_object_get(json, "raw_qemu"));
	json_t *spare = json_object_get(json_object_get(json, "modes"), "spare");
	assert_int_equal(integer_at(spare, "n"), 2);
	json_decref(json);
	_cleanup_output_ struct output table =
		run("bench", "cold-start", "--mode", "spare,raw", "-n", "2", NULL);
	assert_int_equal(table.code, 0);
	assert_non_null(strstr(buf_string(&table.out), "\nspare"));
	assert_null(strstr(buf_string(&table.out), "raw QEMU"));
}

static void test_bench_burst(void **state _unused_)
{
	_cleanup_output_ struct output o =
		run("bench", "burst", "--clients", "1,20", "-o", "json", NULL);
	assert_int_equal(o.code, 0);
	json_t *json = parse(&o);
	json_t *second = json_array_get(json_object_get(json, "bursts"), 1);
	assert_int_equal(integer_at(second, "clients"), 20);
	assert_int_equal(integer_at(second, "n"), 20);
	assert_int_equal(integer_at(second, "sandboxes_started"), 20);
	assert_true(json_real_value(json_object_get(second, "restores_per_second")) >= 0);
	assert_int_equal(integer_at(second, "failed"), 0);
	json_decref(json);
	_cleanup_output_ struct output bad = run("bench", "burst", "--clients", "1,x", NULL);
	assert_int_equal(bad.code, 2);
}

static void test_bench_throughput(void **state _unused_)
{
	_cleanup_output_ struct output closed =
		run("bench", "throughput", "-c", "2", "-d", "200ms", "-o", "json", NULL);
	assert_int_equal(closed.code, 0);
	json_t *json = parse(&closed);
	json_t *figures = json_object_get(json, "throughput");
	assert_true(integer_at(figures, "n") > 2);
	json_decref(json);

	/* An open load makes as many requests as were due. */
	_cleanup_output_ struct output open = run("bench", "throughput", "--open", "--rate", "100",
						  "-d", "300ms", "-o", "json", NULL);
	assert_int_equal(open.code, 0);
	json = parse(&open);
	assert_int_equal(integer_at(json_object_get(json, "throughput"), "n"), 30);
	json_decref(json);
}

static void test_bench_density(void **state _unused_)
{
	_cleanup_output_ struct output o = run("bench", "density", "-n", "3", "-o", "json", NULL);
	assert_int_equal(o.code, 0);
	json_t *json = parse(&o);
	json_t *density = json_object_get(json, "density");
	assert_int_equal(integer_at(density, "answering"), 3);
	assert_int_equal(integer_at(density, "anonymous_p50_bytes"), 20 << 20);
	assert_int_equal(integer_at(density, "anonymous_max_bytes"), 30 << 20);
	assert_int_equal(integer_at(json_object_get(density, "stopped"), "sandboxes"), 1);
	json_decref(json);
}

static void test_every_verb_has_help(void **state _unused_)
{
	for (const struct verb *const *v = verbs; *v; v++) {
		_cleanup_free_ char *text = NULL;
		size_t size = 0;
		FILE *out = open_memstream(&text, &size);
		help_print_verb(out, *v);
		(void)fclose(out);
		assert_non_null(strstr(text, "Example"));
		assert_non_null((*v)->run);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create_sends_everything),
		cmocka_unit_test(test_create_without_waiting),
		cmocka_unit_test(test_create_that_fails),
		cmocka_unit_test(test_wrong_options),
		cmocka_unit_test(test_update_configuration_sends_what_was_named),
		cmocka_unit_test(test_not_found),
		cmocka_unit_test(test_list_follows_pages),
		cmocka_unit_test(test_invoke),
		cmocka_unit_test(test_invoke_from_file),
		cmocka_unit_test(test_invoke_shows_phases),
		cmocka_unit_test(test_invoke_function_error),
		cmocka_unit_test(test_invoke_json),
		cmocka_unit_test(test_invoke_stream),
		cmocka_unit_test(test_logs),
		cmocka_unit_test(test_unreachable_node),
		cmocka_unit_test(test_package_of_a_folder),
		cmocka_unit_test(test_shorthand),
		cmocka_unit_test(test_nearest_rank),
		cmocka_unit_test(test_bench_cold_start),
		cmocka_unit_test(test_bench_baseline),
		cmocka_unit_test(test_bench_baseline_that_fails),
		cmocka_unit_test(test_bench_burst),
		cmocka_unit_test(test_bench_throughput),
		cmocka_unit_test(test_bench_density),
		cmocka_unit_test(test_every_verb_has_help),
	};
	return cmocka_run_group_tests(tests, start_node, stop_node);
}
