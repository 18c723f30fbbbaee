/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The public services of a node as blocking C calls. Any number of threads may use one
 * client. All functions return 0 or a negative errno with *e filled; what they hand out
 * is the caller's and freed with client_free_message(). */

#include <signal.h>
#include <stdint.h>

#include "mayfly/buf.h"
#include "mayfly/cleanup.h"
#include "mayfly/error.h"

#include <mayfly/v1/access_key.pb-c.h>
#include <mayfly/v1/alias.pb-c.h>
#include <mayfly/v1/concurrency.pb-c.h>
#include <mayfly/v1/event.pb-c.h>
#include <mayfly/v1/policy.pb-c.h>
#include <mayfly/v1/schedule.pb-c.h>
#include <mayfly/v1/audit.pb-c.h>
#include <mayfly/v1/function.pb-c.h>
#include <mayfly/v1/invoke.pb-c.h>
#include <mayfly/v1/layer.pb-c.h>
#include <mayfly/v1/log.pb-c.h>
#include <mayfly/v1/node.pb-c.h>
#include <mayfly/v1/tag.pb-c.h>
#include <mayfly/v1/queue.pb-c.h>
#include <mayfly/v1/tenant.pb-c.h>
#include <mayfly/v1/budget.pb-c.h>
#include <mayfly/v1/metrics.pb-c.h>
#include <mayfly/v1/usage.pb-c.h>
#include <mayfly/v1/webhook.pb-c.h>

#define CLIENT_DEFAULT_ADDRESS  "unix:/run/mayfly/mayfly.sock"
#define CLIENT_ADDRESS_VARIABLE "MAYFLY_ADDRESS"
#define CLIENT_TENANT_VARIABLE  "MAYFLY_TENANT"

#define CLIENT_NO_TIMEOUT       INT64_MAX

struct client;
struct client_stream;

/* Where and as whom; what is NULL comes from the environment. */
struct client_options {
	const char *address;         /* $MAYFLY_ADDRESS, else the default */
	const char *ca_file;         /* for tls: addresses; $MAYFLY_CA_FILE, else the system's */
	const char *certificate;     /* an operator's; $MAYFLY_CLIENT_CERTIFICATE */
	const char *key;             /* of that; $MAYFLY_CLIENT_KEY */
	const char *access_key_file; /* else, but not on unix sockets, $MAYFLY_ACCESS_KEY_ID with
				      * $MAYFLY_SECRET_ACCESS_KEY; then, with TLS alone,
				      * $AWS_ACCESS_KEY_ID with $AWS_SECRET_ACCESS_KEY */
};

/* `address`: "unix:/path", "/path", "host:port" or "tls:host:port". */
int client_open_with(const struct client_options *options, struct client **ret,
		     struct error *e) _must_use_;

/* The same with an address alone, which may be NULL. */
int client_open(const char *address, struct client **ret, struct error *e) _must_use_;
struct client *client_close(struct client *client);
DEFINE_CLEANUP(struct client, client_close)

/* Whose functions requests are about that name nobody; NULL: $MAYFLY_TENANT, else the caller's own.
 * Before the first call. */
int client_set_tenant(struct client *client, const char *tenant, struct error *e) _must_use_;

/* Calls under way end with ERROR_CANCELLED soon after *flag became non-zero. Borrowed. */
void client_set_cancel_flag(struct client *client, const volatile sig_atomic_t *flag);

/* Frees what a call handed out, whatever its type. Copes with NULL. */
void client_free_message(void *message);

static inline void client_free_message_p(void *message)
{
	client_free_message(*(void **)message);
}
#define _cleanup_message_ _cleanup_(client_free_message_p)

/* -- FunctionService -- */

int client_function_create(struct client *client, const Mayfly__V1__CreateFunctionRequest *request,
			   Mayfly__V1__Function **ret, struct error *e) _must_use_;
int client_function_get(struct client *client, const Mayfly__V1__GetFunctionRequest *request,
			Mayfly__V1__Function **ret, struct error *e) _must_use_;
int client_function_list(struct client *client, const Mayfly__V1__ListFunctionsRequest *request,
			 Mayfly__V1__ListFunctionsResponse **ret, struct error *e) _must_use_;
int client_function_update_code(struct client *client,
				const Mayfly__V1__UpdateFunctionCodeRequest *request,
				Mayfly__V1__Function **ret, struct error *e) _must_use_;
int client_function_update_configuration(
	struct client *client, const Mayfly__V1__UpdateFunctionConfigurationRequest *request,
	Mayfly__V1__Function **ret, struct error *e) _must_use_;
