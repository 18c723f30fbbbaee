/* SPDX-License-Identifier: Apache-2.0 */

#include <inttypes.h>
#include <string.h>

#include "cli/usage.h"
#include "cli/verbs.h"
#include "mayfly/clock.h"

#define GROUPS_MAX         5
#define HEADERS_MAX        14
#define MB_MS_IN_GB_SECOND 1024000.0

static const struct group {
	const char *name;
	Mayfly__V1__UsageGroup group;
	const char *header;
} groups[GROUPS_MAX] = {
	{ "tenant", MAYFLY__V1__USAGE_GROUP__USAGE_GROUP_TENANT, "TENANT" },
	{ "function", MAYFLY__V1__USAGE_GROUP__USAGE_GROUP_FUNCTION, "FUNCTION" },
	{ "version", MAYFLY__V1__USAGE_GROUP__USAGE_GROUP_VERSION, "VERSION" },
	{ "hour", MAYFLY__V1__USAGE_GROUP__USAGE_GROUP_HOUR, "HOUR" },
	{ "day", MAYFLY__V1__USAGE_GROUP__USAGE_GROUP_DAY, "DAY" },
};

struct listing {
	bool by[GROUPS_MAX];
	Mayfly__V1__UsageGroup group_by[GROUPS_MAX];
	struct table table;
	const char *headers[HEADERS_MAX + 1];
	json_t *rows; /* owned; NULL: a table is made */
	bool parts;   /* of the cost, instead of counts */
};

/* -- what was asked for -- */

static int parse_group(struct listing *listing, const char *word, size_t len, struct error *e)
{
	for (size_t i = 0; i < GROUPS_MAX; i++)
		if (strlen(groups[i].name) == len && strncmp(groups[i].name, word, len) == 0) {
			listing->by[i] = true;
			return 0;
		}
	return error_set(e, ERROR_INVALID_PARAMETER, "by",
			 "--by takes tenant, function, version, hour and day, separated by commas, "
			 "not '%.*s'",
			 (int)len, word);
}

static int parse_groups(struct listing *listing, const char *text, struct error *e)
{
	int r = 0;

	for (const char *word = text ? text : "function"; word && r == 0;) {
		size_t len = strcspn(word, ",");

		r = parse_group(listing, word, len, e);
		word = word[len] ? word + len + 1 : NULL;
	}
	return r;
}

static Mayfly__V1__UsageOrder parse_order(const char *text)
{
	if (text && strcmp(text, "invocations") == 0)
		return MAYFLY__V1__USAGE_ORDER__USAGE_ORDER_INVOCATIONS;
	if (text && strcmp(text, "errors") == 0)
		return MAYFLY__V1__USAGE_ORDER__USAGE_ORDER_ERRORS;
	if (text && strcmp(text, "gb-seconds") == 0)
		return MAYFLY__V1__USAGE_ORDER__USAGE_ORDER_GB_SECONDS;
	return MAYFLY__V1__USAGE_ORDER__USAGE_ORDER_UNSPECIFIED;
}

static void name_columns(struct listing *listing, Mayfly__V1__QueryUsageRequest *request)
{
	static const char *const figures[] = { "INVOCATIONS", "ERRORS", "COLD", "BILLED MS",
					       "GB-S",        "IN",     "OUT",  "COST" };
	static const char *const parts[] = { "INVOCATIONS",    "GB-S",         "PROVISIONED GB-S",
					     "ALLOCATED GB-S", "STORAGE GB-S", "STREAM BYTES",
					     "CACHED GB-S",    "RESTORED GB",  "COST" };
	const char *const *names = listing->parts ? parts : figures;
	size_t n = 0;

	request->group_by = listing->group_by;
	for (size_t i = 0; i < GROUPS_MAX; i++)
		if (listing->by[i]) {
			listing->group_by[request->n_group_by++] = groups[i].group;
			listing->headers[n++] = groups[i].header;
		}
	for (size_t i = 0; i < (listing->parts ? ARRAY_SIZE(parts) : ARRAY_SIZE(figures)); i++)
		listing->headers[n++] = names[i];
	listing->table.headers = listing->headers;
}

