/* SPDX-License-Identifier: Apache-2.0 */

/* The rooms below the services, in plain sight, from the lowest floor to the highest. */

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "agent/deploy/layer_directory.h"
#include "agent/auth/master_key.h"
#include "agent/node_internal.h"
#include "agent/schedules/schedules.h"
#include "agent/store/ledger.h"
#include "agent/store/registry.h"
#include "agent/tenants/webhook_secrets.h"
#include "mayfly/clock.h"
#include "mayfly/fs.h"
#include "mayfly/log.h"

#define MIB (1ULL << 20)

static int build_paths(struct node *node, struct error *error)
{
	const char *dir = node->config->node_state_dir;
	if (asprintf(&node->logs_dir, "%s/logs", dir) < 0 ||
	    asprintf(&node->registry_path, "%s/registry.db", dir) < 0 ||
	    asprintf(&node->ledger_path, "%s/ledger.db", dir) < 0 ||
	    asprintf(&node->journal_path, "%s/ledger.journal", dir) < 0 ||
	    asprintf(&node->audit_path, "%s/audit.db", dir) < 0)
		return error_set_errno(error, ENOMEM, "cannot build the node");
	return 0;
}

/* Only one that is below the state folder is made by the agent itself. */
static int find_master_key(struct node *node, struct error *error)
{
	const struct config *config = node->config;

	if (*config->auth_master_key_credential)
		return master_key_credential_path(config->auth_master_key_credential,
						  &node->master_key_path, error);
	node->makes_master_key = !*config->auth_master_key_file;
	if (asprintf(&node->master_key_path, "%s%s",
		     node->makes_master_key ? config->node_state_dir : config->auth_master_key_file,
		     node->makes_master_key ? "/master.key" : "") < 0)
		return error_set_errno(error, ENOMEM, "cannot build the node");
	return 0;
}

static int load_master_key(struct node *node, struct master_key *ret, struct error *error)
{
	int r = node->master_key_path ? 0 : find_master_key(node, error);

	if (r < 0)
		return r;
	return master_key_load(node->master_key_path, node->makes_master_key, ret, error);
}

/* What templates are sealed under, if they are: before anything else has made the state folder. */
static int load_template_key(struct node *node, struct master_key *ret,
			     struct vm_host_config *vm_config, struct error *error)
{
	const char *dir = node->config->node_state_dir;
	int r;

	if (node->config->templates_encryption == CONFIG_ENCRYPTION_NONE)
		return 0;
	r = fs_make_directories(dir, 0711);
	if (r < 0)
		return error_set_errno(error, r, "cannot make %s", dir);
	vm_config->template_key = ret;
	return load_master_key(node, ret, error);
}

static int build_machines(struct node *node, struct error *error)
{
	const struct config *config = node->config;
	int r = loop_new(0, &node->loop);
	if (r < 0)
		return error_set_errno(error, r, "cannot make the event loop");
	struct vm_host_config vm_config = host_vm_config(config);
	struct master_key key;
	r = load_template_key(node, &key, &vm_config, error);
	if (r == 0)
		r = vm_host_open(&vm_config, node->loop, &node->vm_host, error);
	master_key_clear(&key);
	if (r < 0)
		return r;
	return template_store_open(node->vm_host, node->loop, &node->templates, error);
}

static int build_logs(struct node *node, struct error *error)
{
	const struct config *config = node->config;
	struct log_store_config log_config = {
		.directory = node->logs_dir,
		.part_max_bytes = config->logs_max_part_mb * MIB,
		.group_max_bytes = config->logs_max_group_mb * MIB,
		.tenant_max_bytes = config->logs_max_tenant_mb * MIB,
		.waiting_max_bytes = config->logs_max_waiting_mb * MIB,
		.flush_after_us = (int64_t)config->logs_flush_after_ms * USEC_PER_MSEC,
	};
	return log_store_open(&log_config, node->loop, &node->logs, error);
}

static const char *why_tenant_does_not_run(const char *id, void *arg)
{
	const struct node *node = arg;

	return node->tenants ? tenants_why_not_run(node->tenants, id) : NULL;
}

/* 0: what the node gives to all. */
static unsigned concurrency_of_tenant(const char *id, void *arg)
{
	const struct node *node = arg;
	const struct tenant *tenant = node->tenants ? tenants_find(node->tenants, id) : NULL;

	return tenant && tenant->limits.has_concurrent_executions
		       ? tenant->limits.concurrent_executions
		       : 0;
}

