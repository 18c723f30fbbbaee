/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/usage_stream.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/api/outbox.h"
#include "agent/api/usage_message.h"

#define PAGE_RECORDS     500
#define WATCH_MAX_COUNT  10000
#define WATCH_MAX_BYTES  (4U << 20)
#define RESUME_MAX_BYTES 24

/* -- Export -- */

struct export
{
	struct account *account; /* borrowed */
	struct rpc_call *call;
	struct ledger_filter filter;
	uint64_t after;
	bool reading;
	bool more;
	bool cancelled;
};

static int read_page(struct export *export, struct error *error);

static void export_end(struct export *export, const struct error *error)
{
	if (error)
		rpc_call_fail(export->call, error);
	else
		rpc_call_finish(export->call);
	free(export);
}

/* The last message went out. */
static void on_export_writable(void *arg)
{
	struct export *export = arg;
	_cleanup_error_ struct error error = ERROR_INIT;

	if (export->reading)
		return;
	if (!export->more)
		export_end(export, NULL);
	else if (read_page(export, &error) < 0)
		export_end(export, &error);
}

static int fill_page(const struct account_records *result, Mayfly__V1__ExportUsageResponse *page)
{
	page->records = calloc(result->count + 1, sizeof(*page->records));
	if (!page->records)
		return -ENOMEM;
	while (page->n_records < result->count) {
		Mayfly__V1__UsageRecord *record =
			usage_record_message(&result->records[page->n_records]);

		if (!record)
			return -ENOMEM;
		page->records[page->n_records++] = record;
	}
	return 0;
}

static int send_page(struct export *export, const struct account_records *result)
{
	Mayfly__V1__ExportUsageResponse page = MAYFLY__V1__EXPORT_USAGE_RESPONSE__INIT;
	char token[RESUME_MAX_BYTES];
	int r = fill_page(result, &page);

	export->after = result->records[result->count - 1].sequence;
	(void)snprintf(token, sizeof(token), "%" PRIu64, export->after);
	page.resume_token = token;
	if (r == 0)
		r = rpc_call_send(export->call, &page.base);
	for (size_t i = 0; i < page.n_records; i++)
		mayfly__v1__usage_record__free_unpacked(page.records[i], NULL);
	free(page.records);
	return r;
}

static void on_page(const struct account_records *result, void *arg)
{
	struct export *export = arg;
	_cleanup_error_ struct error error = ERROR_INIT;
	int r;

	export->reading = false;
	export->more = result->more;
	if (result->error || export->cancelled || result->count == 0) {
		export_end(export, result->error);
		return;
	}
	r = send_page(export, result);
	if (r < 0 && r != -ECANCELED) {
		(void)error_set_errno(&error, r, "Cannot answer with usage records");
		export_end(export, &error);
	}
}

static int read_page(struct export *export, struct error *error)
{
	int r = account_read(export->account, &export->filter, export->after, PAGE_RECORDS, on_page,
			     export);

	if (r < 0)
		return error_set_errno(error, r, "Cannot read the ledger");
	export->reading = true;
	return 0;
}

static void on_export_cancelled(void *arg)
{
	struct export *export = arg;

	export->cancelled = true;
	if (!export->reading)
		export_end(export, NULL);
}

int usage_export_start(struct account *account, struct rpc_call *call,
		       const struct ledger_filter *filter, uint64_t after, struct error *error)
{
	_cleanup_free_ struct export *export = calloc(1, sizeof(*export));
	int r;

	if (!export)
		return error_set_errno(error, ENOMEM, "Cannot read the ledger");
	export->account = account;
	export->call = call;
	export->filter = *filter;
	export->after = after;
	r = read_page(export, error);
	if (r < 0)
		return r;
	rpc_call_set_writable(call, on_export_writable, export);
	rpc_call_set_cancelled(call, on_export_cancelled, export);
	(void)TAKE_PTR(export);
	return 0;
}

/* -- Watch -- */

struct usage_watch {
	LIST_ENTRY(usage_watch) link;
	struct usage_watch_list *list;
	struct rpc_call *call;
	struct ledger_filter filter;
	struct outbox outbox;
};