/* -- rows -- */

static void add_key(struct table *table, size_t group, const Mayfly__V1__UsageRow *row)
{
	char time[CLOCK_ISO8601_BYTES];
	const char *const texts[] = { row->tenant, row->function_name, row->version };

	if (group < ARRAY_SIZE(texts)) {
		table_cell(table, "%s", texts[group]);
		return;
	}
	clock_format_iso8601(row->begins_us, time);
	table_cell(table, "%.*s%s", group == 3 ? 16 : 10, time, group == 3 ? "Z" : "");
}

static void add_figures(struct table *table, const Mayfly__V1__UsageRow *row)
{
	const Mayfly__V1__UsageFigures *figures = row->figures;
	char in[TEXT_BYTES], out[TEXT_BYTES], money[USAGE_MONEY_BYTES];

	table_cell(table, "%" PRIu64, figures->invocations);
	table_cell(table, "%" PRIu64, figures->errors);
	table_cell(table, "%" PRIu64, figures->cold_starts);
	table_cell(table, "%" PRIu64, figures->billed_ms);
	table_cell(table, "%.3f", (double)figures->billed_mb_ms / MB_MS_IN_GB_SECOND);
	table_cell(table, "%s", text_bytes(figures->event_bytes, in));
	table_cell(table, "%s", text_bytes(figures->answer_bytes, out));
	table_cell(table, "%s", usage_money(row->cost, money));
}

static void add_gb_seconds(struct table *table, uint64_t mb_ms)
{
	table_cell(table, "%.3f", (double)mb_ms / MB_MS_IN_GB_SECOND);
}

static void add_parts(struct table *table, const Mayfly__V1__UsageRow *row)
{
	const Mayfly__V1__UsageFigures *figures = row->figures;
	char money[USAGE_MONEY_BYTES];

	table_cell(table, "%" PRIu64, figures->invocations);
	add_gb_seconds(table, figures->billed_mb_ms);
	add_gb_seconds(table, figures->provisioned_mb_ms);
	add_gb_seconds(table, figures->allocated_mb_ms);
	add_gb_seconds(table, figures->storage_mb_ms);
	table_cell(table, "%" PRIu64, figures->billed_stream_bytes);
	add_gb_seconds(table, figures->cached_mb_ms);
	table_cell(table, "%.3f", (double)figures->restored_mb / 1024);
	table_cell(table, "%s", usage_money(row->cost, money));
}

static void add_cells(struct listing *listing, const Mayfly__V1__UsageRow *row)
{
	if (listing->parts)
		add_parts(&listing->table, row);
	else
		add_figures(&listing->table, row);
}

static void add_row(struct listing *listing, const Mayfly__V1__UsageRow *row)
{
	if (!row->figures)
		return;
	if (listing->rows) {
		(void)json_array_append_new(listing->rows, usage_row_json(row));
		return;
	}
	for (size_t i = 0; i < GROUPS_MAX; i++)
		if (listing->by[i])
			add_key(&listing->table, i, row);
	add_cells(listing, row);
}

static void add_total(struct listing *listing, const Mayfly__V1__UsageRow *total)
{
	bool first = true;

	if (!total || !total->figures)
		return;
	for (size_t i = 0; i < GROUPS_MAX; i++)
		if (listing->by[i]) {
			table_cell(&listing->table, "%s", first ? "total" : "");
			first = false;
		}
	add_cells(listing, total);
}

