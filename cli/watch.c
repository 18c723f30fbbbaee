/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/messages.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "mayfly/clock.h"

static bool is_published(const Mayfly__V1__FunctionChange *change)
{
	return *change->version && strcmp(change->version, "$LATEST") != 0;
}

static void print_gauges(const Mayfly__V1__Gauges *g)
{
	char memory[TEXT_BYTES];
	(void)printf("node      %u sandboxes (%u busy, %u frozen, %u spare, %u starting), "
		     "%u running, %u queued, %llu done, %s\n",
		     g->sandboxes_total, g->sandboxes_busy, g->sandboxes_frozen, g->sandboxes_spare,
		     g->sandboxes_starting, g->invocations_running, g->invocations_queued,
		     (unsigned long long)g->invocations_total,
		     text_bytes(g->memory_committed_bytes, memory));
}

static void print_event(const Mayfly__V1__NodeEvent *event)
{
	char time[CLOCK_ISO8601_BYTES];

	clock_format_iso8601(event->time_us, time);
	(void)printf("%.12s ", time + 11); /* the time of day */
	switch (event->event_case) {
	case MAYFLY__V1__NODE_EVENT__EVENT_GAUGES:
		print_gauges(event->gauges);
		break;
	case MAYFLY__V1__NODE_EVENT__EVENT_SANDBOX:
		(void)printf("sandbox   %.12s %s %s (%s)\n", event->sandbox->sandbox_id,
			     *event->sandbox->function_name ? event->sandbox->function_name : "-",
			     name_of_sandbox_state((int)event->sandbox->state),
			     name_of_start_kind((int)event->sandbox->start_kind));
		break;
	case MAYFLY__V1__NODE_EVENT__EVENT_TEMPLATE:
		(void)printf("template  %s %s %s\n", event->template_->template_id,
			     name_of_template_state((int)event->template_->state),
			     event->template_->reason);
		break;
	case MAYFLY__V1__NODE_EVENT__EVENT_FUNCTION:
		(void)printf("function  %s%s%s %s%s%s\n", event->function->function_name,
			     is_published(event->function) ? ":" : "",
			     is_published(event->function) ? event->function->version : "",
			     event->function->state,
			     *event->function->last_update_status ? ", update " : "",
			     event->function->last_update_status);
		break;
	case MAYFLY__V1__NODE_EVENT__EVENT_DROPPED:
		(void)printf("%llu changes were left out: this terminal is too slow\n",
			     (unsigned long long)event->dropped);
		break;
	default:
		(void)puts("an event of a newer node");
	}
	(void)fflush(stdout);
}

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_(client_stream_close_p) struct client_stream *stream = NULL;
	Mayfly__V1__WatchRequest request = MAYFLY__V1__WATCH_REQUEST__INIT;
	int64_t period_us = USEC_PER_SEC;

	int r = argument_duration(arguments, "period", &period_us, &context->error);
	if (r < 0)
		return r;
	request.gauge_period_ms = (uint32_t)(period_us / 1000);
	r = client_node_watch(context->client, &request, &stream, &context->error);
	while (r >= 0) {
		_cleanup_message_ Mayfly__V1__NodeEvent *event = NULL;
		r = client_node_watch_next(stream, &event, &context->error);
		if (r <= 0)
			break;
		if (context->json)
			r = output_json_line(json_from_node_event(event));
		else
			print_event(event);
	}
	return r;
}

static const struct verb_option options[] = {
	{ "period", 0, OPTION_TEXT, "DURATION", "of the counters; 1s by default" },
	{ 0 },
};

const struct verb verb_watch = {
	.name = "watch",
	.operands = "",
	.summary = "Print what happens on the node, as it happens",
	.help = "With --output json one JSON object a line.\n\n"
		"Examples:\n"
		"  mayfly watch\n"
		"  mayfly watch --period 5s --output json\n",
	.options = options,
	.run = run,
};
