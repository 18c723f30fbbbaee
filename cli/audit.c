/* SPDX-License-Identifier: Apache-2.0 */

#include <time.h>

#include "cli/output.h"
#include "cli/verbs.h"
#include "mayfly/clock.h"

static json_t *to_json(const Mayfly__V1__AuditRecord *r)
{
	return json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "TimeUs",
			 (json_int_t)r->time_us, "Principal", r->principal, "AccessKeyId",
			 r->access_key_id, "Tenant", r->tenant, "Method", r->method, "Resource",
			 r->resource, "Peer", r->peer, "Result", r->result, "Message", r->message);
}

static void add(struct table *table, const Mayfly__V1__AuditRecord *r)
{
	time_t seconds = (time_t)(r->time_us / USEC_PER_SEC);
	const char *method = strrchr(r->method, '.');
	struct tm utc;
	char when[32] = "";

	if (gmtime_r(&seconds, &utc))
		(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &utc);
	table_cell(table, "%s", when);
	table_cell(table, "%s", *r->tenant ? r->tenant : "-");
	table_cell(table, "%s", *r->principal ? r->principal : "(unknown)");
	table_cell(table, "%s", r->peer);
	table_cell(table, "%s", method ? method + 1 : r->method);
	table_cell(table, "%s", *r->resource ? r->resource : "-");
	table_cell(table, "%s", r->result);
	table_cell(table, "%s", r->message);
}

static int add_all(struct context *context, int64_t start_us, struct table *table, json_t *list)
{
	char token[32] = "";

	do {
		_cleanup_message_ Mayfly__V1__QueryAuditResponse *page = NULL;
		Mayfly__V1__QueryAuditRequest request = MAYFLY__V1__QUERY_AUDIT_REQUEST__INIT;

		request.start_time_us = start_us;
		request.next_token = token;
		int r = client_audit_query(context->client, &request, &page, &context->error);
		if (r < 0)
			return r;
		for (size_t i = 0; i < page->n_records; i++) {
			add(table, page->records[i]);
			(void)json_array_append_new(list, to_json(page->records[i]));
		}
		(void)snprintf(token, sizeof(token), "%s", page->next_token);
	} while (token[0]);
	return 0;
}

static int run(struct context *context, const struct arguments *arguments)
{
	static const char *const headers[] = { "TIME",     "TENANT", "WHO",     "FROM", "WHAT",
					       "RESOURCE", "RESULT", "MESSAGE", NULL };
	_cleanup_table_ struct table table = { .headers = headers };
	_cleanup_json_ json_t *list = json_array();
	int64_t since_us = 24 * 3600 * USEC_PER_SEC;

	int r = argument_duration(arguments, "since", &since_us, &context->error);
	if (r == 0)
		r = add_all(context, clock_realtime_us() - since_us, &table, list);
	if (r < 0)
		return r;
	if (context->json)
		return output_json(json_pack("{s:O}", "Records", list));
	table_print(&table);
	return 0;
}

static const struct verb_option options[] = {
	{ "since", 0, OPTION_TEXT, "TIME", "how far back: 90s, 10m, 2h, 7d; a day by default" },
	{ 0 },
};

const struct verb verb_audit = {
	.name = "audit",
	.operands = "",
	.summary = "Show who changed what, and who was refused",
	.help = "Examples:\n"
		"  mayfly audit --since 1h\n"
		"  mayfly audit --tenant 210987654321 --output json\n",
	.options = options,
	.run = run,
};