static int print(struct listing *listing, const Mayfly__V1__QueryUsageResponse *last)
{
	char from[CLOCK_ISO8601_BYTES], to[CLOCK_ISO8601_BYTES];

	if (!listing->rows) {
		add_total(listing, last->total);
		table_print(&listing->table);
		return 0;
	}
	clock_format_iso8601(last->from_us, from);
	clock_format_iso8601(last->to_us, to);
	return output_json(json_pack(
		"{s:s,s:s,s:I,s:I,s:o,s:O,s:o}", "From", from, "To", to, "PriceRequestPico",
		(json_int_t)last->price_request_pico, "PriceGbSecondPico",
		(json_int_t)last->price_gb_second_pico, "Prices",
		last->prices ? usage_prices_json(last->prices) : json_object(), "Rows",
		listing->rows, "Total", last->total ? usage_row_json(last->total) : json_object()));
}

static int list(struct context *context, Mayfly__V1__QueryUsageRequest *request,
		struct listing *listing, uint64_t limit)
{
	_cleanup_message_ Mayfly__V1__QueryUsageResponse *page = NULL;
	uint64_t left = limit;
	int r;

	for (;;) {
		_cleanup_message_ Mayfly__V1__QueryUsageResponse *before = page;

		page = NULL;
		if (before)
			request->marker = before->next_marker;
		request->max_items = left < 1000 ? (uint32_t)left : 1000;
		r = client_usage_query(context->client, request, &page, &context->error);
		if (r < 0)
			return r;
		for (size_t i = 0; i < page->n_rows; i++)
			add_row(listing, page->rows[i]);
		left -= page->n_rows;
		if (!*page->next_marker || left == 0 || interrupted)
			return print(listing, page);
	}
}

static int run(struct context *context, const struct arguments *arguments)
{
	Mayfly__V1__QueryUsageRequest request = MAYFLY__V1__QUERY_USAGE_REQUEST__INIT;
	Mayfly__V1__UsageFilter filter;
	struct listing listing = { 0 };
	uint64_t limit = UINT32_MAX;
	int r = usage_filter(arguments, &filter, &context->error);

	if (r == 0)
		r = parse_groups(&listing, argument(arguments, "by"), &context->error);
	if (r == 0)
		r = argument_number(arguments, "limit", UINT32_MAX, &limit, &context->error);
	if (r < 0)
		return r;
	if (limit == 0)
		return error_set(&context->error, ERROR_INVALID_PARAMETER, "limit",
				 "--limit must be at least 1");
	request.filter = &filter;
	request.all_tenants = argument_flag(arguments, "all-tenants");
	request.order = parse_order(argument(arguments, "sort"));
	listing.parts = argument_flag(arguments, "parts");
	name_columns(&listing, &request);
	listing.rows = context->json ? json_array() : NULL;
	r = list(context, &request, &listing, limit);
	json_decref(listing.rows);
	table_free(&listing.table);
	return r;
}

static const struct verb_option options[] = {
	{ "by", 'b', OPTION_TEXT, "LIST",
	  "rows by tenant, function, version, hour, day (default: function)" },
	{ "sort", 0, OPTION_CHOICE, "key|invocations|errors|gb-seconds",
	  "by what they are grouped by, or the largest first" },
	{ "limit", 0, OPTION_TEXT, "N", "so many rows; the total is of all" },
	{ "parts", 0, OPTION_FLAG, NULL, "everything that is billed, instead of counts and sizes" },
	USAGE_FILTER_OPTIONS,
	{ 0 },
};

const struct verb verb_usage_query = {
	.name = "usage query",
	.operands = "[NAME]",
	.max = 1,
	.summary = "Sum up what ran and what it costs",
	.help = "Times are widened to whole hours, UTC. GB-S are billed seconds times MemorySize "
		"in\n"
		"GiB; with --parts also what they are in provisioned places, what provisioned\n"
		"sandboxes and snapshots are for the time they are kept, and /tmp above 512 MB. "
		"COST\n"
		"is at the node's prices of now (ledger.price_...).\n\n"
		"Examples:\n"
		"  mayfly usage query --month 2026-11\n"
		"  mayfly usage query --by day --since 7d\n"
		"  mayfly usage query area --by version,hour --from 2026-11-25 --output json\n"
		"  mayfly usage query --all-tenants --by tenant --sort gb-seconds --limit 10\n",
	.options = options,
	.run = run,
};
