/* SPDX-License-Identifier: Apache-2.0 */

/* The function that benchmarks invoke: it sleeps as long as its event says and answers. */

#include "cli/bench.h"

#include <errno.h>
#include <time.h>

#include "cli/function_options.h"
#include "cli/output.h"
#include "cli/package.h"
#include "mayfly/clock.h"
#include "mayfly/id.h"

#define SNAP_START_WAIT_US (300 * USEC_PER_SEC)
#define FUNCTION_TIMEOUT_S 300

static const struct source {
	const char *runtime, *file, *handler, *text;
} sources[] = {
	{ "python3.13", "lambda_function.py", "lambda_function.handler",
	  "import time\n\n"
	  "def handler(event, context):\n"
	  "    if event.get(\"sleep_ms\"):\n"
	  "        time.sleep(event[\"sleep_ms\"] / 1000)\n"
	  "    return {\"requestId\": context.aws_request_id}\n" },
	{ "nodejs20.x", "index.js", "index.handler",
	  "exports.handler = async (event, context) => {\n"
	  "  if (event.sleep_ms) await new Promise((done) => setTimeout(done, event.sleep_ms));\n"
	  "  return { requestId: context.awsRequestId };\n"
	  "};\n" },
	{ "provided.al2023", "bootstrap", "bootstrap",
	  "#!/bin/bash\n"
	  "api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation\n"
	  "while event=$(curl -sS -D /tmp/head \"$api/next\"); do\n"
	  "  id=$(sed -n 's/^lambda-runtime-aws-request-id: *\\([0-9a-f-]*\\).*/\\1/ip' "
	  "/tmp/head)\n"
	  "  ms=${event//[^0-9]/}\n"
	  "  ((ms > 0)) && sleep \"$((ms / 1000)).$(printf %03d $((ms % 1000)))\"\n"
	  "  curl -sS -o /dev/null -d \"{\\\"requestId\\\": \\\"$id\\\"}\" \"$api/$id/response\"\n"
	  "done\n" },
};

static const struct source *find_source(const char *runtime)
{
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
		if (strcmp(sources[i].runtime, runtime) == 0)
			return &sources[i];
	return NULL;
}

/* The user's own function, or ours for the runtime. */
static int read_code(struct bench *bench, const struct arguments *arguments)
{
	struct error *e = &bench->context->error;
	const char *zip = argument(arguments, "zip"), *dir = argument(arguments, "dir");
	const char *handler = argument(arguments, "handler");
	const struct source *source = find_source(bench->runtime);

	if (zip || dir) {
		bench->handler = handler ? handler : "";
		return zip ? package_from_file(zip, &bench->zip, e)
			   : package_from_directory(dir, &bench->zip, e);
	}
	if (!source)
		return error_set(e, ERROR_INVALID_PARAMETER, "runtime",
				 "the benchmark has functions of its own for python3.13, "
				 "nodejs20.x and provided.al2023; give another with --zip "
				 "or --dir");
	bench->handler = source->handler;
	return package_from_text(source->file, source->text, &bench->zip, e);
}

int bench_begin(struct bench *bench, struct context *context, const struct arguments *arguments)
{
	const char *runtime = argument(arguments, "runtime");
	const char *path = argument(arguments, "samples");

	bench->context = context;
	bench->runtime = runtime ? runtime : sources[0].runtime;
	bench->memory_mb = 128;
	int r = argument_number(arguments, "memory-size", UINT32_MAX, &bench->memory_mb,
				&context->error);
	if (r == 0)
		r = read_code(bench, arguments);
	if (r < 0 || !path)
		return r;
	bench->samples = fopen(path, "we");
	if (!bench->samples)
		return error_set_errno(&context->error, errno, "cannot write %s", path);
	return 0;
}

/* Best effort: the benchmark is over, also after Ctrl-C. */
static void delete_function(struct bench *bench)
{
	_cleanup_message_ Mayfly__V1__DeleteFunctionResponse *response = NULL;
	_cleanup_error_ struct error e = ERROR_INIT;
	Mayfly__V1__DeleteFunctionRequest request = MAYFLY__V1__DELETE_FUNCTION_REQUEST__INIT;

	if (!bench->function[0])
		return;
	request.function_name = bench->function;
	client_set_cancel_flag(bench->context->client, NULL);
	if (client_function_delete(bench->context->client, &request, &response, &e) < 0 &&
	    e.code != ERROR_NOT_FOUND)
		(void)fprintf(stderr, "mayfly: cannot delete %s: %s\n", bench->function,
			      error_text(&e));
	client_set_cancel_flag(bench->context->client, &interrupted);
	bench->function[0] = '\0';
}

