/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/messages.h"

#include <openssl/evp.h>
#include <time.h>

#include "cli/json_fields.h"
#include "cli/output.h"
#include "mayfly/clock.h"

static const char *name_in(const char *const *names, size_t count, int value)
{
	if (value < 0 || (size_t)value >= count || !names[value])
		return "";
	return names[value];
}

#define DEFINE_NAMES(function, ...)                                                                \
	const char *function(int value)                                                            \
	{                                                                                          \
		static const char *const names[] = { __VA_ARGS__ };                                \
		return name_in(names, ARRAY_SIZE(names), value);                                   \
	}

#define DEFINE_PRIVATE_NAMES(function, ...) static DEFINE_NAMES(function, __VA_ARGS__)

DEFINE_NAMES(name_of_function_state, "", "Pending", "Active", "Inactive", "Failed")
DEFINE_NAMES(name_of_update_status, "", "Successful", "Failed", "InProgress")
DEFINE_NAMES(name_of_start_kind, "", "Warm", "Spare", "Restore", "SnapStart", "Boot")
DEFINE_NAMES(name_of_sandbox_state, "", "Restoring", "Initializing", "Ready", "Busy", "Frozen",
	     "Stopping", "Gone")
DEFINE_NAMES(name_of_template_kind, "", "Base", "Function")
DEFINE_NAMES(name_of_template_state, "", "Building", "Ready", "Failed", "Gone")
DEFINE_NAMES(name_of_accelerator, "", "KVM", "TCG")
DEFINE_PRIVATE_NAMES(name_of_apply_on, "None", "None", "PublishedVersions", "Latest")
DEFINE_PRIVATE_NAMES(name_of_log_format, "Text", "Text", "JSON")

/* "2025-11-25T02:26:54.123+0000" */
static void put_lambda_time(json_t *object, const char *name, int64_t realtime_us)
{
	char text[CLOCK_ISO8601_BYTES + 8];

	if (realtime_us <= 0)
		return;
	clock_format_iso8601(realtime_us, text);
	char *z = strchr(text, 'Z');
	if (z)
		memcpy(z, "+0000", 6);
	json_put_text(object, name, text);
}

static json_t *json_from_environment(const Mayfly__V1__Function *function)
{
	json_t *variables = json_object();
	for (size_t i = 0; i < function->n_environment; i++)
		(void)json_object_set_new(variables, function->environment[i]->key,
					  json_string(function->environment[i]->value));
	return json_pack("{s:o}", "Variables", variables);
}

static json_t *json_from_logging(const Mayfly__V1__LoggingConfig *logging)
{
	json_t *object = json_object();
	json_put_text(object, "LogFormat", name_of_log_format((int)logging->log_format));
	json_put_text(object, "ApplicationLogLevel", logging->application_log_level);
	json_put_text(object, "SystemLogLevel", logging->system_log_level);
	json_put_text(object, "LogGroup", logging->log_group);
	return object;
}

static json_t *json_from_layers(const Mayfly__V1__Function *function)
{
	json_t *array = json_array();

	for (size_t i = 0; i < function->n_layers; i++) {
		json_t *layer = json_object();
		json_put_text(layer, "Arn", function->layers[i]->arn);
		json_put_number(layer, "CodeSize", function->layers[i]->code_size_bytes);
		(void)json_array_append_new(array, layer);
	}
	return array;
}

static json_t *json_from_tags(const Mayfly__V1__Function *function)
{
	json_t *object = json_object();

	for (size_t i = 0; i < function->n_tags; i++)
		(void)json_object_set_new(object, function->tags[i]->key,
					  json_string(function->tags[i]->value));
	return object;
}

