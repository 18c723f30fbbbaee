/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/usage_service.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "agent/api/usage_message.h"
#include "agent/api/usage_reconcile.h"
#include "agent/api/usage_stream.h"
#include "mayfly/clock.h"

#define ITEMS_DEFAULT    100
#define ITEMS_MAX        1000
#define MARKER_MAX_BYTES 24

struct usage_service {
	struct account *account;
	struct pool *pool;
	const struct api_context *context;
	struct usage_watch_list watches;
	bool stopped;
};

/* Of a marker or a resume token: digits only. "" is 0. */
static int parse_number(const char *text, const char *field, uint64_t *ret, struct error *error)
{
	size_t digits = strspn(text, "0123456789");
	uint64_t number;

	errno = 0;
	number = strtoull(text, NULL, 10);
	if (text[digits] || digits > 19 || errno || number > INT64_MAX)
		return error_set(error, ERROR_INVALID_PARAMETER, field,
				 "The %s is not one of a former answer.", field);
	*ret = number;
	return 0;
}

/* -- Query -- */

struct query_call {
	struct rpc_call *call;
	struct account *account;
	struct ledger_query query;
};

static int decode_groups(const Mayfly__V1__QueryUsageRequest *message, unsigned *ret,
			 struct error *error)
{
	static const unsigned groups[] = {
		[MAYFLY__V1__USAGE_GROUP__USAGE_GROUP_TENANT] = LEDGER_BY_TENANT,
		[MAYFLY__V1__USAGE_GROUP__USAGE_GROUP_FUNCTION] = LEDGER_BY_FUNCTION,
		[MAYFLY__V1__USAGE_GROUP__USAGE_GROUP_VERSION] = LEDGER_BY_VERSION,
		[MAYFLY__V1__USAGE_GROUP__USAGE_GROUP_HOUR] = LEDGER_BY_HOUR,
		[MAYFLY__V1__USAGE_GROUP__USAGE_GROUP_DAY] = LEDGER_BY_DAY,
	};

	*ret = 0;
	for (size_t i = 0; i < message->n_group_by; i++) {
		size_t group = (size_t)message->group_by[i];

		if (group >= ARRAY_SIZE(groups) || !groups[group])
			return error_set(error, ERROR_INVALID_PARAMETER, "group_by",
					 "There is no group %d.", (int)message->group_by[i]);
		*ret |= groups[group];
	}
	if ((*ret & LEDGER_BY_HOUR) && (*ret & LEDGER_BY_DAY))
		return error_set(error, ERROR_INVALID_PARAMETER, "group_by",
				 "One of hour and day may be grouped by, and not both.");
	return 0;
}

static int decode_order(int order, struct ledger_query *ret, struct error *error)
{
	static const enum ledger_figure figures[] = {
		[MAYFLY__V1__USAGE_ORDER__USAGE_ORDER_INVOCATIONS] = LEDGER_INVOCATIONS,
		[MAYFLY__V1__USAGE_ORDER__USAGE_ORDER_ERRORS] = LEDGER_ERRORS,
		[MAYFLY__V1__USAGE_ORDER__USAGE_ORDER_GB_SECONDS] = LEDGER_MB_MS,
	};

	ret->by_figure = order != MAYFLY__V1__USAGE_ORDER__USAGE_ORDER_UNSPECIFIED;
	if (order < 0 || (size_t)order >= ARRAY_SIZE(figures))
		return error_set(error, ERROR_INVALID_PARAMETER, "order", "There is no order %d.",
				 order);
	ret->figure = figures[order];
	return 0;
}

/* Rollups know whole hours. */
static void widen(struct ledger_filter *filter)
{
	int64_t to_us = filter->to_us == INT64_MAX ? clock_realtime_us() + 1 : filter->to_us;

	filter->from_us -= filter->from_us % LEDGER_HOUR_US;
	if (to_us > INT64_MAX - LEDGER_HOUR_US)
		to_us = INT64_MAX - LEDGER_HOUR_US;
	filter->to_us = (to_us + LEDGER_HOUR_US - 1) / LEDGER_HOUR_US * LEDGER_HOUR_US;
}