int client_function_delete(struct client *client, const Mayfly__V1__DeleteFunctionRequest *request,
			   Mayfly__V1__DeleteFunctionResponse **ret, struct error *e) _must_use_;
int client_function_publish_version(struct client *client,
				    const Mayfly__V1__PublishVersionRequest *request,
				    Mayfly__V1__Function **ret, struct error *e) _must_use_;
int client_function_list_versions(struct client *client,
				  const Mayfly__V1__ListVersionsByFunctionRequest *request,
				  Mayfly__V1__ListVersionsByFunctionResponse **ret,
				  struct error *e) _must_use_;

/* -- AliasService -- */

int client_alias_create(struct client *client, const Mayfly__V1__CreateAliasRequest *request,
			Mayfly__V1__Alias **ret, struct error *e) _must_use_;
int client_alias_get(struct client *client, const Mayfly__V1__GetAliasRequest *request,
		     Mayfly__V1__Alias **ret, struct error *e) _must_use_;
int client_alias_list(struct client *client, const Mayfly__V1__ListAliasesRequest *request,
		      Mayfly__V1__ListAliasesResponse **ret, struct error *e) _must_use_;
int client_alias_update(struct client *client, const Mayfly__V1__UpdateAliasRequest *request,
			Mayfly__V1__Alias **ret, struct error *e) _must_use_;
int client_alias_delete(struct client *client, const Mayfly__V1__DeleteAliasRequest *request,
			Mayfly__V1__DeleteAliasResponse **ret, struct error *e) _must_use_;
int client_layer_publish(struct client *client,
			 const Mayfly__V1__PublishLayerVersionRequest *request,
			 Mayfly__V1__LayerVersion **ret, struct error *e) _must_use_;
int client_layer_get(struct client *client, const Mayfly__V1__GetLayerVersionRequest *request,
		     Mayfly__V1__LayerVersion **ret, struct error *e) _must_use_;
int client_layer_get_by_arn(struct client *client,
			    const Mayfly__V1__GetLayerVersionByArnRequest *request,
			    Mayfly__V1__LayerVersion **ret, struct error *e) _must_use_;
int client_layer_list(struct client *client, const Mayfly__V1__ListLayersRequest *request,
		      Mayfly__V1__ListLayersResponse **ret, struct error *e) _must_use_;
int client_layer_list_versions(struct client *client,
			       const Mayfly__V1__ListLayerVersionsRequest *request,
			       Mayfly__V1__ListLayerVersionsResponse **ret,
			       struct error *e) _must_use_;
int client_layer_delete(struct client *client, const Mayfly__V1__DeleteLayerVersionRequest *request,
			Mayfly__V1__DeleteLayerVersionResponse **ret, struct error *e) _must_use_;
int client_layer_permit(struct client *client,
			const Mayfly__V1__AddLayerVersionPermissionRequest *request,
			Mayfly__V1__AddLayerVersionPermissionResponse **ret,
			struct error *error) _must_use_;
int client_layer_unpermit(struct client *client,
			  const Mayfly__V1__RemoveLayerVersionPermissionRequest *request,
			  Mayfly__V1__RemoveLayerVersionPermissionResponse **ret,
			  struct error *error) _must_use_;
int client_layer_get_policy(struct client *client,
			    const Mayfly__V1__GetLayerVersionPolicyRequest *request,
			    Mayfly__V1__GetLayerVersionPolicyResponse **ret,
			    struct error *error) _must_use_;
int client_tag_put(struct client *client, const Mayfly__V1__TagResourceRequest *request,
		   Mayfly__V1__TagResourceResponse **ret, struct error *e) _must_use_;
int client_tag_remove(struct client *client, const Mayfly__V1__UntagResourceRequest *request,
		      Mayfly__V1__UntagResourceResponse **ret, struct error *e) _must_use_;
int client_tag_list(struct client *client, const Mayfly__V1__ListTagsRequest *request,
		    Mayfly__V1__ListTagsResponse **ret, struct error *e) _must_use_;

/* -- InvokeService -- */

/* One invocation's answer. Start with CLIENT_INVOCATION_INIT. */
struct client_invocation {
	Mayfly__V1__InvokeResponse *response; /* owned; NULL on failure */
	Mayfly__V1__Phases *phases;           /* owned; NULL when the node sent none */
	int64_t sent_us;                      /* CLOCK_MONOTONIC: request handed over */
	int64_t received_us;                  /* whole answer there */
};
#define CLIENT_INVOCATION_INIT ((struct client_invocation){ 0 })

