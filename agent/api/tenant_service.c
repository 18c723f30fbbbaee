/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/tenant_service.h"

#include <errno.h>
#include <string.h>

#include "mayfly/v1/tenant.pb-c.h"

/* `optional` is a oneof of one in the generated code. */
#define HAS_CONCURRENT  MAYFLY__V1__TENANT_LIMITS___CONCURRENT_EXECUTIONS_CONCURRENT_EXECUTIONS
#define HAS_STORAGE     MAYFLY__V1__TENANT_LIMITS___CODE_STORAGE_BYTES_CODE_STORAGE_BYTES
#define HAS_EVENTS      MAYFLY__V1__TENANT_LIMITS___WAITING_EVENTS_WAITING_EVENTS
#define HAS_PROVISIONED MAYFLY__V1__TENANT_LIMITS___PROVISIONED_MEMORY_MB_PROVISIONED_MEMORY_MB
#define HAS_WEIGHT      MAYFLY__V1__TENANT_LIMITS___WEIGHT_WEIGHT

struct tenant_service {
	struct tenants *tenants;
};

/* One request until its answer. */
struct request {
	struct tenant_service *service;
	struct rpc_call *call;
};

/* -- messages -- */

/* A tenant's message; all it points to is borrowed from tenant and limits. */
struct tenant_message {
	Mayfly__V1__Tenant message;
	Mayfly__V1__TenantLimits limits;
};

static void encode_limits(const struct tenant_limits *from, Mayfly__V1__TenantLimits *to)
{
	mayfly__v1__tenant_limits__init(to);
	if (from->has_concurrent_executions) {
		to->_concurrent_executions_case = HAS_CONCURRENT;
		to->concurrent_executions = from->concurrent_executions;
	}
	if (from->has_code_storage_bytes) {
		to->_code_storage_bytes_case = HAS_STORAGE;
		to->code_storage_bytes = from->code_storage_bytes;
	}
	if (from->has_waiting_events) {
		to->_waiting_events_case = HAS_EVENTS;
		to->waiting_events = from->waiting_events;
	}
	if (from->has_provisioned_memory_mb) {
		to->_provisioned_memory_mb_case = HAS_PROVISIONED;
		to->provisioned_memory_mb = from->provisioned_memory_mb;
	}
	if (from->has_weight) {
		to->_weight_case = HAS_WEIGHT;
		to->weight = from->weight;
	}
}

static void encode(const struct tenants *tenants, const struct tenant *from,
		   struct tenant_message *to)
{
	Mayfly__V1__Tenant *message = &to->message;

	mayfly__v1__tenant__init(message);
	message->tenant = (char *)(uintptr_t)from->id;
	message->name = (char *)(uintptr_t)from->name;
	message->state = from->state == TENANT_ACTIVE
				 ? MAYFLY__V1__TENANT_STATE__TENANT_STATE_ACTIVE
				 : MAYFLY__V1__TENANT_STATE__TENANT_STATE_SUSPENDED;
	message->created_at_us = from->created_us;
	message->functions = tenants_count_functions(tenants, from->id);
	message->is_default = strcmp(from->id, tenants_default(tenants)) == 0;
	encode_limits(&from->limits, &to->limits);
	message->limits = &to->limits;
}

/* NULL when there is nothing to decode. */
static const struct tenant_limits *decode_limits(const Mayfly__V1__TenantLimits *from,
						 struct tenant_limits *to)
{
	if (!from)
		return NULL;
	*to = (struct tenant_limits){
		.has_concurrent_executions = from->_concurrent_executions_case == HAS_CONCURRENT,
		.concurrent_executions = from->concurrent_executions,
		.has_code_storage_bytes = from->_code_storage_bytes_case == HAS_STORAGE,
		.code_storage_bytes = from->code_storage_bytes,
		.has_waiting_events = from->_waiting_events_case == HAS_EVENTS,
		.waiting_events = from->waiting_events,
		.has_provisioned_memory_mb = from->_provisioned_memory_mb_case == HAS_PROVISIONED,
		.provisioned_memory_mb = from->provisioned_memory_mb,
		.has_weight = from->_weight_case == HAS_WEIGHT,
		.weight = from->weight,
	};
	return to;
}

/* -- answers -- */

static void reply(const struct tenant_service *service, struct rpc_call *call,
		  const struct tenant *tenant)
{
	struct tenant_message message;

	encode(service->tenants, tenant, &message);
	rpc_call_reply(call, &message.message.base);
}

static void answer_tenant(const struct tenant *tenant, const struct error *error, void *arg)
{
	_cleanup_free_ struct request *request = arg;

	if (error)
		rpc_call_fail(request->call, error);
	else
		reply(request->service, request->call, tenant);
}

