/* SPDX-License-Identifier: Apache-2.0 */

#include "client/internal.h"

#include <errno.h>
#include <string.h>

#define FUNCTIONS          mayfly__v1__function_service__descriptor
#define CONCURRENCY        mayfly__v1__concurrency_service__descriptor
#define EVENTS             mayfly__v1__event_service__descriptor
#define POLICIES           mayfly__v1__policy_service__descriptor
#define QUEUES             mayfly__v1__queue_service__descriptor
#define WEBHOOKS           mayfly__v1__webhook_service__descriptor
#define ALIASES            mayfly__v1__alias_service__descriptor
#define LAYERS             mayfly__v1__layer_service__descriptor
#define TAGS               mayfly__v1__tag_service__descriptor
#define LOGS               mayfly__v1__log_service__descriptor
#define NODES              mayfly__v1__node_service__descriptor
#define TEMPLATES          mayfly__v1__template_service__descriptor
#define SCHEDULES          mayfly__v1__scheduler_service__descriptor
#define TENANTS            mayfly__v1__tenant_service__descriptor
#define ACCESS_KEYS        mayfly__v1__access_key_service__descriptor
#define METRICS            mayfly__v1__metrics_service__descriptor
#define BUDGETS            mayfly__v1__budget_service__descriptor
#define AUDIT              mayfly__v1__audit_service__descriptor

#define TLS_PREFIX         "tls:"
#define USAGE              mayfly__v1__usage_service__descriptor

/* Beyond this the node hangs; the longest calls wait for templates. */
#define CONTROL_TIMEOUT_US (1800 * 1000000LL)

static const char *or_environment(const char *value, const char *variable)
{
	const char *found = value ? value : getenv(variable);
	return found && *found ? found : NULL;
}

static int open_channel(const struct client_options *options, struct rpc_channel **ret,
			struct error *e)
{
	_cleanup_buf_ struct buf authorization = BUF_INIT;
	const char *address = or_environment(options->address, CLIENT_ADDRESS_VARIABLE);
	const struct rpc_channel_tls tls = {
		.ca = or_environment(options->ca_file, "MAYFLY_CA_FILE"),
		.certificate = or_environment(options->certificate, "MAYFLY_CLIENT_CERTIFICATE"),
		.key = or_environment(options->key, "MAYFLY_CLIENT_KEY"),
	};
	enum client_transport transport = CLIENT_TCP;

	if (!address)
		address = CLIENT_DEFAULT_ADDRESS;
	if (address[0] == '/' || strncmp(address, "unix:", strlen("unix:")) == 0)
		transport = CLIENT_UNIX;
	if (strncmp(address, TLS_PREFIX, strlen(TLS_PREFIX)) == 0)
		transport = CLIENT_TLS;
	int r = client_find_credentials(options, transport, &authorization, e);
	if (r < 0)
		return r;
	r = transport == CLIENT_TLS
		    ? rpc_channel_new_tls(address + strlen(TLS_PREFIX), &tls, ret, e)
		    : rpc_channel_new(address, ret, e);
	if (r == 0 && authorization.len > 0)
		r = rpc_channel_set_authorization(*ret, buf_string(&authorization), e);
	return r;
}

int client_open_with(const struct client_options *options, struct client **ret, struct error *e)
{
	_cleanup_(client_close_p) struct client *client = calloc(1, sizeof(*client));
	if (!client)
		return error_set_errno(e, ENOMEM, "cannot make a client");
	int r = open_channel(options, &client->channel, e);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(client);
	return 0;
}

int client_open(const char *address, struct client **ret, struct error *e)
{
	const struct client_options options = { .address = address };
	return client_open_with(&options, ret, e);
}

struct client *client_close(struct client *client)
{
	if (!client)
		return NULL;
	(void)rpc_channel_free(client->channel);
	free(client->tenant);
	free(client);
	return NULL;
}

void client_set_cancel_flag(struct client *client, const volatile sig_atomic_t *flag)
{
	rpc_channel_set_cancel_flag(client->channel, flag);
}