void client_invocation_clear(struct client_invocation *invocation);
#define _cleanup_invocation_ _cleanup_(client_invocation_clear)

int client_invoke(struct client *client, const Mayfly__V1__InvokeRequest *request,
		  int64_t timeout_us, struct client_invocation *ret, struct error *e) _must_use_;

int client_invoke_stream(struct client *client, const Mayfly__V1__InvokeRequest *request,
			 int64_t timeout_us, struct client_stream **ret,
			 struct error *e) _must_use_;

/* 1 and a message, 0 at a good end, or a negative errno. */
int client_invoke_stream_next(struct client_stream *stream, Mayfly__V1__InvokeStreamResponse **ret,
			      struct error *e) _must_use_;

/* Phases of a stream that ended; NULL when there are none. */
Mayfly__V1__Phases *client_stream_phases(const struct client_stream *stream);

/* Cancels what is under way. Copes with NULL. */
struct client_stream *client_stream_close(struct client_stream *stream);
DEFINE_CLEANUP(struct client_stream, client_stream_close)

/* -- EventService -- */

int client_event_config_put(struct client *client,
			    const Mayfly__V1__PutEventInvokeConfigRequest *request,
			    Mayfly__V1__EventInvokeConfig **ret, struct error *e) _must_use_;
int client_event_config_update(struct client *client,
			       const Mayfly__V1__PutEventInvokeConfigRequest *request,
			       Mayfly__V1__EventInvokeConfig **ret, struct error *e) _must_use_;
int client_event_config_get(struct client *client,
			    const Mayfly__V1__GetEventInvokeConfigRequest *request,
			    Mayfly__V1__EventInvokeConfig **ret, struct error *e) _must_use_;
int client_event_config_delete(struct client *client,
			       const Mayfly__V1__GetEventInvokeConfigRequest *request,
			       Mayfly__V1__DeleteEventInvokeConfigResponse **ret,
			       struct error *e) _must_use_;
int client_event_config_list(struct client *client,
			     const Mayfly__V1__ListEventInvokeConfigsRequest *request,
			     Mayfly__V1__ListEventInvokeConfigsResponse **ret,
			     struct error *e) _must_use_;

/* -- PolicyService -- */

int client_policy_add(struct client *client, const Mayfly__V1__AddPermissionRequest *request,
		      Mayfly__V1__AddPermissionResponse **ret, struct error *e) _must_use_;
int client_policy_remove(struct client *client, const Mayfly__V1__RemovePermissionRequest *request,
			 Mayfly__V1__RemovePermissionResponse **ret, struct error *e) _must_use_;
int client_policy_get(struct client *client, const Mayfly__V1__GetPolicyRequest *request,
		      Mayfly__V1__GetPolicyResponse **ret, struct error *e) _must_use_;

/* -- SchedulerService -- */

int client_schedule_create(struct client *client, const Mayfly__V1__CreateScheduleRequest *request,
			   Mayfly__V1__Schedule **ret, struct error *e) _must_use_;
int client_schedule_get(struct client *client, const Mayfly__V1__GetScheduleRequest *request,
			Mayfly__V1__Schedule **ret, struct error *e) _must_use_;
int client_schedule_update(struct client *client, const Mayfly__V1__UpdateScheduleRequest *request,
			   Mayfly__V1__Schedule **ret, struct error *e) _must_use_;
int client_schedule_delete(struct client *client, const Mayfly__V1__DeleteScheduleRequest *request,
			   Mayfly__V1__DeleteScheduleResponse **ret, struct error *e) _must_use_;
int client_schedule_list(struct client *client, const Mayfly__V1__ListSchedulesRequest *request,
			 Mayfly__V1__ListSchedulesResponse **ret, struct error *e) _must_use_;

/* -- QueueService -- */

int client_queue_list(struct client *client, const Mayfly__V1__ListQueuesRequest *request,
		      Mayfly__V1__ListQueuesResponse **ret, struct error *e) _must_use_;
int client_queue_messages(struct client *client, const Mayfly__V1__ListMessagesRequest *request,
			  Mayfly__V1__ListMessagesResponse **ret, struct error *e) _must_use_;
int client_queue_redrive(struct client *client, const Mayfly__V1__RedriveRequest *request,
			 Mayfly__V1__RedriveResponse **ret, struct error *e) _must_use_;