static Mayfly__V1__WatchUsageResponse *new_message(void)
{
	Mayfly__V1__WatchUsageResponse *message = malloc(sizeof(*message));

	if (message)
		mayfly__v1__watch_usage_response__init(message);
	return message;
}

static ProtobufCMessage *make_left_out(uint64_t count)
{
	Mayfly__V1__WatchUsageResponse *message = new_message();

	if (!message)
		return NULL;
	message->left_out = count;
	return &message->base;
}

static ProtobufCMessage *record_message(const struct ledger_record *record)
{
	Mayfly__V1__WatchUsageResponse *message = new_message();

	if (!message)
		return NULL;
	message->record = usage_record_message(record);
	if (message->record)
		return &message->base;
	free(message);
	return NULL;
}

static const struct outbox_limits watch_limits = {
	.max_count = WATCH_MAX_COUNT,
	.max_bytes = WATCH_MAX_BYTES,
	.make_dropped = make_left_out,
};

static void on_watch_writable(void *arg)
{
	struct usage_watch *watch = arg;

	(void)outbox_pump(&watch->outbox, watch->call);
}

static void watch_end(void *arg)
{
	struct usage_watch *watch = arg;

	LIST_REMOVE(watch, link);
	watch->list->count--;
	rpc_call_finish(watch->call);
	outbox_clear(&watch->outbox);
	free(watch);
}

int usage_watch_start(struct usage_watch_list *list, struct rpc_call *call,
		      const struct ledger_filter *filter, struct error *error)
{
	struct usage_watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return error_set_errno(error, ENOMEM, "Cannot follow the ledger");
	watch->list = list;
	watch->call = call;
	watch->filter = *filter;
	outbox_init(&watch->outbox, &watch_limits);
	rpc_call_set_writable(call, on_watch_writable, watch);
	rpc_call_set_cancelled(call, watch_end, watch);
	LIST_INSERT_HEAD(&list->watches, watch, link);
	list->count++;
	return 0;
}

void usage_watch_list_put(struct usage_watch_list *list, const struct ledger_record *record)
{
	struct usage_watch *watch;

	LIST_FOREACH (watch, &list->watches, link) {
		if (!usage_filter_has(&watch->filter, record))
			continue;
		outbox_put(&watch->outbox, record_message(record));
		(void)outbox_pump(&watch->outbox, watch->call);
	}
}

/* Through its encoding: the outbox owns what it gets. */
static ProtobufCMessage *budget_message(const Mayfly__V1__Budget *budget, bool hard)
{
	Mayfly__V1__BudgetEvent event = MAYFLY__V1__BUDGET_EVENT__INIT;
	Mayfly__V1__WatchUsageResponse message = MAYFLY__V1__WATCH_USAGE_RESPONSE__INIT;
	_cleanup_free_ uint8_t *packed = NULL;
	size_t len;

	event.budget = (Mayfly__V1__Budget *)(uintptr_t)budget;
	event.hard = hard;
	message.budget = &event;
	len = protobuf_c_message_get_packed_size(&message.base);
	packed = malloc(len);
	if (!packed)
		return NULL;
	(void)protobuf_c_message_pack(&message.base, packed);
	return protobuf_c_message_unpack(message.base.descriptor, NULL, len, packed);
}

void usage_watch_list_put_budget(struct usage_watch_list *list, const Mayfly__V1__Budget *budget,
				 bool hard)
{
	struct usage_watch *watch;

	LIST_FOREACH (watch, &list->watches, link) {
		const struct ledger_filter *filter = &watch->filter;

		if ((filter->tenant[0] && strcmp(filter->tenant, budget->tenant) != 0) ||
		    (filter->function[0] && budget->function_name[0] &&
		     strcmp(filter->function, budget->function_name) != 0))
			continue;
		outbox_put(&watch->outbox, budget_message(budget, hard));
		(void)outbox_pump(&watch->outbox, watch->call);
	}
}

void usage_watch_list_stop(struct usage_watch_list *list)
{
	while (!LIST_EMPTY(&list->watches))
		watch_end(LIST_FIRST(&list->watches));
}