int client_set_tenant(struct client *client, const char *tenant, struct error *e)
{
	if (!tenant)
		tenant = getenv(CLIENT_TENANT_VARIABLE);
	char *copy = tenant && *tenant ? strdup(tenant) : NULL;
	if (tenant && *tenant && !copy)
		return error_set_errno(e, ENOMEM, "cannot keep the tenant");
	free(client->tenant);
	client->tenant = copy;
	return 0;
}

const ProtobufCMessage *client_complete(const struct client *client,
					const ProtobufCMessage *request, void **ret_copy)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field_by_name(request->descriptor, "tenant");

	if (!client->tenant || !field || field->type != PROTOBUF_C_TYPE_STRING ||
	    **(const char *const *)((const char *)request + field->offset))
		return request;
	char *copy = malloc(request->descriptor->sizeof_message);
	if (!copy)
		return request; /* the node says what is missing */
	memcpy(copy, request, request->descriptor->sizeof_message);
	*(char **)(copy + field->offset) = client->tenant;
	*ret_copy = copy;
	return (const ProtobufCMessage *)copy;
}

void client_free_message(void *message)
{
	protobuf_c_message_free_unpacked(message, NULL);
}

static int call(struct client *client, const ProtobufCServiceDescriptor *service,
		const char *method, const ProtobufCMessage *request, ProtobufCMessage **ret,
		struct error *e)
{
	_cleanup_rpc_answer_ struct rpc_answer answer = RPC_ANSWER_INIT;
	_cleanup_free_ void *copy = NULL;

	request = client_complete(client, request, &copy);
	int r = rpc_channel_call(client->channel, service, method, request, CONTROL_TIMEOUT_US,
				 &answer, e);
	if (r == 0)
		*ret = TAKE_PTR(answer.message);
	return r;
}

int client_stream_open(struct client *client, const ProtobufCServiceDescriptor *service,
		       const char *method, const ProtobufCMessage *request, int64_t timeout_us,
		       struct client_stream **ret, struct error *e)
{
	_cleanup_free_ void *copy = NULL;
	struct client_stream *stream = calloc(1, sizeof(*stream));
	if (!stream)
		return error_set_errno(e, ENOMEM, "cannot call %s", method);
	request = client_complete(client, request, &copy); /* sent before this returns */
	int r = rpc_stream_open(client->channel, service, method, request, timeout_us, &stream->rpc,
				e);
	if (r < 0) {
		free(stream);
		return r;
	}
	*ret = stream;
	return 0;
}

int client_stream_next(struct client_stream *stream, ProtobufCMessage **ret, struct error *e)
{
	return rpc_stream_next(stream->rpc, ret, e);
}

struct client_stream *client_stream_close(struct client_stream *stream)
{
	if (!stream)
		return NULL;
	(void)rpc_stream_close(stream->rpc);
	free(stream);
	return NULL;
}

