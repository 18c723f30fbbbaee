/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Every verb; each is in the file of its name. */

#include "cli/verb.h"

extern const struct verb verb_function_create;
extern const struct verb verb_function_get;
extern const struct verb verb_function_list_versions;
extern const struct verb verb_function_list;
extern const struct verb verb_function_update_code;
extern const struct verb verb_function_update_configuration;
extern const struct verb verb_function_delete;
extern const struct verb verb_function_publish_version;
extern const struct verb verb_function_add_permission;
extern const struct verb verb_function_remove_permission;
extern const struct verb verb_function_get_policy;
extern const struct verb verb_concurrency_provision;
extern const struct verb verb_concurrency_get_provisioned;
extern const struct verb verb_concurrency_list_provisioned;
extern const struct verb verb_concurrency_delete_provisioned;
extern const struct verb verb_events_put_config;
extern const struct verb verb_events_update_config;
extern const struct verb verb_events_get_config;
extern const struct verb verb_events_delete_config;
extern const struct verb verb_events_list_configs;
extern const struct verb verb_concurrency_put;
extern const struct verb verb_concurrency_get;
extern const struct verb verb_concurrency_delete;
extern const struct verb verb_account;
extern const struct verb verb_invoke;
extern const struct verb verb_alias_create;
extern const struct verb verb_alias_get;
extern const struct verb verb_alias_list;
extern const struct verb verb_alias_update;
extern const struct verb verb_alias_delete;
extern const struct verb verb_layer_publish;
extern const struct verb verb_layer_get;
extern const struct verb verb_layer_list_versions;
extern const struct verb verb_layer_list;
extern const struct verb verb_layer_delete;
extern const struct verb verb_tag;
extern const struct verb verb_untag;
extern const struct verb verb_list_tags;
extern const struct verb verb_logs;
extern const struct verb verb_node;
extern const struct verb verb_sandboxes;
extern const struct verb verb_templates_list;
extern const struct verb verb_templates_build;
extern const struct verb verb_templates_drop;
extern const struct verb verb_templates;
extern const struct verb verb_watch;
extern const struct verb verb_tenant_create;
extern const struct verb verb_tenant_get;
extern const struct verb verb_tenant_list;
extern const struct verb verb_tenant_update;
extern const struct verb verb_tenant_suspend;
extern const struct verb verb_tenant_resume;
extern const struct verb verb_tenant_delete;
extern const struct verb verb_access_key_create;
extern const struct verb verb_access_key_list;
extern const struct verb verb_access_key_set_state;
extern const struct verb verb_access_key_delete;
extern const struct verb verb_usage_query;
extern const struct verb verb_usage_export;
extern const struct verb verb_usage_reconcile;
extern const struct verb verb_budget_put;
extern const struct verb verb_budget_get;
extern const struct verb verb_budget_list;
extern const struct verb verb_budget_delete;
extern const struct verb verb_audit;
extern const struct verb verb_completion;
extern const struct verb verb_bench_cold_start;
extern const struct verb verb_bench_burst;
extern const struct verb verb_bench_throughput;
extern const struct verb verb_bench_density;