static int decode_query(const struct usage_service *service,
			const Mayfly__V1__QueryUsageRequest *message, struct ledger_query *ret,
			struct error *error)
{
	int r = usage_decode_filter(service->context, message->tenant, message->all_tenants,
				    message->filter, &ret->filter, error);

	if (r == 0)
		r = decode_groups(message, &ret->groups, error);
	if (r == 0)
		r = decode_order((int)message->order, ret, error);
	if (r == 0)
		r = parse_number(message->marker, "marker", &ret->offset, error);
	if (r < 0)
		return r;
	if (message->max_items > ITEMS_MAX)
		return error_set(error, ERROR_INVALID_PARAMETER, "max_items",
				 "1 validation error detected: Value '%u' at 'maxItems' failed to "
				 "satisfy constraint: Member must have value less than or equal "
				 "to %d",
				 message->max_items, ITEMS_MAX);
	ret->limit = message->max_items ? message->max_items : ITEMS_DEFAULT;
	widen(&ret->filter);
	return 0;
}

static int fill_rows(const struct account_rows *result, const struct account_prices *prices,
		     Mayfly__V1__QueryUsageResponse *response)
{
	response->rows = calloc(result->count + 1, sizeof(*response->rows));
	response->total = usage_row_message(&result->total, prices);
	if (!response->rows || !response->total)
		return -ENOMEM;
	while (response->n_rows < result->count) {
		Mayfly__V1__UsageRow *row =
			usage_row_message(&result->rows[response->n_rows], prices);

		if (!row)
			return -ENOMEM;
		response->rows[response->n_rows++] = row;
	}
	return 0;
}

static void free_rows(Mayfly__V1__QueryUsageResponse *response)
{
	for (size_t i = 0; i < response->n_rows; i++)
		mayfly__v1__usage_row__free_unpacked(response->rows[i], NULL);
	free(response->rows);
	if (response->total)
		mayfly__v1__usage_row__free_unpacked(response->total, NULL);
}

static void reply_rows(struct query_call *query, const struct account_rows *result)
{
	const struct account_prices *prices = account_prices(query->account);
	Mayfly__V1__QueryUsageResponse response = MAYFLY__V1__QUERY_USAGE_RESPONSE__INIT;
	_cleanup_error_ struct error error = ERROR_INIT;
	char marker[MARKER_MAX_BYTES] = "";
	Mayfly__V1__UsagePrices book;
	int r = fill_rows(result, prices, &response);

	if (result->more)
		(void)snprintf(marker, sizeof(marker), "%" PRIu64,
			       query->query.offset + result->count);
	response.next_marker = marker;
	response.from_us = query->query.filter.from_us;
	response.to_us = query->query.filter.to_us;
	response.price_request_pico = prices->request_pico;
	response.price_gb_second_pico = prices->gb_second_pico;
	usage_fill_prices(prices, &book);
	response.prices = &book;
	if (r < 0) {
		(void)error_set_errno(&error, r, "Cannot answer with usage");
		rpc_call_fail(query->call, &error);
	} else {
		rpc_call_reply(query->call, &response.base);
	}
	free_rows(&response);
}

static void on_rows(const struct account_rows *result, void *arg)
{
	_cleanup_free_ struct query_call *query = arg;

	if (result->error)
		rpc_call_fail(query->call, result->error);
	else
		reply_rows(query, result);
}

static int begin_query(struct usage_service *service, struct rpc_call *call,
		       const Mayfly__V1__QueryUsageRequest *message, struct error *error)
{
	_cleanup_free_ struct query_call *query = calloc(1, sizeof(*query));
	int r;

	if (!query)
		return error_set_errno(error, ENOMEM, "Cannot read the ledger");
	query->call = call;
	query->account = service->account;
	r = decode_query(service, message, &query->query, error);
	if (r < 0)
		return r;
	r = account_query(service->account, &query->query, on_rows, query);
	if (r < 0)
		return error_set_errno(error, r, "Cannot read the ledger");
	(void)TAKE_PTR(query);
	return 0;
}

