/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>

#include "cli/messages.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "mayfly/clock.h"
#include "mayfly/fs.h"

/* A little more than the node takes, so that the node says what its limit is. */
#define PAYLOAD_MAX_BYTES (8U << 20)

static int read_stdin(struct buf *out, struct error *e)
{
	char chunk[65536];
	ssize_t n;

	out->max = PAYLOAD_MAX_BYTES;
	while ((n = read(STDIN_FILENO, chunk, sizeof(chunk))) > 0) {
		int r = buf_append(out, chunk, (size_t)n);
		if (r < 0)
			return error_set(e, ERROR_REQUEST_TOO_LARGE, "payload",
					 "the payload is too large");
	}
	return n < 0 ? error_set_errno(e, errno, "cannot read the payload") : 0;
}

/* JSON itself, @file, file://file or fileb://file, - for standard input. */
static int read_payload(const char *text, struct buf *out, struct error *e)
{
	const char *path = NULL;

	if (strcmp(text, "-") == 0)
		return read_stdin(out, e);
	if (text[0] == '@')
		path = text + 1;
	else if (strncmp(text, "file://", 7) == 0)
		path = text + 7;
	else if (strncmp(text, "fileb://", 8) == 0)
		path = text + 8;
	if (!path) {
		int r = buf_append_string(out, text);
		return r < 0 ? error_set_errno(e, r, "cannot read the payload") : 0;
	}
	int r = fs_read_file(path, PAYLOAD_MAX_BYTES, out);
	if (r < 0)
		return error_set(e, ERROR_INVALID_PARAMETER, "payload", "cannot read %s: %s", path,
				 strerror(-r));
	return 0;
}

static void print_phases(const Mayfly__V1__Phases *phases, int64_t client_us)
{
	struct phase list[PHASES];

	phases_list(phases, list);
	(void)fprintf(stderr, "Start     %s", name_of_start_kind((int)phases->start_kind));
	if (*phases->sandbox_id)
		(void)fprintf(stderr, ", sandbox %s", phases->sandbox_id);
	(void)fputs("\nPhase          ms\n", stderr);
	for (size_t i = 0; i < PHASES; i++)
		(void)fprintf(stderr, "  %-8s %9.3f\n", list[i].name, (double)list[i].us / 1e3);
	(void)fprintf(stderr, "  %-8s %9.3f  (the guest's own count %.3f)\n", "total",
		      (double)phases->total_us / 1e3, (double)phases->guest_us / 1e3);
	if (client_us > 0)
		(void)fprintf(stderr, "  %-8s %9.3f\n", "client", (double)client_us / 1e3);
}

static void write_bytes(const ProtobufCBinaryData *bytes, FILE *out)
{
	if (bytes->len > 0)
		(void)fwrite(bytes->data, 1, bytes->len, out);
	(void)fflush(out);
}

/* The result as it is; a terminal gets a newline behind it. */
static void print_payload(const ProtobufCBinaryData *payload)
{
	write_bytes(payload, stdout);
	bool ends = payload->len > 0 && payload->data[payload->len - 1] == '\n';
	if (isatty(STDOUT_FILENO) && payload->len > 0 && !ends)
		(void)putchar('\n');
}

static int print_json(const struct client_invocation *invocation)
{
	const Mayfly__V1__InvokeResponse *response = invocation->response;
	_cleanup_json_ json_t *payload = json_loadb((const char *)response->payload.data,
						    response->payload.len, JSON_DECODE_ANY, NULL);

	json_t *object = json_pack("{s:i}", "StatusCode", (int)response->status_code);
	if (*response->function_error)
		(void)json_object_set_new(object, "FunctionError",
					  json_string(response->function_error));
	if (*response->executed_version)
		(void)json_object_set_new(object, "ExecutedVersion",
					  json_string(response->executed_version));
	(void)json_object_set_new(object, "RequestId", json_string(response->request_id));
	if (response->log_result.len > 0)
		(void)json_object_set_new(object, "LogResult",
					  json_from_bytes(&response->log_result));
	if (payload)
		(void)json_object_set(object, "Payload", payload);
	else if (response->payload.len > 0)
		(void)json_object_set_new(object, "Payload", json_from_bytes(&response->payload));
	if (invocation->phases)
		(void)json_object_set_new(object, "Phases", json_from_phases(invocation->phases));
	return output_json(object);
}

static int invoke(struct context *context, const Mayfly__V1__InvokeRequest *request)
{
	_cleanup_invocation_ struct client_invocation invocation = CLIENT_INVOCATION_INIT;

	int r = client_invoke(context->client, request, CLIENT_NO_TIMEOUT, &invocation,
			      &context->error);
	if (r < 0)
		return r;
	const Mayfly__V1__InvokeResponse *response = invocation.response;
	int code = *response->function_error ? EXIT_FUNCTION_ERROR : 0;
	if (context->json) {
		r = print_json(&invocation);
		return r < 0 ? r : code;
	}
	if (request->invocation_type == MAYFLY__V1__INVOCATION_TYPE__INVOCATION_TYPE_EVENT) {
		(void)puts(response->request_id); /* by which its log is found */
		return 0;
	}
	print_payload(&response->payload);
	write_bytes(&response->log_result, stderr);
	if (code)
		(void)fprintf(stderr, "mayfly: function error: %s (request %s)\n",
			      response->function_error, response->request_id);
	if (context->verbose) {
		(void)fprintf(stderr, "Request   %s, version %s\n", response->request_id,
			      response->executed_version);
		if (invocation.phases)
			print_phases(invocation.phases,
				     invocation.received_us - invocation.sent_us);
	}
	return code;
}

