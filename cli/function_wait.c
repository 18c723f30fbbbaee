/* SPDX-License-Identifier: Apache-2.0 */

/* Waits for a function: the node's own events say when to look. */

#include <errno.h>

#include "cli/function_options.h"
#include "cli/messages.h"
#include "cli/output.h"
#include "mayfly/clock.h"

#define LOOK_PERIOD_MS 500

static bool is_settled(const Mayfly__V1__Function *function)
{
	return function->state != MAYFLY__V1__FUNCTION_STATE__FUNCTION_STATE_PENDING &&
	       function->last_update_status !=
		       MAYFLY__V1__LAST_UPDATE_STATUS__LAST_UPDATE_STATUS_IN_PROGRESS;
}

static bool is_published(const Mayfly__V1__Function *function)
{
	return *function->version && strcmp(function->version, "$LATEST") != 0;
}

static int look(struct context *context, Mayfly__V1__Function **function)
{
	Mayfly__V1__GetFunctionRequest request = MAYFLY__V1__GET_FUNCTION_REQUEST__INIT;
	Mayfly__V1__Function *now = NULL;

	request.tenant = (*function)->tenant;
	request.function_name = (*function)->function_name;
	if (is_published(*function))
		request.qualifier = (*function)->version;
	int r = client_function_get(context->client, &request, &now, &context->error);
	if (r < 0)
		return r;
	client_free_message(*function);
	*function = now;
	return 0;
}

/* What the node is doing meanwhile, as far as it concerns a new function. */
static void show(const Mayfly__V1__Function *function, const Mayfly__V1__NodeEvent *event,
		 int64_t since_us)
{
	static char doing[160];

	if (event->event_case == MAYFLY__V1__NODE_EVENT__EVENT_TEMPLATE) {
		const Mayfly__V1__Template *t = event->template_;
		bool building = t->state == MAYFLY__V1__TEMPLATE_STATE__TEMPLATE_STATE_BUILDING;
		if (building)
			(void)snprintf(
				doing, sizeof(doing), ": building the %s template of %s, %u MB",
				name_of_template_kind((int)t->kind), t->runtime, t->memory_size_mb);
		else
			doing[0] = '\0';
	}
	int seconds = (int)((clock_monotonic_us() - since_us) / USEC_PER_SEC);
	if (isatty(STDERR_FILENO))
		progress("%s is %s%s (%d s)", function->function_name,
			 name_of_function_state((int)function->state), doing, seconds);
	else
		progress("%s is %s%s", function->function_name,
			 name_of_function_state((int)function->state), doing);
}

static bool concerns(const Mayfly__V1__NodeEvent *event, const Mayfly__V1__Function *function)
{
	if (event->event_case == MAYFLY__V1__NODE_EVENT__EVENT_FUNCTION)
		return strcmp(event->function->function_name, function->function_name) == 0;
	return event->event_case == MAYFLY__V1__NODE_EVENT__EVENT_GAUGES ||
	       event->event_case == MAYFLY__V1__NODE_EVENT__EVENT_DROPPED;
}

static int watch_until_settled(struct context *context, Mayfly__V1__Function **function)
{
	_cleanup_(client_stream_close_p) struct client_stream *stream = NULL;
	Mayfly__V1__WatchRequest request = MAYFLY__V1__WATCH_REQUEST__INIT;
	int64_t since_us = clock_monotonic_us();

	request.gauge_period_ms = LOOK_PERIOD_MS;
	int r = client_node_watch(context->client, &request, &stream, &context->error);
	if (r == 0) /* it may have settled before the watch began */
		r = look(context, function);
	while (r == 0 && !is_settled(*function)) {
		_cleanup_message_ Mayfly__V1__NodeEvent *event = NULL;
		r = client_node_watch_next(stream, &event, &context->error);
		if (r == 0)
			return error_set(&context->error, ERROR_UNAVAILABLE, NULL,
					 "the node stopped while %s was being made",
					 (*function)->function_name);
		if (r < 0)
			return r;
		r = concerns(event, *function) ? look(context, function) : 0;
		if (r == 0)
			show(*function, event, since_us);
	}
	return r;
}

