/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/audit_service.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "mayfly/v1/audit.pb-c.h"

struct query {
	struct rpc_call *call;
	size_t limit;
};

static void encode(const struct audit_record *from, Mayfly__V1__AuditRecord *to)
{
	mayfly__v1__audit_record__init(to);
	to->time_us = from->time_us;
	to->principal = (char *)(uintptr_t)from->principal;
	to->access_key_id = (char *)(uintptr_t)from->access_key_id;
	to->tenant = (char *)(uintptr_t)from->tenant;
	to->method = (char *)(uintptr_t)from->method;
	to->resource = (char *)(uintptr_t)from->resource;
	to->peer = (char *)(uintptr_t)from->peer;
	to->result = (char *)(uintptr_t)from->result;
	to->message = (char *)(uintptr_t)from->message;
}

static void fail_memory(struct rpc_call *call)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	(void)error_set_errno(&error, ENOMEM, "Cannot answer");
	rpc_call_fail(call, &error);
}

static void answer(const struct audit_record *records, size_t count, const struct error *error,
		   void *arg)
{
	_cleanup_free_ struct query *query = arg;
	Mayfly__V1__QueryAuditResponse response = MAYFLY__V1__QUERY_AUDIT_RESPONSE__INIT;
	_cleanup_free_ Mayfly__V1__AuditRecord *messages = calloc(count + 1, sizeof(*messages));
	_cleanup_free_ Mayfly__V1__AuditRecord **pointers = calloc(count + 1, sizeof(*pointers));
	char token[32] = "";

	if (error) {
		rpc_call_fail(query->call, error);
		return;
	}
	if (!messages || !pointers) {
		fail_memory(query->call);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		encode(&records[i], &messages[i]);
		pointers[i] = &messages[i];
	}
	if (count > 0 && count == query->limit)
		(void)snprintf(token, sizeof(token), "%" PRId64, records[count - 1].id);
	response.records = pointers;
	response.n_records = count;
	response.next_token = token;
	rpc_call_reply(query->call, &response.base);
}

static int parse(const Mayfly__V1__QueryAuditRequest *from, struct audit_filter *ret,
		 struct error *error)
{
	const char *token = from->next_token;
	size_t digits = strspn(token, "0123456789");

	if (token[digits] || digits > 18)
		return error_set(error, ERROR_INVALID_PARAMETER, "next_token",
				 "The next token is not one that this service gave.");
	if (from->limit > TRAIL_QUERY_MAX)
		return error_set(error, ERROR_INVALID_PARAMETER, "limit",
				 "At most %d records can be asked for.", TRAIL_QUERY_MAX);
	if (from->start_time_us < 0 || from->end_time_us < 0)
		return error_set(error, ERROR_INVALID_PARAMETER,
				 from->start_time_us < 0 ? "start_time_us" : "end_time_us",
				 "A time must not be negative.");
	*ret = (struct audit_filter){
		.tenant = from->tenant, /* the gate has put a user's own there */
		.start_us = from->start_time_us,
		.end_us = from->end_time_us ? from->end_time_us : INT64_MAX,
		.after_id = digits ? strtoll(token, NULL, 10) : 0,
		.limit = from->limit ? from->limit : TRAIL_QUERY_MAX,
	};
	return 0;
}

static void on_query(struct rpc_call *call, const ProtobufCMessage *message, void *trail)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct audit_filter filter;
	struct query *query;

	if (parse((const Mayfly__V1__QueryAuditRequest *)message, &filter, &error) < 0) {
		rpc_call_fail(call, &error);
		return;
	}
	query = malloc(sizeof(*query));
	if (!query) {
		fail_memory(call);
		return;
	}
	*query = (struct query){ call, filter.limit };
	trail_query(trail, &filter, answer, query);
}

static const struct rpc_method_handler handlers[] = {
	{ "Query", on_query },
	{ NULL, NULL },
};

int audit_service_register(struct rpc_server *server, struct trail *trail, struct error *error)
{
	return rpc_server_add_service(server, &mayfly__v1__audit_service__descriptor, handlers,
				      trail, error);
}