/* Prints each chunk as it comes. 1 when the function failed. */
static int print_event(const struct context *context, const Mayfly__V1__InvokeStreamResponse *event)
{
	switch (event->event_case) {
	case MAYFLY__V1__INVOKE_STREAM_RESPONSE__EVENT_START:
		if (context->verbose)
			(void)fprintf(stderr, "Request   %s, version %s, content type %s\n",
				      event->start->request_id, event->start->executed_version,
				      event->start->content_type);
		return 0;
	case MAYFLY__V1__INVOKE_STREAM_RESPONSE__EVENT_PAYLOAD_CHUNK:
		write_bytes(&event->payload_chunk, stdout);
		return 0;
	case MAYFLY__V1__INVOKE_STREAM_RESPONSE__EVENT_COMPLETE:
		write_bytes(&event->complete->log_result, stderr);
		if (!*event->complete->error_code)
			return 0;
		(void)fprintf(stderr, "mayfly: function error: %s: %s\n",
			      event->complete->error_code, event->complete->error_details);
		return 1;
	default:
		return 0;
	}
}

/* The same as JSON, one object a line, with the members of Lambda's event stream. The end is
 * printed once the phases are known. */
static int print_json_event(const Mayfly__V1__InvokeStreamResponse *event)
{
	if (event->event_case == MAYFLY__V1__INVOKE_STREAM_RESPONSE__EVENT_START)
		return output_json_line(json_pack("{s:{s:s,s:s,s:s}}", "Start", "RequestId",
						  event->start->request_id, "ExecutedVersion",
						  event->start->executed_version, "ContentType",
						  event->start->content_type));
	if (event->event_case == MAYFLY__V1__INVOKE_STREAM_RESPONSE__EVENT_PAYLOAD_CHUNK)
		return output_json_line(json_pack("{s:{s:o}}", "PayloadChunk", "Payload",
						  json_base64_from_bytes(&event->payload_chunk)));
	return 0;
}

static int print_json_complete(const Mayfly__V1__InvokeComplete *complete,
			       const Mayfly__V1__Phases *phases)
{
	json_t *end = json_object();

	if (*complete->error_code) {
		(void)json_object_set_new(end, "ErrorCode", json_string(complete->error_code));
		(void)json_object_set_new(end, "ErrorDetails",
					  json_string(complete->error_details));
	}
	if (complete->log_result.len > 0)
		(void)json_object_set_new(end, "LogResult", json_from_bytes(&complete->log_result));
	if (phases)
		(void)json_object_set_new(end, "Phases", json_from_phases(phases));
	return output_json_line(json_pack("{s:o}", "InvokeComplete", end));
}

static int invoke_stream_json(struct context *context, const Mayfly__V1__InvokeRequest *request)
{
	_cleanup_(client_stream_close_p) struct client_stream *stream = NULL;
	_cleanup_message_ Mayfly__V1__InvokeStreamResponse *end = NULL;

	int r = client_invoke_stream(context->client, request, CLIENT_NO_TIMEOUT, &stream,
				     &context->error);
	while (r >= 0) {
		_cleanup_message_ Mayfly__V1__InvokeStreamResponse *event = NULL;
		r = client_invoke_stream_next(stream, &event, &context->error);
		if (r <= 0)
			break;
		if (event->event_case == MAYFLY__V1__INVOKE_STREAM_RESPONSE__EVENT_COMPLETE && !end)
			end = TAKE_PTR(event);
		else
			r = print_json_event(event);
	}
	if (r < 0 || !end)
		return r;
	_cleanup_message_ Mayfly__V1__Phases *phases = client_stream_phases(stream);
	r = print_json_complete(end->complete, phases);
	return r < 0 ? r : *end->complete->error_code ? EXIT_FUNCTION_ERROR : 0;
}

static int invoke_stream(struct context *context, const Mayfly__V1__InvokeRequest *request)
{
	_cleanup_(client_stream_close_p) struct client_stream *stream = NULL;
	int failed = 0;

	int r = client_invoke_stream(context->client, request, CLIENT_NO_TIMEOUT, &stream,
				     &context->error);
	while (r >= 0) {
		_cleanup_message_ Mayfly__V1__InvokeStreamResponse *event = NULL;
		r = client_invoke_stream_next(stream, &event, &context->error);
		if (r <= 0)
			break;
		failed |= print_event(context, event);
	}
	if (r < 0)
		return r;
	if (isatty(STDOUT_FILENO))
		(void)putchar('\n');
	_cleanup_message_ Mayfly__V1__Phases *phases = client_stream_phases(stream);
	if (context->verbose && phases)
		print_phases(phases, 0);
	return failed ? EXIT_FUNCTION_ERROR : 0;
}