int client_queue_delete_message(struct client *client,
				const Mayfly__V1__DeleteMessageRequest *request,
				Mayfly__V1__DeleteMessageResponse **ret,
				struct error *e) _must_use_;
int client_queue_purge(struct client *client, const Mayfly__V1__PurgeQueueRequest *request,
		       Mayfly__V1__PurgeQueueResponse **ret, struct error *e) _must_use_;

/* -- ConcurrencyService -- */

int client_provisioned_put(struct client *client,
			   const Mayfly__V1__PutProvisionedConcurrencyConfigRequest *request,
			   Mayfly__V1__ProvisionedConcurrencyConfig **ret,
			   struct error *e) _must_use_;
int client_provisioned_get(struct client *client,
			   const Mayfly__V1__GetProvisionedConcurrencyConfigRequest *request,
			   Mayfly__V1__ProvisionedConcurrencyConfig **ret,
			   struct error *e) _must_use_;
int client_provisioned_delete(struct client *client,
			      const Mayfly__V1__DeleteProvisionedConcurrencyConfigRequest *request,
			      Mayfly__V1__DeleteProvisionedConcurrencyConfigResponse **ret,
			      struct error *e) _must_use_;
int client_provisioned_list(struct client *client,
			    const Mayfly__V1__ListProvisionedConcurrencyConfigsRequest *request,
			    Mayfly__V1__ListProvisionedConcurrencyConfigsResponse **ret,
			    struct error *e) _must_use_;
int client_concurrency_put(struct client *client,
			   const Mayfly__V1__PutFunctionConcurrencyRequest *request,
			   Mayfly__V1__FunctionConcurrency **ret, struct error *e) _must_use_;
int client_concurrency_get(struct client *client,
			   const Mayfly__V1__GetFunctionConcurrencyRequest *request,
			   Mayfly__V1__FunctionConcurrency **ret, struct error *e) _must_use_;
int client_concurrency_delete(struct client *client,
			      const Mayfly__V1__DeleteFunctionConcurrencyRequest *request,
			      Mayfly__V1__DeleteFunctionConcurrencyResponse **ret,
			      struct error *e) _must_use_;
int client_account_settings(struct client *client,
			    const Mayfly__V1__GetAccountSettingsRequest *request,
			    Mayfly__V1__AccountSettings **ret, struct error *e) _must_use_;

/* -- LogService -- */

int client_log_get(struct client *client, const Mayfly__V1__GetLogEventsRequest *request,
		   Mayfly__V1__GetLogEventsResponse **ret, struct error *e) _must_use_;
int client_log_tail(struct client *client, const Mayfly__V1__TailLogsRequest *request,
		    struct client_stream **ret, struct error *e) _must_use_;
int client_log_tail_next(struct client_stream *stream, Mayfly__V1__LogEvent **ret,
			 struct error *e) _must_use_;

/* -- NodeService -- */

int client_node_get(struct client *client, Mayfly__V1__Node **ret, struct error *e) _must_use_;
int client_node_list_sandboxes(struct client *client,
			       const Mayfly__V1__ListSandboxesRequest *request,
			       Mayfly__V1__ListSandboxesResponse **ret, struct error *e) _must_use_;
int client_node_list_templates(struct client *client, Mayfly__V1__ListTemplatesResponse **ret,
			       struct error *e) _must_use_;
int client_node_set_start_policy(struct client *client,
				 const Mayfly__V1__SetStartPolicyRequest *request,
				 Mayfly__V1__SetStartPolicyResponse **ret,
				 struct error *e) _must_use_;
int client_node_watch(struct client *client, const Mayfly__V1__WatchRequest *request,
		      struct client_stream **ret, struct error *e) _must_use_;
int client_node_watch_next(struct client_stream *stream, Mayfly__V1__NodeEvent **ret,
			   struct error *e) _must_use_;

/* -- TemplateService -- */

int client_template_list(struct client *client, Mayfly__V1__ListTemplatesResponse **ret,
			 struct error *e) _must_use_;
int client_template_build(struct client *client, const Mayfly__V1__BuildTemplateRequest *request,
			  struct client_stream **ret, struct error *e) _must_use_;
int client_template_build_next(struct client_stream *stream,
			       Mayfly__V1__BuildTemplateProgress **ret, struct error *e) _must_use_;
int client_template_drop(struct client *client, const Mayfly__V1__DropTemplateRequest *request,
			 Mayfly__V1__DropTemplateResponse **ret, struct error *e) _must_use_;

/* -- TenantService -- */