static uint64_t provisioned_mb_of_tenant(const char *id, void *arg)
{
	const struct node *node = arg;
	const struct tenant *tenant = node->tenants ? tenants_find(node->tenants, id) : NULL;
	struct pool_gauges gauges;

	if (tenant && tenant->limits.has_provisioned_memory_mb)
		return tenant->limits.provisioned_memory_mb;
	pool_gauges(node->pool, &gauges);
	return gauges.memory_budget_bytes / MIB * node->config->limits_provisioned_percent / 100;
}

static unsigned waiting_events_of_tenant(const char *id, void *arg)
{
	const struct node *node = arg;
	const struct tenant *tenant = tenants_find(node->tenants, id);

	return tenant && tenant->limits.has_waiting_events ? tenant->limits.waiting_events
							   : UINT_MAX;
}

static uint64_t code_storage_of_tenant(const char *id, void *arg)
{
	const struct node *node = arg;
	const struct tenant *tenant = node->tenants ? tenants_find(node->tenants, id) : NULL;

	return tenant && tenant->limits.has_code_storage_bytes
		       ? tenant->limits.code_storage_bytes
		       : node->config->limits_code_storage_mb * MIB;
}

static int build_directory(struct node *node, struct error *error)
{
	const struct config *config = node->config;
	int r = registry_open_sqlite(node->registry_path, &node->registry, error);
	if (r < 0)
		return r;

	const struct runtime_catalogue *catalogue = vm_host_catalogue(node->vm_host);
	size_t count = runtime_catalogue_count(catalogue);
	_cleanup_free_ const char **runtimes = calloc(count + 1, sizeof(*runtimes));
	if (!runtimes)
		return error_set_errno(error, ENOMEM, "cannot build the node");
	for (size_t i = 0; i < count; i++)
		runtimes[i] = runtime_catalogue_at(catalogue, i)->name;
	struct master_key master_key;
	struct directory_config directory_config = {
		.state_dir = config->node_state_dir,
		.region = config->node_region,
		.default_tenant = config->node_account_id,
		.runtimes = runtimes,
		.runtime_count = count,
		.master_key = &master_key,
		.concurrency_limit = (unsigned)config->limits_concurrency,
		.limit_of_tenant = concurrency_of_tenant,
		.code_storage_of_tenant = code_storage_of_tenant,
		.limit_of_tenant_arg = node,
		.provisioned_mb_of_tenant = provisioned_mb_of_tenant,
		.unreserved_minimum = (unsigned)config->limits_unreserved_minimum,
		.share_packages = config->packages_shared,
	};
	r = load_master_key(node, &master_key, error);
	if (r < 0)
		return r;
	r = directory_open(&directory_config, node->registry, node->loop, &node->directory, error);
	master_key_clear(&master_key);
	return r;
}

static int64_t age_now_us(void *clock)
{
	return patient_clock_now_us(clock);
}

static int build_clock(struct node *node, struct error *error)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%s/clock", node->config->node_state_dir) < 0)
		return error_set_errno(error, ENOMEM, "cannot build the node");
	return patient_clock_open(path, node->loop, &node->clock, error);
}

static int build_account(struct node *node, struct error *error)
{
	const struct config *config = node->config;
	int r = ledger_open(node->ledger_path, config->ledger_sync == CONFIG_SYNC_FULL,
			    &node->ledger, error);
	if (r < 0)
		return r;
	struct account_config account_config = {
		.ledger = node->ledger,
		.journal_path = node->journal_path,
		.journal_answers = config->ledger_sync == CONFIG_SYNC_NORMAL,
		.answer_wait_us = (int64_t)config->ledger_answer_wait_ms * USEC_PER_MSEC,
		.raw_keep_us = (int64_t)config->ledger_raw_keep_days * 86400 * USEC_PER_SEC,
		.age_now_us = age_now_us,
		.age_now_arg = node->clock,
		.prices = { .request_pico = config->ledger_price_request_pico,
			    .gb_second_pico = config->ledger_price_gb_second_pico,
			    .provisioned_run_gb_second_pico =
				    config->ledger_price_provisioned_run_gb_second_pico,
			    .provisioned_gb_second_pico =
				    config->ledger_price_provisioned_gb_second_pico,
			    .storage_gb_second_pico = config->ledger_price_storage_gb_second_pico,
			    .stream_gb_pico = config->ledger_price_stream_gb_pico,
			    .cache_gb_second_pico = config->ledger_price_cache_gb_second_pico,
			    .restore_gb_pico = config->ledger_price_restore_gb_pico },
	};
	return account_new(&account_config, node->loop, &node->account, error);
}

static unsigned weight_of_tenant(const char *id, void *arg)
{
	const struct node *node = arg;

	return tenant_weight(node->tenants ? tenants_find(node->tenants, id) : NULL);
}