static Mayfly__V1__InvocationType invocation_type(const struct arguments *arguments)
{
	const char *type = argument(arguments, "invocation-type");

	if (argument_flag(arguments, "dry-run") || (type && strcmp(type, "DryRun") == 0))
		return MAYFLY__V1__INVOCATION_TYPE__INVOCATION_TYPE_DRY_RUN;
	if (type && strcmp(type, "Event") == 0)
		return MAYFLY__V1__INVOCATION_TYPE__INVOCATION_TYPE_EVENT;
	return MAYFLY__V1__INVOCATION_TYPE__INVOCATION_TYPE_UNSPECIFIED;
}

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_buf_ struct buf payload = BUF_INIT, client_context = BUF_INIT;
	Mayfly__V1__InvokeRequest request = MAYFLY__V1__INVOKE_REQUEST__INIT;
	const char *text = argument(arguments, "payload");
	const char *context_text = argument(arguments, "client-context");
	const char *qualifier = argument(arguments, "qualifier");
	const char *trace = argument(arguments, "trace-id");
	const char *end_tenant = argument(arguments, "tenant-id");
	const char *log = argument(arguments, "log");
	const char *log_type = argument(arguments, "log-type");

	int r = text ? read_payload(text, &payload, &context->error) : 0;
	if (r == 0 && context_text)
		r = read_payload(context_text, &client_context, &context->error);
	if (r < 0)
		return r;
	request.function_name = (char *)operand(arguments, 0);
	request.payload = (ProtobufCBinaryData){ payload.len, payload.data };
	request.client_context = (ProtobufCBinaryData){ client_context.len, client_context.data };
	if (qualifier)
		request.qualifier = (char *)qualifier;
	if (trace)
		request.trace_id = (char *)trace;
	if (end_tenant)
		request.tenant_id = (char *)end_tenant;
	if ((log && strcmp(log, "tail") == 0) || (log_type && strcmp(log_type, "Tail") == 0))
		request.log_type = MAYFLY__V1__LOG_TYPE__LOG_TYPE_TAIL;
	request.invocation_type = invocation_type(arguments);
	if (!argument_flag(arguments, "stream"))
		return invoke(context, &request);
	return context->json ? invoke_stream_json(context, &request)
			     : invoke_stream(context, &request);
}

static const struct verb_option options[] = {
	{ "function-name", 0, OPTION_TEXT, "NAME", "instead of the operand NAME" },
	{ "payload", 'p', OPTION_FILE, "JSON|@FILE|-", "the event; {} by default" },
	{ "qualifier", 0, OPTION_TEXT, "QUALIFIER", "a version or an alias; $LATEST by default" },
	{ "log", 'l', OPTION_CHOICE, "tail|none", "print the last 4 KB of the log to stderr" },
	{ "log-type", 0, OPTION_CHOICE, "Tail|None", "the same, as the aws command has it" },
	{ "stream", 's', OPTION_FLAG, NULL, "print the response as it comes" },
	{ "dry-run", 0, OPTION_FLAG, NULL, "check that it could run, run nothing" },
	{ "invocation-type", 0, OPTION_CHOICE, "RequestResponse|Event|DryRun",
	  "Event: it is kept and run later; prints the request id" },
	{ "client-context", 0, OPTION_TEXT, "JSON|@FILE", "handed to the function's context" },
	{ "tenant-id", 0, OPTION_TEXT, "ID",
	  "whose invocation it is, of a function with --tenancy-config" },
	{ "trace-id", 0, OPTION_TEXT, "ID", "X-Amzn-Trace-Id; one is made by default" },
	{ 0 },
};

const struct verb verb_invoke = {
	.name = "invoke",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "function-name",
	.summary = "Run a function and print its response",
	.help = "NAME may be NAME:QUALIFIER or an ARN.\n"
		"The response goes to stdout, all else to stderr. -v shows where the time went.\n"
		"Exit code 8: the function ran and failed; its error is the response.\n"
		"--stream with --output json prints an object per line: Start, each PayloadChunk\n"
		"as it comes, its Payload in base64, and last InvokeComplete, with ErrorCode and\n"
		"ErrorDetails when the function failed.\n\n"
		"Examples:\n"
		"  mayfly invoke area --payload '{\"length\": 6, \"width\": 7}'\n"
		"  mayfly invoke area --payload @event.json --log tail -v\n"
		"  echo '{}' | mayfly invoke area --payload - --output json\n"
		"  mayfly invoke area --payload @event.json --invocation-type Event\n"
		"  mayfly invoke story --stream\n"
		"  mayfly invoke story --stream --output json | jq -r '.PayloadChunk.Payload // "
		"empty' |\n"
		"      while read -r chunk; do base64 -d <<<\"$chunk\"; done\n",
	.options = options,
	.run = run,
};