json_t *json_from_function(const Mayfly__V1__Function *function)
{
	json_t *object = json_object();

	json_put_text(object, "FunctionName", function->function_name);
	json_put_text(object, "FunctionArn", function->function_arn);
	json_put_text(object, "Runtime", function->runtime);
	json_put_text(object, "Handler", function->handler);
	json_put_number(object, "CodeSize", function->code_size_bytes);
	(void)json_object_set_new(object, "Description", json_string(function->description));
	json_put_number(object, "Timeout", function->timeout_seconds);
	json_put_number(object, "MemorySize", function->memory_size_mb);
	put_lambda_time(object, "LastModified", function->last_modified_us);
	json_put_text(object, "CodeSha256", function->code_sha256);
	json_put_text(object, "Version", function->version);
	if (function->n_environment > 0)
		(void)json_object_set_new(object, "Environment", json_from_environment(function));
	json_put_text(object, "RevisionId", function->revision_id);
	json_put_text(object, "State", name_of_function_state((int)function->state));
	json_put_text(object, "StateReason", function->state_reason);
	json_put_text(object, "StateReasonCode", function->state_reason_code);
	json_put_text(object, "LastUpdateStatus",
		      name_of_update_status((int)function->last_update_status));
	json_put_text(object, "LastUpdateStatusReason", function->last_update_status_reason);
	json_put_text(object, "LastUpdateStatusReasonCode",
		      function->last_update_status_reason_code);
	(void)json_object_set_new(object, "EphemeralStorage",
				  json_pack("{s:i}", "Size", (int)function->ephemeral_storage_mb));
	if (function->snap_start)
		(void)json_object_set_new(
			object, "SnapStart",
			json_pack("{s:s,s:s}", "ApplyOn",
				  name_of_apply_on((int)function->snap_start->apply_on),
				  "OptimizationStatus",
				  function->snap_start->optimized ? "On" : "Off"));
	if (function->tenancy_config)
		(void)json_object_set_new(object, "TenancyConfig",
					  json_pack("{s:s}", "TenantIsolationMode", "PER_TENANT"));
	if (function->dead_letter_config)
		(void)json_object_set_new(
			object, "DeadLetterConfig",
			json_pack("{s:s}", "TargetArn", function->dead_letter_config->target_arn));
	if (function->logging_config)
		(void)json_object_set_new(object, "LoggingConfig",
					  json_from_logging(function->logging_config));
	if (function->n_layers > 0)
		(void)json_object_set_new(object, "Layers", json_from_layers(function));
	if (function->n_tags > 0)
		(void)json_object_set_new(object, "Tags", json_from_tags(function));
	return object;
}

json_t *json_from_gauges(const Mayfly__V1__Gauges *g)
{
	json_t *object = json_object();

	json_put_time(object, "Time", g->time_us);
	json_put_number(object, "SandboxesTotal", g->sandboxes_total);
	json_put_number(object, "SandboxesBusy", g->sandboxes_busy);
	json_put_number(object, "SandboxesFrozen", g->sandboxes_frozen);
	json_put_number(object, "SandboxesSpare", g->sandboxes_spare);
	json_put_number(object, "SandboxesStarting", g->sandboxes_starting);
	json_put_number(object, "InvocationsRunning", g->invocations_running);
	json_put_number(object, "InvocationsQueued", g->invocations_queued);
	json_put_number(object, "InvocationsTotal", g->invocations_total);
	json_put_number(object, "FunctionErrorsTotal", g->function_errors_total);
	json_put_number(object, "ColdStartsTotal", g->cold_starts_total);
	json_put_number(object, "ThrottlesTotal", g->throttles_total);
	json_put_number(object, "WaitingBytes", g->waiting_bytes);
	json_put_number(object, "WaitingRefusedTotal", g->waiting_refused_total);
	json_put_number(object, "WaitingDisplacedTotal", g->waiting_displaced_total);
	json_put_number(object, "EventsWaiting", g->events_waiting);
	json_put_number(object, "EventsRunning", g->events_running);
	json_put_number(object, "EventsReceivedTotal", g->events_received_total);
	json_put_number(object, "EventsDroppedTotal", g->events_dropped_total);
	json_put_number(object, "EventsOldestAgeUs", g->events_oldest_age_us);
	json_put_number(object, "RestoresTotal", g->restores_total);
	json_put_number(object, "RestoreFailuresTotal", g->restore_failures_total);
	json_put_number(object, "EvictionsTotal", g->evictions_total);
	json_put_number(object, "MemoryCommittedBytes", g->memory_committed_bytes);
	json_put_number(object, "MemoryBudgetBytes", g->memory_budget_bytes);
	json_put_number(object, "AgentResidentBytes", g->agent_resident_bytes);
	json_put_number(object, "FunctionsTotal", g->functions_total);
	return object;
}