static void tenant_changed(const char *tenant, void *arg)
{
	const struct node *node = arg;

	if (node->pool)
		pool_tenant_changed(node->pool, tenant);
}

static unsigned count_functions(const char *tenant, void *directory)
{
	return directory_count(directory, tenant);
}

static unsigned count_layers(const char *tenant, void *directory)
{
	return directory_count_layers(directory, tenant);
}

/* None while there are none yet. */
static unsigned count_schedules(const char *tenant, void *arg)
{
	const struct node *node = arg;

	return node->schedules ? schedules_count(node->schedules, tenant) : 0;
}

static int build_tenants(struct node *node, struct error *error)
{
	const struct config *config = node->config;
	bool on_kvm = vm_host_info(node->vm_host)->accelerator == ACCELERATOR_KVM;
	struct tenants_config tenants_config = {
		.default_tenant = config->node_account_id,
		.master_key_path = node->master_key_path,
		.make_master_key = node->makes_master_key,
		.count_functions = count_functions,
		.count_layers = count_layers,
		.user = node->directory,
		.count_schedules = count_schedules,
		.count_schedules_arg = node,
		.changed = tenant_changed,
		.changed_arg = node,
	};
	if (!on_kvm && !config->node_tenants_on_tcg)
		tenants_config.only_one =
			"This node runs microVMs on TCG, which QEMU does not call a security "
			"boundary, so it takes one tenant only. With KVM there may be more; "
			"node.tenants_on_tcg = yes allows them here all the same.";
	int r = registry_open_sqlite(node->registry_path, &node->tenant_registry, error);
	if (r < 0)
		return r;
	return tenants_open(&tenants_config, node->tenant_registry, node->loop, &node->tenants,
			    error);
}

static int build_trail(struct node *node, struct error *error)
{
	const struct trail_config trail_config = {
		.path = node->audit_path,
		.max_records = node->config->audit_max_records,
		.keep_us = (int64_t)node->config->audit_keep_days * 24 * 3600 * USEC_PER_SEC,
		.age_now_us = age_now_us,
		.age_now_arg = node->clock,
	};
	return trail_open(&trail_config, node->loop, &node->trail, error);
}

static char *find_package(const char *package_digest, void *arg)
{
	return directory_package_path(arg, package_digest);
}

struct base_search {
	const char *runtime;
	unsigned memory_mb;
	bool found;
};

static bool config_uses_base(const struct function_config *config, const struct base_search *search)
{
	return config && config->runtime && strcmp(config->runtime, search->runtime) == 0 &&
	       config->memory_size_mb == search->memory_mb;
}

static void compare_base(const struct function *function, void *arg)
{
	struct base_search *search = arg;
	search->found |= config_uses_base(&function->config, search) ||
			 config_uses_base(function->update, search);
}

static bool base_is_needed(const char *runtime, unsigned memory_mb, void *directory)
{
	struct base_search search = { .runtime = runtime, .memory_mb = memory_mb };
	directory_each(directory, compare_base, &search);
	return search.found;
}