/* A unary method with a request, and one whose request is empty. */
#define DEFINE_CALL(name, service, method, request_type, reply_type)                               \
	int name(struct client *client, const Mayfly__V1__##request_type *request,                 \
		 Mayfly__V1__##reply_type **ret, struct error *e)                                  \
	{                                                                                          \
		return call(client, &(service), method, &request->base, (ProtobufCMessage **)ret,  \
			    e);                                                                    \
	}
#define DEFINE_EMPTY_CALL(name, service, method, REQUEST, request_type, reply_type)                \
	int name(struct client *client, Mayfly__V1__##reply_type **ret, struct error *e)           \
	{                                                                                          \
		const Mayfly__V1__##request_type request = MAYFLY__V1__##REQUEST##__INIT;          \
		return call(client, &(service), method, &request.base, (ProtobufCMessage **)ret,   \
			    e);                                                                    \
	}
/* A server stream: `name` opens it, `name`_next reads. */
#define DEFINE_STREAM(name, service, method, request_type, reply_type)                             \
	int name(struct client *client, const Mayfly__V1__##request_type *request,                 \
		 struct client_stream **ret, struct error *e)                                      \
	{                                                                                          \
		return client_stream_open(client, &(service), method, &request->base,              \
					  CLIENT_NO_TIMEOUT, ret, e);                              \
	}                                                                                          \
	int name##_next(struct client_stream *stream, Mayfly__V1__##reply_type **ret,              \
			struct error *e)                                                           \
	{                                                                                          \
		return client_stream_next(stream, (ProtobufCMessage **)ret, e);                    \
	}

DEFINE_CALL(client_function_create, FUNCTIONS, "Create", CreateFunctionRequest, Function)
DEFINE_CALL(client_function_get, FUNCTIONS, "Get", GetFunctionRequest, Function)
DEFINE_CALL(client_function_list, FUNCTIONS, "List", ListFunctionsRequest, ListFunctionsResponse)
DEFINE_CALL(client_function_update_code, FUNCTIONS, "UpdateCode", UpdateFunctionCodeRequest,
	    Function)
DEFINE_CALL(client_function_update_configuration, FUNCTIONS, "UpdateConfiguration",
	    UpdateFunctionConfigurationRequest, Function)
DEFINE_CALL(client_function_delete, FUNCTIONS, "Delete", DeleteFunctionRequest,
	    DeleteFunctionResponse)
DEFINE_CALL(client_function_publish_version, FUNCTIONS, "PublishVersion", PublishVersionRequest,
	    Function)
DEFINE_CALL(client_function_list_versions, FUNCTIONS, "ListVersionsByFunction",
	    ListVersionsByFunctionRequest, ListVersionsByFunctionResponse)

DEFINE_CALL(client_event_config_put, EVENTS, "PutEventInvokeConfig", PutEventInvokeConfigRequest,
	    EventInvokeConfig)
DEFINE_CALL(client_event_config_update, EVENTS, "UpdateEventInvokeConfig",
	    PutEventInvokeConfigRequest, EventInvokeConfig)
DEFINE_CALL(client_event_config_get, EVENTS, "GetEventInvokeConfig", GetEventInvokeConfigRequest,
	    EventInvokeConfig)
DEFINE_CALL(client_event_config_delete, EVENTS, "DeleteEventInvokeConfig",
	    GetEventInvokeConfigRequest, DeleteEventInvokeConfigResponse)
DEFINE_CALL(client_event_config_list, EVENTS, "ListEventInvokeConfigs",
	    ListEventInvokeConfigsRequest, ListEventInvokeConfigsResponse)
DEFINE_CALL(client_policy_add, POLICIES, "AddPermission", AddPermissionRequest,
	    AddPermissionResponse)
DEFINE_CALL(client_policy_remove, POLICIES, "RemovePermission", RemovePermissionRequest,
	    RemovePermissionResponse)
DEFINE_CALL(client_policy_get, POLICIES, "GetPolicy", GetPolicyRequest, GetPolicyResponse)
DEFINE_CALL(client_schedule_create, SCHEDULES, "CreateSchedule", CreateScheduleRequest, Schedule)
DEFINE_CALL(client_schedule_get, SCHEDULES, "GetSchedule", GetScheduleRequest, Schedule)
DEFINE_CALL(client_schedule_update, SCHEDULES, "UpdateSchedule", UpdateScheduleRequest, Schedule)
DEFINE_CALL(client_schedule_delete, SCHEDULES, "DeleteSchedule", DeleteScheduleRequest,
	    DeleteScheduleResponse)
DEFINE_CALL(client_schedule_list, SCHEDULES, "ListSchedules", ListSchedulesRequest,
	    ListSchedulesResponse)

DEFINE_CALL(client_queue_list, QUEUES, "ListQueues", ListQueuesRequest, ListQueuesResponse)
DEFINE_CALL(client_queue_messages, QUEUES, "ListMessages", ListMessagesRequest,
	    ListMessagesResponse)
DEFINE_CALL(client_queue_redrive, QUEUES, "Redrive", RedriveRequest, RedriveResponse)
DEFINE_CALL(client_queue_delete_message, QUEUES, "DeleteMessage", DeleteMessageRequest,
	    DeleteMessageResponse)
DEFINE_CALL(client_queue_purge, QUEUES, "Purge", PurgeQueueRequest, PurgeQueueResponse)
DEFINE_CALL(client_concurrency_put, CONCURRENCY, "Put", PutFunctionConcurrencyRequest,
	    FunctionConcurrency)
DEFINE_CALL(client_concurrency_get, CONCURRENCY, "Get", GetFunctionConcurrencyRequest,
	    FunctionConcurrency)
DEFINE_CALL(client_concurrency_delete, CONCURRENCY, "Delete", DeleteFunctionConcurrencyRequest,
	    DeleteFunctionConcurrencyResponse)
DEFINE_CALL(client_provisioned_put, CONCURRENCY, "PutProvisionedConcurrencyConfig",
	    PutProvisionedConcurrencyConfigRequest, ProvisionedConcurrencyConfig)
DEFINE_CALL(client_provisioned_get, CONCURRENCY, "GetProvisionedConcurrencyConfig",
	    GetProvisionedConcurrencyConfigRequest, ProvisionedConcurrencyConfig)
DEFINE_CALL(client_provisioned_delete, CONCURRENCY, "DeleteProvisionedConcurrencyConfig",
	    DeleteProvisionedConcurrencyConfigRequest, DeleteProvisionedConcurrencyConfigResponse)
DEFINE_CALL(client_provisioned_list, CONCURRENCY, "ListProvisionedConcurrencyConfigs",
	    ListProvisionedConcurrencyConfigsRequest, ListProvisionedConcurrencyConfigsResponse)
DEFINE_CALL(client_account_settings, CONCURRENCY, "GetAccountSettings", GetAccountSettingsRequest,
	    AccountSettings)

DEFINE_CALL(client_alias_create, ALIASES, "Create", CreateAliasRequest, Alias)
DEFINE_CALL(client_alias_get, ALIASES, "Get", GetAliasRequest, Alias)
DEFINE_CALL(client_alias_list, ALIASES, "List", ListAliasesRequest, ListAliasesResponse)
DEFINE_CALL(client_alias_update, ALIASES, "Update", UpdateAliasRequest, Alias)
DEFINE_CALL(client_alias_delete, ALIASES, "Delete", DeleteAliasRequest, DeleteAliasResponse)

DEFINE_CALL(client_layer_publish, LAYERS, "PublishLayerVersion", PublishLayerVersionRequest,
	    LayerVersion)
DEFINE_CALL(client_layer_get, LAYERS, "GetLayerVersion", GetLayerVersionRequest, LayerVersion)
DEFINE_CALL(client_layer_get_by_arn, LAYERS, "GetLayerVersionByArn", GetLayerVersionByArnRequest,
	    LayerVersion)
DEFINE_CALL(client_layer_list, LAYERS, "ListLayers", ListLayersRequest, ListLayersResponse)
DEFINE_CALL(client_layer_list_versions, LAYERS, "ListLayerVersions", ListLayerVersionsRequest,
	    ListLayerVersionsResponse)
DEFINE_CALL(client_layer_delete, LAYERS, "DeleteLayerVersion", DeleteLayerVersionRequest,
	    DeleteLayerVersionResponse)
DEFINE_CALL(client_layer_permit, LAYERS, "AddLayerVersionPermission",
	    AddLayerVersionPermissionRequest, AddLayerVersionPermissionResponse)
DEFINE_CALL(client_layer_unpermit, LAYERS, "RemoveLayerVersionPermission",
	    RemoveLayerVersionPermissionRequest, RemoveLayerVersionPermissionResponse)
DEFINE_CALL(client_layer_get_policy, LAYERS, "GetLayerVersionPolicy", GetLayerVersionPolicyRequest,
	    GetLayerVersionPolicyResponse)
DEFINE_CALL(client_tag_put, TAGS, "TagResource", TagResourceRequest, TagResourceResponse)
DEFINE_CALL(client_tag_remove, TAGS, "UntagResource", UntagResourceRequest, UntagResourceResponse)
DEFINE_CALL(client_tag_list, TAGS, "ListTags", ListTagsRequest, ListTagsResponse)

DEFINE_CALL(client_log_get, LOGS, "Get", GetLogEventsRequest, GetLogEventsResponse)
DEFINE_STREAM(client_log_tail, LOGS, "Tail", TailLogsRequest, LogEvent)

DEFINE_EMPTY_CALL(client_node_get, NODES, "GetNode", GET_NODE_REQUEST, GetNodeRequest, Node)
DEFINE_CALL(client_node_list_sandboxes, NODES, "ListSandboxes", ListSandboxesRequest,
	    ListSandboxesResponse)
DEFINE_EMPTY_CALL(client_node_list_templates, NODES, "ListTemplates", LIST_TEMPLATES_REQUEST,
		  ListTemplatesRequest, ListTemplatesResponse)
DEFINE_CALL(client_node_set_start_policy, NODES, "SetStartPolicy", SetStartPolicyRequest,
	    SetStartPolicyResponse)
DEFINE_STREAM(client_node_watch, NODES, "Watch", WatchRequest, NodeEvent)

DEFINE_EMPTY_CALL(client_template_list, TEMPLATES, "List", LIST_TEMPLATES_REQUEST,
		  ListTemplatesRequest, ListTemplatesResponse)
DEFINE_STREAM(client_template_build, TEMPLATES, "Build", BuildTemplateRequest,
	      BuildTemplateProgress)
DEFINE_CALL(client_template_drop, TEMPLATES, "Drop", DropTemplateRequest, DropTemplateResponse)

DEFINE_CALL(client_tenant_create, TENANTS, "Create", CreateTenantRequest, Tenant)
DEFINE_CALL(client_tenant_get, TENANTS, "Get", GetTenantRequest, Tenant)
DEFINE_CALL(client_tenant_list, TENANTS, "List", ListTenantsRequest, ListTenantsResponse)
DEFINE_CALL(client_tenant_update, TENANTS, "Update", UpdateTenantRequest, Tenant)
DEFINE_CALL(client_tenant_suspend, TENANTS, "Suspend", SuspendTenantRequest, Tenant)
DEFINE_CALL(client_tenant_resume, TENANTS, "Resume", ResumeTenantRequest, Tenant)
DEFINE_CALL(client_tenant_delete, TENANTS, "Delete", DeleteTenantRequest, DeleteTenantResponse)

DEFINE_CALL(client_webhook_get_secret, WEBHOOKS, "GetSecret", GetWebhookSecretRequest,
	    WebhookSecret)
DEFINE_CALL(client_webhook_rotate_secret, WEBHOOKS, "RotateSecret", RotateWebhookSecretRequest,
	    WebhookSecret)

DEFINE_CALL(client_access_key_create, ACCESS_KEYS, "Create", CreateAccessKeyRequest,
	    CreateAccessKeyResponse)
DEFINE_CALL(client_access_key_list, ACCESS_KEYS, "List", ListAccessKeysRequest,
	    ListAccessKeysResponse)
DEFINE_CALL(client_access_key_set_state, ACCESS_KEYS, "SetState", SetAccessKeyStateRequest,
	    AccessKey)
DEFINE_CALL(client_access_key_delete, ACCESS_KEYS, "Delete", DeleteAccessKeyRequest,
	    DeleteAccessKeyResponse)
DEFINE_CALL(client_usage_query, USAGE, "Query", QueryUsageRequest, QueryUsageResponse)
DEFINE_STREAM(client_usage_export, USAGE, "Export", ExportUsageRequest, ExportUsageResponse)
DEFINE_EMPTY_CALL(client_usage_reconcile, USAGE, "Reconcile", RECONCILE_USAGE_REQUEST,
		  ReconcileUsageRequest, ReconcileUsageResponse)

DEFINE_STREAM(client_metrics_watch, METRICS, "Watch", WatchMetricsRequest, MetricsSnapshot)
DEFINE_CALL(client_budget_put, BUDGETS, "Put", PutBudgetRequest, Budget)
DEFINE_CALL(client_budget_get, BUDGETS, "Get", GetBudgetRequest, Budget)
DEFINE_CALL(client_budget_list, BUDGETS, "List", ListBudgetsRequest, ListBudgetsResponse)
DEFINE_CALL(client_budget_delete, BUDGETS, "Delete", DeleteBudgetRequest, DeleteBudgetResponse)

DEFINE_CALL(client_audit_query, AUDIT, "Query", QueryAuditRequest, QueryAuditResponse)