static json_t *json_from_runtimes(const Mayfly__V1__Node *node)
{
	json_t *list = json_array();
	for (size_t i = 0; i < node->n_runtimes; i++) {
		json_t *object = json_object();
		json_put_text(object, "Runtime", node->runtimes[i]->runtime);
		json_put_text(object, "Digest", node->runtimes[i]->digest);
		json_put_number(object, "SizeBytes", node->runtimes[i]->size_bytes);
		(void)json_array_append_new(list, object);
	}
	return list;
}

json_t *json_from_node(const Mayfly__V1__Node *node)
{
	json_t *object = json_object(), *warnings = json_array();

	json_put_text(object, "Version", node->version);
	json_put_text(object, "NodeId", node->node_id);
	json_put_time(object, "StartedAt", node->started_at_us);
	json_put_text(object, "Accelerator", name_of_accelerator((int)node->accelerator));
	json_put_text(object, "AcceleratorReason", node->accelerator_reason);
	json_put_text(object, "CpuModel", node->cpu_model);
	json_put_number(object, "CpuCount", node->cpu_count);
	json_put_number(object, "MemoryBytes", node->memory_bytes);
	json_put_text(object, "KernelRelease", node->kernel_release);
	json_put_text(object, "GuestKernel", node->guest_kernel);
	json_put_text(object, "QemuVersion", node->qemu_version);
	json_put_text(object, "LibvirtVersion", node->libvirt_version);
	json_put_text(object, "LibvirtUri", node->libvirt_uri);
	json_put_text(object, "CgroupMode", node->cgroup_mode);
	json_put_text(object, "StateDir", node->state_dir);
	json_put_text(object, "ImagesDir", node->images_dir);
	json_put_text(object, "AccountId", node->account_id);
	json_put_text(object, "Region", node->region);
	json_put_number(object, "InitramfsBytes", node->initramfs_bytes);
	json_put_number(object, "InitResidentBytes", node->init_resident_bytes);
	(void)json_object_set_new(object, "Runtimes", json_from_runtimes(node));
	for (size_t i = 0; i < node->n_warnings; i++)
		(void)json_array_append_new(warnings, json_string(node->warnings[i]));
	(void)json_object_set_new(object, "Warnings", warnings);
	if (node->gauges)
		(void)json_object_set_new(object, "Gauges", json_from_gauges(node->gauges));
	return object;
}

json_t *json_from_sandbox(const Mayfly__V1__Sandbox *s)
{
	json_t *object = json_object();

	json_put_text(object, "SandboxId", s->sandbox_id);
	json_put_text(object, "Tenant", s->tenant);
	json_put_text(object, "FunctionName", s->function_name);
	json_put_text(object, "Version", s->version);
	json_put_text(object, "State", name_of_sandbox_state((int)s->state));
	json_put_text(object, "StartKind", name_of_start_kind((int)s->start_kind));
	json_put_time(object, "CreatedAt", s->created_at_us);
	json_put_time(object, "LastUsedAt", s->last_used_at_us);
	json_put_number(object, "Invocations", s->invocations);
	json_put_number(object, "MemorySize", s->memory_size_mb);
	json_put_number(object, "AnonymousBytes", s->anonymous_bytes);
	json_put_number(object, "Pid", s->pid);
	json_put_text(object, "TemplateId", s->template_id);
	json_put_text(object, "LogStreamName", s->log_stream_name);
	return object;
}

json_t *json_from_template(const Mayfly__V1__Template *t)
{
	json_t *object = json_object();

	json_put_text(object, "TemplateId", t->template_id);
	json_put_text(object, "Kind", name_of_template_kind((int)t->kind));
	json_put_text(object, "State", name_of_template_state((int)t->state));
	json_put_text(object, "Runtime", t->runtime);
	json_put_number(object, "MemorySize", t->memory_size_mb);
	json_put_text(object, "Tenant", t->tenant);
	json_put_text(object, "FunctionName", t->function_name);
	json_put_text(object, "Version", t->version);
	json_put_time(object, "CreatedAt", t->created_at_us);
	json_put_number(object, "SizeBytes", t->size_bytes);
	json_put_number(object, "BuildMicroseconds", t->build_us);
	json_put_text(object, "Reason", t->reason);
	json_put_number(object, "Clones", t->clones);
	return object;
}