static int build_pool(struct node *node, struct error *error)
{
	const struct config *config = node->config;
	struct pool_config pool_config = {
		.region = config->node_region,
		.catalogue = vm_host_catalogue(node->vm_host),
		.package_path = find_package,
		.package_path_arg = node->directory,
		.base_is_needed = base_is_needed,
		.base_is_needed_arg = node->directory,
		.why_not_run = why_tenant_does_not_run,
		.why_not_run_arg = node,
		.tenant_weight = weight_of_tenant,
		.tenant_weight_arg = node,
		.base_template_keep_us = (int64_t)config->pool_base_template_keep_s * USEC_PER_SEC,
		.memory_budget_bytes = config->pool_memory_budget_mb * MIB,
		.memory_reserve_bytes = config->pool_memory_reserve_mb * MIB,
		.memory_commit_percent = (unsigned)config->pool_memory_commit_percent,
		.sandbox_overhead_mb = (unsigned)config->pool_sandbox_overhead_mb,
		.max_sandboxes = (unsigned)config->pool_max_sandboxes,
		.max_starts = (unsigned)config->pool_max_concurrent_restores,
		.adaptive = config->pool_scaling == CONFIG_SCALING_ADAPTIVE,
		.keep_alive_min_us = (int64_t)config->pool_keep_alive_min_s * USEC_PER_SEC,
		.keep_alive_us = (int64_t)config->pool_keep_alive_s * USEC_PER_SEC,
		.cold_start_worth_us = (int64_t)config->pool_cold_start_worth_s * USEC_PER_SEC,
		.freeze_after_us = (int64_t)config->pool_freeze_after_ms * USEC_PER_MSEC,
		.active_window_us = (int64_t)config->pool_active_window_s * USEC_PER_SEC,
		.spares = (unsigned)config->pool_spares,
		.spares_max = (unsigned)config->pool_spares_max,
		.spares_on_deploy = config->pool_spares_on_deploy,
		.warm_rounds = (unsigned)config->pool_warm_rounds,
		.start_timeout_us = (int64_t)config->pool_start_timeout_ms * USEC_PER_MSEC,
		.boot_timeout_us = (int64_t)config->pool_boot_timeout_ms * USEC_PER_MSEC,
		.init_timeout_ms = (unsigned)config->pool_init_timeout_ms,
		.guest_grace_us = (int64_t)config->pool_guest_grace_ms * USEC_PER_MSEC,
	};
	int r = pool_new(&pool_config, node->loop, node->vm_host, node->templates, node->logs,
			 &node->pool, error);
	if (r < 0)
		return r;
	struct invoker_config invoker_config = {
		.region = config->node_region,
		.default_tenant = config->node_account_id,
		.max_wait_us = (int64_t)config->pool_max_wait_s * USEC_PER_SEC,
		.max_waiting = (unsigned)config->pool_max_waiting,
		.max_waiting_bytes = config->pool_max_waiting_mb * MIB,
		.tenant_weight = weight_of_tenant,
		.tenant_weight_arg = node,
		.limits = {
			.tenant = (unsigned)config->limits_concurrency,
			.of_tenant = concurrency_of_tenant,
			.of_tenant_arg = node,
			.requests = (unsigned)config->limits_requests_per_concurrency,
			.scaling = (unsigned)config->limits_scaling_per_10s,
		},
		.max_metrics = (unsigned)config->metrics_max_functions,
	};
	return invoker_new(&invoker_config, node->loop, node->directory, node->pool, node->account,
			   &node->invoker, error);
}

/* An unknown tenant's functions are gone, which their events will find. */
static bool tenant_may_run(const char *id, void *arg)
{
	const struct node *node = arg;
	const struct tenant *tenant = tenants_find(node->tenants, id);

	return !tenant || tenant->state == TENANT_ACTIVE;
}

/* Its events wait as well while the node runs the default tenant's functions only. A schedule fires
 * all the same: its event is one that waits. */
static bool events_may_run(const char *id, void *arg)
{
	return tenant_may_run(id, arg) && !why_tenant_does_not_run(id, arg);
}

/* What posts to an address are signed with now. */
static int keys_of_webhook(const char *tenant, const char *url, struct webhook_keys *ret, void *arg)
{
	const struct node *node = arg;
	struct webhook_secrets secrets;
	int r = webhook_secrets_find(node->tenants, tenant, url, clock_realtime_us(), &secrets);

	if (r < 0)
		return r;
	memcpy(ret->bytes[0], secrets.current.bytes, sizeof(ret->bytes[0]));
	memcpy(ret->bytes[1], secrets.previous.bytes, sizeof(ret->bytes[1]));
	ret->count = secrets.has_previous ? 2 : 1;
	explicit_bzero(&secrets, sizeof(secrets));
	return 0;
}

static int build_events(struct node *node, struct error *error)
{
	struct event_queue_config needs = {
		.loop = node->loop,
		.directory = node->directory,
		.invoker = node->invoker,
		.waiting_of_tenant = waiting_events_of_tenant,
		.waiting_of_tenant_arg = node,
		.may_run = events_may_run,
		.may_run_arg = node,
		.webhook_keys = keys_of_webhook,
		.webhook_keys_arg = node,
	};

	return event_parts_build(node->config, &needs, &node->events, error);
}

static int build_schedules(struct node *node, struct error *error)
{
	const struct config *config = node->config;
	int r = registry_open_sqlite(node->registry_path, &node->schedule_registry, error);
	if (r < 0)
		return r;
	struct schedules_config schedules_config = {
		.region = config->node_region,
		.loop = node->loop,
		.registry = node->schedule_registry,
		.directory = node->directory,
		.events = node->events.queue,
		.max_per_tenant = (unsigned)config->schedules_max_per_tenant,
		.max_input_bytes = config->schedules_max_input_mb_per_tenant * MIB,
		.may_run = tenant_may_run,
		.may_run_arg = node,
	};
	return schedules_open(&schedules_config, &node->schedules, error);
}

int node_build_rooms(struct node *node, struct error *error)
{
	static int (*const steps[])(struct node * node, struct error * error) = {
		build_paths,   build_machines, build_logs,      build_directory,
		build_tenants, build_clock,    build_trail,     build_account,
		build_pool,    build_events,   build_schedules,
	};

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		int r = steps[i](node, error);

		if (r < 0)
			return r;
	}
	return 0;
}
