/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/output.h"
#include "cli/schedule_options.h"
#include "cli/verbs.h"
#include "mayfly/clock.h"

struct listing {
	struct table table;
	json_t *schedules;
	char token[256];
};

static void add(struct listing *listing, const Mayfly__V1__Schedule *schedule)
{
	char next[CLOCK_ISO8601_BYTES];

	(void)json_array_append_new(listing->schedules, schedule_json(schedule));
	clock_format_iso8601(schedule->next_occurrence_us, next);
	table_cell(&listing->table, "%s", schedule->name);
	table_cell(&listing->table, "%s", schedule->schedule_expression);
	table_cell(&listing->table, "%s", schedule->schedule_expression_timezone);
	table_cell(&listing->table, "%s", name_of_schedule_state((int)schedule->state));
	table_cell(&listing->table, "%s", schedule->next_occurrence_us > 0 ? next : "-");
	table_cell(&listing->table, "%s", schedule->target ? schedule->target->arn : "");
}

/* One page; sets the token of the next. */
static int add_page(struct context *context, const struct arguments *arguments,
		    struct listing *listing)
{
	Mayfly__V1__ListSchedulesRequest request = MAYFLY__V1__LIST_SCHEDULES_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__ListSchedulesResponse *page = NULL;
	const char *prefix = argument(arguments, "name-prefix");
	const char *state = argument(arguments, "state");
	int r;

	request.next_token = listing->token;
	if (prefix)
		request.name_prefix = (char *)prefix;
	if (state)
		request.state = strcmp(state, "DISABLED") == 0
					? MAYFLY__V1__SCHEDULE_STATE__SCHEDULE_STATE_DISABLED
					: MAYFLY__V1__SCHEDULE_STATE__SCHEDULE_STATE_ENABLED;
	r = client_schedule_list(context->client, &request, &page, &context->error);
	if (r < 0)
		return r;
	for (size_t i = 0; i < page->n_schedules; i++)
		add(listing, page->schedules[i]);
	if (strlen(page->next_token) >= sizeof(listing->token))
		return error_set(&context->error, ERROR_INTERNAL, NULL, "the token is too long");
	(void)snprintf(listing->token, sizeof(listing->token), "%s", page->next_token);
	return 0;
}

static int run(struct context *context, const struct arguments *arguments)
{
	static const char *const headers[] = { "NAME", "EXPRESSION", "TIME ZONE", "STATE",
					       "NEXT", "FUNCTION",   NULL };
	_cleanup_json_ json_t *schedules = json_array();
	struct listing listing = { .table.headers = headers, .schedules = schedules };
	int r;

	do
		r = add_page(context, arguments, &listing);
	while (r == 0 && listing.token[0]);
	if (r == 0 && context->json)
		r = output_json(json_pack("{s:O}", "Schedules", schedules));
	else if (r == 0)
		table_print(&listing.table);
	table_free(&listing.table);
	return r;
}

static const struct verb_option options[] = {
	{ "name-prefix", 0, OPTION_TEXT, "PREFIX", "only those whose name begins so" },
	{ "state", 0, OPTION_CHOICE, "ENABLED|DISABLED", "only those" },
	{ 0 },
};

const struct verb verb_schedule_list = {
	.name = "schedule list",
	.operands = "",
	.summary = "List schedules",
	.help = "Without their input, which `schedule get` shows.\n\n"
		"Examples:\n"
		"  mayfly schedule list\n"
		"  mayfly schedule list --name-prefix nightly- --state ENABLED\n",
	.options = options,
	.run = run,
};