void phases_list(const Mayfly__V1__Phases *p, struct phase out[PHASES])
{
	const struct phase list[PHASES] = {
		{ "admit", p->admit_us },     { "place", p->place_us },   { "spawn", p->spawn_us },
		{ "load", p->load_us },       { "resume", p->resume_us }, { "init", p->init_us },
		{ "handler", p->handler_us }, { "reply", p->reply_us },
	};
	memcpy(out, list, sizeof(list));
}

json_t *json_from_phases(const Mayfly__V1__Phases *phases)
{
	struct phase list[PHASES];
	json_t *object = json_object();

	json_put_text(object, "start_kind", name_of_start_kind((int)phases->start_kind));
	(void)json_object_set_new(object, "total_ms", json_real((double)phases->total_us / 1e3));
	phases_list(phases, list);
	for (size_t i = 0; i < PHASES; i++) {
		char name[32];
		(void)snprintf(name, sizeof(name), "%s_ms", list[i].name);
		(void)json_object_set_new(object, name, json_real((double)list[i].us / 1e3));
	}
	(void)json_object_set_new(object, "guest_ms", json_real((double)phases->guest_us / 1e3));
	json_put_text(object, "sandbox_id", phases->sandbox_id);
	return object;
}

static json_t *json_from_routing(const Mayfly__V1__AliasRoutingConfiguration *routing)
{
	json_t *weights = json_object();

	for (size_t i = 0; i < routing->n_additional_version_weights; i++)
		(void)json_object_set_new(weights, routing->additional_version_weights[i]->key,
					  json_real(routing->additional_version_weights[i]->value));
	return json_pack("{s:o}", "AdditionalVersionWeights", weights);
}

json_t *json_from_alias(const Mayfly__V1__Alias *alias)
{
	json_t *object = json_object();

	json_put_text(object, "AliasArn", alias->alias_arn);
	json_put_text(object, "Name", alias->name);
	json_put_text(object, "FunctionVersion", alias->function_version);
	(void)json_object_set_new(object, "Description", json_string(alias->description));
	if (alias->routing_config)
		(void)json_object_set_new(object, "RoutingConfig",
					  json_from_routing(alias->routing_config));
	json_put_text(object, "RevisionId", alias->revision_id);
	return object;
}

static json_t *json_from_change(const Mayfly__V1__FunctionChange *change)
{
	json_t *object = json_object();
	json_put_text(object, "Tenant", change->tenant);
	json_put_text(object, "FunctionName", change->function_name);
	json_put_text(object, "Version", change->version);
	json_put_text(object, "State", change->state);
	json_put_text(object, "LastUpdateStatus", change->last_update_status);
	return object;
}

json_t *json_from_node_event(const Mayfly__V1__NodeEvent *event)
{
	json_t *object = json_object();

	json_put_time(object, "Time", event->time_us);
	switch (event->event_case) {
	case MAYFLY__V1__NODE_EVENT__EVENT_GAUGES:
		(void)json_object_set_new(object, "Gauges", json_from_gauges(event->gauges));
		break;
	case MAYFLY__V1__NODE_EVENT__EVENT_SANDBOX:
		(void)json_object_set_new(object, "Sandbox", json_from_sandbox(event->sandbox));
		break;
	case MAYFLY__V1__NODE_EVENT__EVENT_TEMPLATE:
		(void)json_object_set_new(object, "Template", json_from_template(event->template_));
		break;
	case MAYFLY__V1__NODE_EVENT__EVENT_FUNCTION:
		(void)json_object_set_new(object, "Function", json_from_change(event->function));
		break;
	case MAYFLY__V1__NODE_EVENT__EVENT_DROPPED:
		json_put_number(object, "Dropped", event->dropped);
		break;
	default:
		break;
	}
	return object;
}

json_t *json_base64_from_bytes(const ProtobufCBinaryData *bytes)
{
	if (bytes->len > (64U << 20))
		return NULL;
	_cleanup_free_ unsigned char *encoded = malloc(4 * (bytes->len / 3 + 1) + 1);
	if (!encoded)
		return NULL;
	int n = EVP_EncodeBlock(encoded, bytes->data, (int)bytes->len);
	return json_stringn((const char *)encoded, (size_t)n);
}

json_t *json_from_bytes(const ProtobufCBinaryData *bytes)
{
	json_t *text = json_stringn((const char *)bytes->data, bytes->len);

	return text ? text : json_base64_from_bytes(bytes);
}