int client_tenant_create(struct client *client, const Mayfly__V1__CreateTenantRequest *request,
			 Mayfly__V1__Tenant **ret, struct error *e) _must_use_;
int client_tenant_get(struct client *client, const Mayfly__V1__GetTenantRequest *request,
		      Mayfly__V1__Tenant **ret, struct error *e) _must_use_;
int client_tenant_list(struct client *client, const Mayfly__V1__ListTenantsRequest *request,
		       Mayfly__V1__ListTenantsResponse **ret, struct error *e) _must_use_;
int client_tenant_update(struct client *client, const Mayfly__V1__UpdateTenantRequest *request,
			 Mayfly__V1__Tenant **ret, struct error *e) _must_use_;
int client_tenant_suspend(struct client *client, const Mayfly__V1__SuspendTenantRequest *request,
			  Mayfly__V1__Tenant **ret, struct error *e) _must_use_;
int client_tenant_resume(struct client *client, const Mayfly__V1__ResumeTenantRequest *request,
			 Mayfly__V1__Tenant **ret, struct error *e) _must_use_;
int client_tenant_delete(struct client *client, const Mayfly__V1__DeleteTenantRequest *request,
			 Mayfly__V1__DeleteTenantResponse **ret, struct error *e) _must_use_;

/* -- WebhookService -- */

int client_webhook_get_secret(struct client *client,
			      const Mayfly__V1__GetWebhookSecretRequest *request,
			      Mayfly__V1__WebhookSecret **ret, struct error *e) _must_use_;
int client_webhook_rotate_secret(struct client *client,
				 const Mayfly__V1__RotateWebhookSecretRequest *request,
				 Mayfly__V1__WebhookSecret **ret, struct error *e) _must_use_;

/* -- AccessKeyService -- */

int client_access_key_create(struct client *client,
			     const Mayfly__V1__CreateAccessKeyRequest *request,
			     Mayfly__V1__CreateAccessKeyResponse **ret, struct error *e) _must_use_;
int client_access_key_list(struct client *client, const Mayfly__V1__ListAccessKeysRequest *request,
			   Mayfly__V1__ListAccessKeysResponse **ret, struct error *e) _must_use_;
int client_access_key_set_state(struct client *client,
				const Mayfly__V1__SetAccessKeyStateRequest *request,
				Mayfly__V1__AccessKey **ret, struct error *e) _must_use_;
int client_access_key_delete(struct client *client,
			     const Mayfly__V1__DeleteAccessKeyRequest *request,
			     Mayfly__V1__DeleteAccessKeyResponse **ret, struct error *e) _must_use_;
/* -- UsageService -- */

int client_usage_query(struct client *client, const Mayfly__V1__QueryUsageRequest *request,
		       Mayfly__V1__QueryUsageResponse **ret, struct error *e) _must_use_;
int client_usage_export(struct client *client, const Mayfly__V1__ExportUsageRequest *request,
			struct client_stream **ret, struct error *e) _must_use_;
int client_usage_export_next(struct client_stream *stream, Mayfly__V1__ExportUsageResponse **ret,
			     struct error *e) _must_use_;
int client_usage_reconcile(struct client *client, Mayfly__V1__ReconcileUsageResponse **ret,
			   struct error *e) _must_use_;

/* -- MetricsService -- */

int client_metrics_watch(struct client *client, const Mayfly__V1__WatchMetricsRequest *request,
			 struct client_stream **ret, struct error *e) _must_use_;
int client_metrics_watch_next(struct client_stream *stream, Mayfly__V1__MetricsSnapshot **ret,
			      struct error *e) _must_use_;

/* -- BudgetService -- */

int client_budget_put(struct client *client, const Mayfly__V1__PutBudgetRequest *request,
		      Mayfly__V1__Budget **ret, struct error *e) _must_use_;
int client_budget_get(struct client *client, const Mayfly__V1__GetBudgetRequest *request,
		      Mayfly__V1__Budget **ret, struct error *e) _must_use_;
int client_budget_list(struct client *client, const Mayfly__V1__ListBudgetsRequest *request,
		       Mayfly__V1__ListBudgetsResponse **ret, struct error *e) _must_use_;
int client_budget_delete(struct client *client, const Mayfly__V1__DeleteBudgetRequest *request,
			 Mayfly__V1__DeleteBudgetResponse **ret, struct error *e) _must_use_;

/* -- AuditService -- */

int client_audit_query(struct client *client, const Mayfly__V1__QueryAuditRequest *request,
		       Mayfly__V1__QueryAuditResponse **ret, struct error *e) _must_use_;
