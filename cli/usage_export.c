/* SPDX-License-Identifier: Apache-2.0 */

#include <inttypes.h>
#include <string.h>

#include "cli/messages.h"
#include "cli/usage.h"
#include "cli/verbs.h"
#include "mayfly/clock.h"

#define CSV_HEAD                                                                                   \
	"request_id,tenant,function_name,version,started_at,duration_ms,init_ms,restore_ms,"       \
	"billed_ms,billed_restore_ms,memory_mb,max_memory_mb,event_bytes,answer_bytes,"            \
	"streamed_bytes,start,result,withheld,provisioned,storage_mb,billed_stream_bytes,"         \
	"restored_mb"

static void print_milliseconds(bool there, int64_t us)
{
	if (there)
		(void)printf("%" PRId64 ".%03" PRId64, us / 1000, us % 1000);
	(void)putchar(',');
}

/* No text of a record has a comma, a quote or a newline. */
static void print_csv(const Mayfly__V1__UsageRecord *record)
{
	char time[CLOCK_ISO8601_BYTES];

	clock_format_iso8601(record->started_at_us, time);
	(void)printf("%s,%s,%s,%s,%s,", record->request_id, record->tenant, record->function_name,
		     record->version, time);
	print_milliseconds(true, record->duration_us);
	print_milliseconds(record->_init_us_case, record->init_us);
	print_milliseconds(record->_restore_us_case, record->restore_us);
	(void)printf("%" PRIu64 ",", record->billed_ms);
	if (record->_billed_restore_ms_case)
		(void)printf("%" PRIu64, record->billed_restore_ms);
	(void)printf(",%u,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%s,%s,%d,%d,%u,%" PRIu64
		     ",%" PRIu64 "\n",
		     record->memory_size_mb, record->max_memory_used_mb, record->event_bytes,
		     record->answer_bytes, record->streamed_bytes,
		     name_of_start_kind((int)record->start_kind),
		     usage_result_name((int)record->result), record->withheld, record->provisioned,
		     record->storage_mb, record->billed_stream_bytes, record->restored_mb);
}

static int print_page(const Mayfly__V1__ExportUsageResponse *page, bool json)
{
	int r = 0;

	for (size_t i = 0; i < page->n_records && r == 0; i++)
		if (json)
			r = output_json_line(usage_record_json(page->records[i]));
		else
			print_csv(page->records[i]);
	return r;
}

static int print_all(struct context *context, struct client_stream *stream, bool json)
{
	_cleanup_free_ char *token = NULL;
	int r;

	for (;;) {
		_cleanup_message_ Mayfly__V1__ExportUsageResponse *page = NULL;

		r = client_usage_export_next(stream, &page, &context->error);
		if (r <= 0)
			break;
		r = print_page(page, json);
		if (r < 0)
			break;
		free(token);
		token = strdup(page->resume_token);
	}
	if (fflush(stdout) == 0 && token)
		(void)fprintf(stderr, "The records behind these: --resume %s\n", token);
	return r;
}

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_(client_stream_close_p) struct client_stream *stream = NULL;
	Mayfly__V1__ExportUsageRequest request = MAYFLY__V1__EXPORT_USAGE_REQUEST__INIT;
	Mayfly__V1__UsageFilter filter;
	const char *format = argument(arguments, "format");
	const char *token = argument(arguments, "resume");
	bool json = context->json || (format && strcmp(format, "json") == 0);
	int r = usage_filter(arguments, &filter, &context->error);

	if (r < 0)
		return r;
	request.filter = &filter;
	request.all_tenants = argument_flag(arguments, "all-tenants");
	if (token)
		request.resume_token = (char *)token;
	r = client_usage_export(context->client, &request, &stream, &context->error);
	if (r < 0)
		return r;
	if (!json && !token)
		(void)puts(CSV_HEAD);
	return print_all(context, stream, json);
}

static const struct verb_option options[] = {
	{ "format", 0, OPTION_CHOICE, "csv|json", "csv (default), or one JSON object a line" },
	{ "resume", 0, OPTION_TEXT, "TOKEN", "go on behind a former export, without a header" },
	USAGE_FILTER_OPTIONS,
	{ 0 },
};

const struct verb verb_usage_export = {
	.name = "usage export",
	.operands = "[NAME]",
	.max = 1,
	.summary = "Print a record for each invocation that ran",
	.help = "In the order in which they became durable. At the end it says on stderr the token "
		"with\nwhich a later export goes on. Records are kept for ledger.raw_keep_days.\n\n"
		"Examples:\n"
		"  mayfly usage export --month 2026-11 > november.csv\n"
		"  mayfly usage export area --since 1h --format json\n"
		"  mayfly usage export --resume 4711 >> november.csv\n",
	.options = options,
	.run = run,
};