void bench_end(struct bench *bench)
{
	progress_end();
	if (bench->context)
		delete_function(bench);
	if (bench->samples && fclose(bench->samples) != 0)
		(void)fprintf(stderr, "mayfly: cannot write the samples: %m\n");
	bench->samples = NULL;
	buf_free(&bench->zip);
}

static int wait_until_optimized(struct bench *bench)
{
	struct context *context = bench->context;
	_cleanup_(client_stream_close_p) struct client_stream *stream = NULL;
	Mayfly__V1__WatchRequest watch = MAYFLY__V1__WATCH_REQUEST__INIT;
	Mayfly__V1__GetFunctionRequest get = MAYFLY__V1__GET_FUNCTION_REQUEST__INIT;
	int64_t until_us = clock_monotonic_us() + SNAP_START_WAIT_US;

	get.function_name = bench->function;
	watch.gauge_period_ms = 250;
	int r = client_node_watch(context->client, &watch, &stream, &context->error);
	while (r >= 0 && clock_monotonic_us() < until_us) {
		_cleanup_message_ Mayfly__V1__NodeEvent *event = NULL;
		_cleanup_message_ Mayfly__V1__Function *function = NULL;
		r = client_node_watch_next(stream, &event, &context->error);
		if (r == 0)
			return error_set(&context->error, ERROR_UNAVAILABLE, NULL,
					 "the node stopped");
		if (r < 0 || event->event_case != MAYFLY__V1__NODE_EVENT__EVENT_GAUGES)
			continue;
		r = client_function_get(context->client, &get, &function, &context->error);
		if (r == 0 && function->snap_start && function->snap_start->optimized)
			return 0;
	}
	return r < 0 ? r
		     : error_set(&context->error, ERROR_SNAPSTART_NOT_READY, NULL,
				 "the function's template was not there after %lld s",
				 (long long)(SNAP_START_WAIT_US / USEC_PER_SEC));
}

int bench_deploy(struct bench *bench, bool snap_start)
{
	struct context *context = bench->context;
	_cleanup_message_ Mayfly__V1__Function *function = NULL;
	Mayfly__V1__CreateFunctionRequest request = MAYFLY__V1__CREATE_FUNCTION_REQUEST__INIT;
	Mayfly__V1__SnapStart snap = MAYFLY__V1__SNAP_START__INIT;
	char id[HEX_ID_BYTES];

	delete_function(bench);
	hex_id_generate(id);
	(void)snprintf(bench->function, sizeof(bench->function), "mayfly-bench-%.8s", id);
	request.function_name = bench->function;
	request.runtime = (char *)bench->runtime;
	request.handler = (char *)bench->handler;
	request.zip_file = (ProtobufCBinaryData){ bench->zip.len, bench->zip.data };
	request._memory_size_mb_case =
		MAYFLY__V1__CREATE_FUNCTION_REQUEST___MEMORY_SIZE_MB_MEMORY_SIZE_MB;
	request.memory_size_mb = (uint32_t)bench->memory_mb;
	request._timeout_seconds_case =
		MAYFLY__V1__CREATE_FUNCTION_REQUEST___TIMEOUT_SECONDS_TIMEOUT_SECONDS;
	request.timeout_seconds = FUNCTION_TIMEOUT_S;
	snap.apply_on = MAYFLY__V1__SNAP_START_APPLY_ON__SNAP_START_APPLY_ON_LATEST;
	if (snap_start)
		request.snap_start = &snap;

	/* A creation that was given up may have happened: its name is kept, to be deleted. */
	int r = client_function_create(context->client, &request, &function, &context->error);
	if (r == 0)
		r = function_wait(context, &function);
	return r == 0 && snap_start ? wait_until_optimized(bench) : r;
}

void bench_sleep_until(int64_t monotonic_us)
{
	struct timespec at = { .tv_sec = monotonic_us / USEC_PER_SEC,
			       .tv_nsec = monotonic_us % USEC_PER_SEC * 1000 };
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR && !interrupted)
		;
}

static int set_policy(struct bench *bench, Mayfly__V1__StartPolicy policy, unsigned spares,
		      bool end_idle)
{
	_cleanup_message_ Mayfly__V1__SetStartPolicyResponse *response = NULL;
	Mayfly__V1__SetStartPolicyRequest request = MAYFLY__V1__SET_START_POLICY_REQUEST__INIT;

	request.function_name = bench->function;
	request.policy = policy;
	request.spares = spares;
	request.end_idle_sandboxes = end_idle;
	return client_node_set_start_policy(bench->context->client, &request, &response,
					    &bench->context->error);
}

int bench_set_policy(struct bench *bench, Mayfly__V1__StartPolicy policy, unsigned spares)
{
	return set_policy(bench, policy, spares, true);
}

int bench_start_no_more(struct bench *bench)
{
	return set_policy(bench, MAYFLY__V1__START_POLICY__START_POLICY_SPARE, 0, false);
}