int function_wait(struct context *context, Mayfly__V1__Function **function)
{
	int r = is_settled(*function) ? 0 : watch_until_settled(context, function);
	progress_end();
	if (r < 0)
		return r;
	const Mayfly__V1__Function *f = *function;
	if (f->state == MAYFLY__V1__FUNCTION_STATE__FUNCTION_STATE_FAILED)
		return error_set(&context->error, ERROR_RESOURCE_NOT_READY, NULL,
				 "%s is Failed: %s (%s)", f->function_name, f->state_reason,
				 f->state_reason_code);
	if (f->last_update_status == MAYFLY__V1__LAST_UPDATE_STATUS__LAST_UPDATE_STATUS_FAILED)
		return error_set(&context->error, ERROR_RESOURCE_NOT_READY, NULL,
				 "the update of %s failed: %s (%s)", f->function_name,
				 f->last_update_status_reason, f->last_update_status_reason_code);
	return 0;
}

static const char *snap_start_text(const Mayfly__V1__Function *f)
{
	if (f->snap_start->optimized)
		return "on";
	if (f->snap_start->apply_on ==
		    MAYFLY__V1__SNAP_START_APPLY_ON__SNAP_START_APPLY_ON_PUBLISHED_VERSIONS &&
	    !is_published(f))
		return "for published versions";
	return "asked for, no template yet";
}

int function_print(const struct context *context, const Mayfly__V1__Function *f)
{
	char size[TEXT_BYTES], modified[CLOCK_ISO8601_BYTES];

	if (context->json)
		return output_json(json_from_function(f));
	clock_format_iso8601(f->last_modified_us, modified);
	output_field("Name", "%s", f->function_name);
	output_field("ARN", "%s", f->function_arn);
	if (is_published(f))
		output_field("Version", "%s", f->version);
	output_field("State", "%s%s%s", name_of_function_state((int)f->state),
		     *f->state_reason ? ": " : "", f->state_reason);
	if (f->last_update_status)
		output_field(
			"Last update", "%s%s%s", name_of_update_status((int)f->last_update_status),
			*f->last_update_status_reason ? ": " : "", f->last_update_status_reason);
	output_field("Runtime", "%s", f->runtime);
	output_field("Handler", "%s", f->handler);
	if (*f->description)
		output_field("Description", "%s", f->description);
	output_field("Memory", "%u MB", f->memory_size_mb);
	output_field("Timeout", "%u s", f->timeout_seconds);
	output_field("Ephemeral storage", "%u MB", f->ephemeral_storage_mb);
	for (size_t i = 0; i < f->n_environment; i++)
		output_field(i == 0 ? "Environment" : "", "%s=%s", f->environment[i]->key,
			     f->environment[i]->value);
	if (f->snap_start && f->snap_start->apply_on > 1)
		output_field("SnapStart", "%s", snap_start_text(f));
	if (f->tenancy_config)
		output_field("Tenant isolation", "one sandbox, one --tenant-id");
	if (f->dead_letter_config)
		output_field("Dead letters", "%s", f->dead_letter_config->target_arn);
	if (f->logging_config)
		output_field("Log group", "%s", f->logging_config->log_group);
	output_field("Code", "%s, sha256 %s", text_bytes(f->code_size_bytes, size), f->code_sha256);
	for (size_t i = 0; i < f->n_layers; i++)
		output_field("Layer", "%s", f->layers[i]->arn);
	for (size_t i = 0; i < f->n_tags; i++)
		output_field("Tag", "%s=%s", f->tags[i]->key, f->tags[i]->value);
	output_field("Modified", "%s", modified);
	output_field("Revision", "%s", f->revision_id);
	return 0;
}