/* -- Export, Watch -- */

static int begin_export(struct usage_service *service, struct rpc_call *call,
			const Mayfly__V1__ExportUsageRequest *message, struct error *error)
{
	struct ledger_filter filter;
	uint64_t after;
	int r = usage_decode_filter(service->context, message->tenant, message->all_tenants,
				    message->filter, &filter, error);

	if (r == 0)
		r = parse_number(message->resume_token, "resume_token", &after, error);
	if (r < 0)
		return r;
	if (message->resume_token[0] && after < account_trimmed(service->account))
		return error_set(error, ERROR_INVALID_PARAMETER, "resume_token",
				 "Records behind this token have been deleted, for they are kept "
				 "for ledger.raw_keep_days; export without it what is there.");
	return usage_export_start(service->account, call, &filter, after, error);
}

static int begin_watch(struct usage_service *service, struct rpc_call *call,
		       const Mayfly__V1__WatchUsageRequest *message, struct error *error)
{
	struct ledger_filter filter;
	int r = usage_decode_filter(service->context, message->tenant, message->all_tenants,
				    message->filter, &filter, error);

	if (r < 0)
		return r;
	if (message->filter && (message->filter->from_us || message->filter->to_us))
		return error_set(error, ERROR_INVALID_PARAMETER, "filter",
				 "Times are not for new records.");
	if (service->stopped)
		return error_set(error, ERROR_UNAVAILABLE, NULL, "The node is stopping.");
	return usage_watch_start(&service->watches, call, &filter, error);
}

/* -- the service -- */

static void on_query(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	if (begin_query(user, call, (const Mayfly__V1__QueryUsageRequest *)message, &error) < 0)
		rpc_call_fail(call, &error);
}

static void on_export(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	if (begin_export(user, call, (const Mayfly__V1__ExportUsageRequest *)message, &error) < 0)
		rpc_call_fail(call, &error);
}

static void on_watch(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	if (begin_watch(user, call, (const Mayfly__V1__WatchUsageRequest *)message, &error) < 0)
		rpc_call_fail(call, &error);
}

static void on_reconcile(struct rpc_call *call, const ProtobufCMessage *message _unused_,
			 void *user)
{
	struct usage_service *service = user;

	usage_reconcile(service->account, service->pool, call);
}

static void on_record(const struct ledger_record *record, void *arg)
{
	struct usage_service *service = arg;

	usage_watch_list_put(&service->watches, record);
}

static const struct rpc_method_handler handlers[] = {
	{ "Query", on_query },         { "Export", on_export }, { "Watch", on_watch },
	{ "Reconcile", on_reconcile }, { NULL, NULL },
};

int usage_service_register(struct rpc_server *server, struct account *account, struct pool *pool,
			   const struct api_context *context, struct usage_service **ret,
			   struct error *error)
{
	_cleanup_(usage_service_free_p) struct usage_service *service = calloc(1, sizeof(*service));
	int r;

	if (!service)
		return error_set_errno(error, ENOMEM, "Cannot serve usage");
	service->account = account;
	service->pool = pool;
	service->context = context;
	LIST_INIT(&service->watches.watches);
	r = rpc_server_add_service(server, &mayfly__v1__usage_service__descriptor, handlers,
				   service, error);
	if (r < 0)
		return r;
	account_set_listener(account, on_record, service);
	*ret = TAKE_PTR(service);
	return 0;
}

void usage_service_tell_budget(struct usage_service *service, const Mayfly__V1__Budget *budget,
			       bool hard)
{
	usage_watch_list_put_budget(&service->watches, budget, hard);
}

void usage_service_stop(struct usage_service *service)
{
	service->stopped = true;
	usage_watch_list_stop(&service->watches);
}

struct usage_service *usage_service_free(struct usage_service *service)
{
	if (service)
		account_set_listener(service->account, NULL, NULL);
	free(service);
	return NULL;
}