static void take_phases(struct sample *sample, const Mayfly__V1__Phases *phases)
{
	struct phase list[PHASES];

	sample->start_kind = phases->start_kind;
	sample->guest_us = phases->guest_us;
	sample->total_us = phases->total_us;
	(void)snprintf(sample->sandbox_id, sizeof(sample->sandbox_id), "%s", phases->sandbox_id);
	phases_list(phases, list);
	for (size_t i = 0; i < PHASES; i++)
		sample->phases_us[i] = list[i].us;
}

int bench_invoke(struct client *client, const char *function, unsigned hold_ms, struct sample *ret,
		 struct error *e)
{
	_cleanup_invocation_ struct client_invocation invocation = CLIENT_INVOCATION_INIT;
	Mayfly__V1__InvokeRequest request = MAYFLY__V1__INVOKE_REQUEST__INIT;
	char event[48];

	int n = snprintf(event, sizeof(event), BENCH_EVENT, hold_ms);
	request.function_name = (char *)function;
	request.payload = (ProtobufCBinaryData){ (size_t)n, (uint8_t *)event };
	int r = client_invoke(client, &request, CLIENT_NO_TIMEOUT, &invocation, e);
	if (r < 0)
		return r;
	if (*invocation.response->function_error)
		return error_set(e, ERROR_INTERNAL, NULL, "the function failed: %.*s",
				 (int)invocation.response->payload.len,
				 (const char *)invocation.response->payload.data);
	if (!invocation.phases)
		return error_set(e, ERROR_INTERNAL, NULL, "the answer has no phases");
	*ret = (struct sample){ .client_us = invocation.received_us - invocation.sent_us };
	take_phases(ret, invocation.phases);
	return 0;
}

void bench_keep(struct bench *bench, const struct series *series, const struct sample *sample,
		bool discarded)
{
	static const Mayfly__V1__Phases none = MAYFLY__V1__PHASES__INIT;
	struct phase names[PHASES];

	if (!bench->samples)
		return;
	_cleanup_json_ json_t *phases = json_object();
	phases_list(&none, names);
	for (size_t i = 0; i < PHASES; i++)
		(void)json_object_set_new(phases, names[i].name,
					  json_real((double)sample->phases_us[i] / 1e3));
	_cleanup_json_ json_t *line = json_pack(
		"{s:s,s:s,s:s,s:f,s:f,s:f,s:O,s:s,s:b}", "mode", series->mode, "runtime",
		bench->runtime, "start_kind", name_of_start_kind((int)sample->start_kind),
		"client_ms", (double)sample->client_us / 1e3, "total_ms",
		(double)sample->total_us / 1e3, "guest_ms", (double)sample->guest_us / 1e3,
		"phases_ms", phases, "sandbox_id", sample->sandbox_id, "discarded", discarded);
	if (!line || json_dumpf(line, bench->samples, JSON_COMPACT | JSON_REAL_PRECISION(15)) < 0)
		return;
	(void)fputc('\n', bench->samples);
}

json_t *bench_host(struct context *context)
{
	_cleanup_message_ Mayfly__V1__Node *node = NULL;

	if (client_node_get(context->client, &node, &context->error) < 0)
		return NULL;
	json_t *host = json_from_node(node);
	(void)json_object_del(host, "Gauges");
	return host;
}

static const char *host_text(const json_t *host, const char *name)
{
	const char *text = json_string_value(json_object_get(host, name));
	return text ? text : "?";
}

static uint64_t host_number(const json_t *host, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(host, name));
}

void bench_print_host(const json_t *host)
{
	char memory[TEXT_BYTES], initramfs[TEXT_BYTES], init[TEXT_BYTES];

	(void)printf("%s, %lld CPUs, %s, Linux %s, QEMU %s, libvirt %s, cgroups %s\n",
		     host_text(host, "CpuModel"),
		     (long long)json_integer_value(json_object_get(host, "CpuCount")),
		     text_bytes(host_number(host, "MemoryBytes"), memory),
		     host_text(host, "KernelRelease"), host_text(host, "QemuVersion"),
		     host_text(host, "LibvirtVersion"), host_text(host, "CgroupMode"));
	(void)printf("accelerator %s (%s)\n", host_text(host, "Accelerator"),
		     host_text(host, "AcceleratorReason"));
	(void)printf("Mayfly %s, guest kernel %s, initramfs %s, resident memory of its init %s\n\n",
		     host_text(host, "Version"), host_text(host, "GuestKernel"),
		     text_bytes(host_number(host, "InitramfsBytes"), initramfs),
		     host_number(host, "InitResidentBytes") > 0
			     ? text_bytes(host_number(host, "InitResidentBytes"), init)
			     : "not known yet");
}