static void answer_deleted(const struct tenant *tenant _unused_, const struct error *error,
			   void *arg)
{
	_cleanup_free_ struct request *request = arg;
	Mayfly__V1__DeleteTenantResponse response = MAYFLY__V1__DELETE_TENANT_RESPONSE__INIT;

	if (error)
		rpc_call_fail(request->call, error);
	else
		rpc_call_reply(request->call, &response.base);
}

static struct request *new_request(struct tenant_service *service, struct rpc_call *call)
{
	struct request *request = malloc(sizeof(*request));

	if (!request)
		abort(); /* as loop_post() */
	*request = (struct request){ service, call };
	return request;
}

/* -- methods -- */

static void on_create(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Mayfly__V1__CreateTenantRequest *from =
		(const Mayfly__V1__CreateTenantRequest *)message;
	struct tenant_service *service = user;
	struct tenant_limits limits;
	const struct tenants_request request = { .id = from->tenant,
						 .name = from->name,
						 .limits = decode_limits(from->limits, &limits) };

	tenants_create(service->tenants, &request, answer_tenant, new_request(service, call));
}

static void on_get(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Mayfly__V1__GetTenantRequest *from = (const Mayfly__V1__GetTenantRequest *)message;
	const struct tenant_service *service = user;
	_cleanup_error_ struct error error = ERROR_INIT;
	const struct tenant *tenant = tenants_find(service->tenants, from->tenant);

	if (tenant) {
		reply(service, call, tenant);
		return;
	}
	(void)tenant_set_not_found(from->tenant, &error);
	rpc_call_fail(call, &error);
}

static void on_list(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Mayfly__V1__ListTenantsRequest *from =
		(const Mayfly__V1__ListTenantsRequest *)message;
	const struct tenant_service *service = user;
	Mayfly__V1__ListTenantsResponse response = MAYFLY__V1__LIST_TENANTS_RESPONSE__INIT;
	struct tenant_message messages[TENANTS_PAGE_ITEMS];
	Mayfly__V1__Tenant *pointers[TENANTS_PAGE_ITEMS];
	_cleanup_error_ struct error error = ERROR_INIT;
	struct tenants_page page;

	if (tenants_list(service->tenants, from->max_items, from->marker, &page, &error) < 0) {
		rpc_call_fail(call, &error);
		return;
	}
	for (size_t i = 0; i < page.count; i++) {
		encode(service->tenants, page.tenants[i], &messages[i]);
		pointers[i] = &messages[i].message;
	}
	response.tenants = pointers;
	response.n_tenants = page.count;
	response.next_marker = page.next_marker;
	rpc_call_reply(call, &response.base);
}

static void on_update(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Mayfly__V1__UpdateTenantRequest *from =
		(const Mayfly__V1__UpdateTenantRequest *)message;
	bool has_name = from->_name_case == MAYFLY__V1__UPDATE_TENANT_REQUEST___NAME_NAME;
	struct tenant_service *service = user;
	struct tenant_limits limits;
	const struct tenants_request request = { .id = from->tenant,
						 .name = has_name ? from->name : NULL,
						 .limits = decode_limits(from->limits, &limits) };

	tenants_update(service->tenants, &request, answer_tenant, new_request(service, call));
}

static void on_suspend(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	struct tenant_service *service = user;

	tenants_set_state(service->tenants,
			  ((const Mayfly__V1__SuspendTenantRequest *)message)->tenant,
			  TENANT_SUSPENDED, answer_tenant, new_request(service, call));
}

static void on_resume(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	struct tenant_service *service = user;

	tenants_set_state(service->tenants,
			  ((const Mayfly__V1__ResumeTenantRequest *)message)->tenant, TENANT_ACTIVE,
			  answer_tenant, new_request(service, call));
}

static void on_delete(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	struct tenant_service *service = user;

	tenants_delete(service->tenants, ((const Mayfly__V1__DeleteTenantRequest *)message)->tenant,
		       answer_deleted, new_request(service, call));
}

/* -- the service -- */

static const struct rpc_method_handler handlers[] = {
	{ "Create", on_create },   { "Get", on_get },
	{ "List", on_list },       { "Update", on_update },
	{ "Suspend", on_suspend }, { "Resume", on_resume },
	{ "Delete", on_delete },   { NULL, NULL },
};

int tenant_service_register(struct rpc_server *server, struct tenants *tenants,
			    struct tenant_service **ret, struct error *error)
{
	struct tenant_service *service = calloc(1, sizeof(*service));
	int r;

	if (!service)
		return error_set_errno(error, ENOMEM, "Cannot serve tenants");
	service->tenants = tenants;
	r = rpc_server_add_service(server, &mayfly__v1__tenant_service__descriptor, handlers,
				   service, error);
	if (r < 0) {
		free(service);
		return r;
	}
	*ret = service;
	return 0;
}

struct tenant_service *tenant_service_free(struct tenant_service *service)
{
	free(service);
	return NULL;
}
