/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/output.h"
#include "cli/verbs.h"
#include "mayfly/clock.h"

struct style {
	bool json, times, streams;
};

static json_t *json_from_event(const Mayfly__V1__LogEvent *event)
{
	return json_pack("{s:I,s:s,s:s}", "timestamp", (json_int_t)(event->timestamp_us / 1000),
			 "message", event->message, "logStreamName", event->log_stream_name);
}

static int print_event(const struct style *style, const Mayfly__V1__LogEvent *event)
{
	char time[CLOCK_ISO8601_BYTES];

	if (style->json)
		return output_json_line(json_from_event(event));
	if (style->times) {
		clock_format_iso8601(event->timestamp_us, time);
		(void)printf("%s ", time);
	}
	if (style->streams)
		(void)printf("%s ", event->log_stream_name);
	(void)puts(event->message);
	return 0;
}

static int follow(struct context *context, const char *name, const char *log_stream,
		  int64_t start_us, const struct style *style)
{
	_cleanup_(client_stream_close_p) struct client_stream *stream = NULL;
	Mayfly__V1__TailLogsRequest request = MAYFLY__V1__TAIL_LOGS_REQUEST__INIT;

	if (name[0] == '/')
		request.log_group_name = (char *)name;
	else
		request.function_name = (char *)name;
	if (log_stream)
		request.log_stream_name = (char *)log_stream;
	request.start_time_us = start_us;
	int r = client_log_tail(context->client, &request, &stream, &context->error);
	while (r >= 0) {
		_cleanup_message_ Mayfly__V1__LogEvent *event = NULL;
		r = client_log_tail_next(stream, &event, &context->error);
		if (r <= 0)
			return r;
		r = print_event(style, event);
		(void)fflush(stdout);
	}
	return r;
}

static int print_page(const Mayfly__V1__GetLogEventsResponse *page, const struct style *style,
		      json_t *events)
{
	for (size_t i = 0; i < page->n_events; i++) {
		int r = 0;
		if (style->json)
			(void)json_array_append_new(events, json_from_event(page->events[i]));
		else
			r = print_event(style, page->events[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

static int get(struct context *context, Mayfly__V1__GetLogEventsRequest *request,
	       const struct style *style)
{
	_cleanup_json_ json_t *events = json_array();
	_cleanup_free_ char *token = NULL;
	int r = 0;

	do {
		_cleanup_message_ Mayfly__V1__GetLogEventsResponse *page = NULL;
		if (token)
			request->next_token = token;
		r = client_log_get(context->client, request, &page, &context->error);
		if (r == 0)
			r = print_page(page, style, events);
		if (r < 0)
			return r;
		free(token);
		token = *page->next_token ? strdup(page->next_token) : NULL;
	} while (token && !interrupted);
	if (!style->json)
		return 0;
	return output_json(json_pack("{s:O}", "events", events));
}

static int run(struct context *context, const struct arguments *arguments)
{
	Mayfly__V1__GetLogEventsRequest request = MAYFLY__V1__GET_LOG_EVENTS_REQUEST__INIT;
	const char *name = operand(arguments, 0);
	const char *stream = argument(arguments, "log-stream-name");
	int64_t since_us = -1, start_us = 0;
	const struct style style = { .json = context->json,
				     .times = argument_flag(arguments, "timestamps"),
				     .streams = context->verbose };

	int r = argument_duration(arguments, "since", &since_us, &context->error);
	if (r < 0)
		return r;
	if (since_us >= 0)
		start_us = clock_realtime_us() - since_us;
	if (argument_flag(arguments, "follow"))
		return follow(context, name, stream, start_us, &style);
	if (name[0] == '/')
		request.log_group_name = (char *)name;
	else
		request.function_name = (char *)name;
	if (stream)
		request.log_stream_name = (char *)stream;
	request.start_time_us = start_us;
	return get(context, &request, &style);
}

static const struct verb_option options[] = {
	{ "function-name", 0, OPTION_TEXT, "NAME", "instead of the operand NAME" },
	{ "follow", 'f', OPTION_FLAG, NULL, "go on printing as lines come, from now on" },
	{ "since", 0, OPTION_TEXT, "DURATION", "only so far back: 30s, 10m, 2h, 1d" },
	{ "timestamps", 't', OPTION_FLAG, NULL, "print when each line came" },
	{ "log-stream-name", 0, OPTION_TEXT, "NAME", "only this stream (one sandbox)" },
	{ 0 },
};

const struct verb verb_logs = {
	.name = "logs",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "function-name",
	.summary = "Print a function's log",
	.help = "NAME is a function, or a log group such as /aws/lambda/area. -v names the "
		"streams.\n"
		"--follow starts now; with --since it starts so far back.\n\n"
		"Examples:\n"
		"  mayfly logs area --since 10m\n"
		"  mayfly logs area --follow --timestamps\n",
	.options = options,
	.run = run,
};
