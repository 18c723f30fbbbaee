/* SPDX-License-Identifier: Apache-2.0 */

/* The parts, from the lowest floor to the highest, and the way down again. */

#include "agent/node.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "agent/account/account.h"
#include "agent/api/access_key_service.h"
#include "agent/api/alias_service.h"
#include "agent/api/audit_service.h"
#include "agent/api/event_service.h"
#include "agent/api/function_service.h"
#include "agent/api/concurrency_service.h"
#include "agent/api/gate.h"
#include "agent/api/invoke_service.h"
#include "agent/api/log_service.h"
#include "agent/api/node_service.h"
#include "agent/api/template_service.h"
#include "agent/api/tenant_service.h"
#include "agent/api/usage_service.h"
#include "agent/auth/master_key.h"
#include "agent/events/event_queue.h"
#include "agent/host_setup.h"
#include "agent/http/metrics_server.h"
#include "agent/store/event_store.h"
#include "agent/store/ledger.h"
#include "agent/store/registry.h"
#include "mayfly/clock.h"
#include "mayfly/fs.h"
#include "mayfly/log.h"

#define MIB             (1ULL << 20)
#define SOCKET_MODE     0660
#define SOCKET_DIR_MODE 0755

/* The way down has parts that end in their own time. */
enum {
	DRAIN_SERVER = 1 << 0,
	DRAIN_POOL = 1 << 1,
	DRAIN_DIRECTORY = 1 << 2,
	DRAIN_ALL = DRAIN_SERVER | DRAIN_POOL | DRAIN_DIRECTORY,
};

struct node {
	const struct config *config; /* borrowed */
	struct host_setup host;
	int64_t started_us;
	char *logs_dir; /* paths below the state folder */
	char *registry_path;
	char *master_key_path;
	char *ledger_path;
	char *journal_path;
	char *events_path;
	char *audit_path;
	unsigned drained; /* DRAIN_… that are done; meaningful while `stopping` */
	bool stopping;

	/* In order of building. */
	struct loop *loop;
	struct vm_host *vm_host;
	struct template_store *templates;
	struct log_store *logs;
	struct registry *registry;
	struct directory *directory;
	struct registry *tenant_registry; /* a connection of its own */
	struct tenants *tenants;
	struct ledger *ledger;
	struct account *account;
	struct trail *trail;
	struct pool *pool;
	struct invoker *invoker;
	struct event_store *event_store;
	struct event_queue *event_queue;
	struct api_context api;
	struct gate gate;
	struct rpc_server *server;
	struct alias_service *alias_service;
	struct function_service *function_service;
	struct invoke_service *invoke_service;
	struct concurrency_service *concurrency_service;
	struct event_service *event_service;
	struct metrics_server *metrics_server;
	struct log_service *log_service;
	struct node_service *node_service;
	struct template_service *template_service;
	struct tenant_service *tenant_service;
	struct usage_service *usage_service;
};

/* -- building -- */

static int build_paths(struct node *node, struct error *error)
{
	const char *dir = node->config->node_state_dir;
	if (asprintf(&node->logs_dir, "%s/logs", dir) < 0 ||
	    asprintf(&node->registry_path, "%s/registry.db", dir) < 0 ||
	    asprintf(&node->master_key_path, "%s/master.key", dir) < 0 ||
	    asprintf(&node->ledger_path, "%s/ledger.db", dir) < 0 ||
	    asprintf(&node->journal_path, "%s/ledger.journal", dir) < 0 ||
	    asprintf(&node->events_path, "%s/events.db", dir) < 0 ||
	    asprintf(&node->audit_path, "%s/audit.db", dir) < 0)
		return error_set_errno(error, ENOMEM, "cannot build the node");
	return 0;
}

static int build_machines(struct node *node, struct error *error)
{
	const struct config *config = node->config;
	int r = loop_new(0, &node->loop);
	if (r < 0)
		return error_set_errno(error, r, "cannot make the event loop");
	struct vm_host_config vm_config = host_vm_config(config);
	r = vm_host_open(&vm_config, node->loop, &node->vm_host, error);
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
		.waiting_max_bytes = config->logs_max_waiting_mb * MIB,
		.flush_after_us = (int64_t)config->logs_flush_after_ms * USEC_PER_MSEC,
	};
	return log_store_open(&log_config, node->loop, &node->logs, error);
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

static const char *master_key_path(const struct node *node)
{
	const char *given = node->config->auth_master_key_file;

	return *given ? given : node->master_key_path;
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
		.limit_of_tenant_arg = node,
		.unreserved_minimum = (unsigned)config->limits_unreserved_minimum,
	};
	r = master_key_load(master_key_path(node), !*config->auth_master_key_file, &master_key,
			    error);
	if (r < 0)
		return r;
	r = directory_open(&directory_config, node->registry, node->loop, &node->directory, error);
	master_key_clear(&master_key);
	return r;
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
		.prices = { .request_pico = config->ledger_price_request_pico,
			    .gb_second_pico = config->ledger_price_gb_second_pico },
	};
	return account_new(&account_config, node->loop, &node->account, error);
}

static unsigned count_functions(const char *tenant, void *directory)
{
	return directory_count(directory, tenant);
}

static int build_tenants(struct node *node, struct error *error)
{
	const struct config *config = node->config;
	bool on_kvm = vm_host_info(node->vm_host)->accelerator == ACCELERATOR_KVM;
	struct tenants_config tenants_config = {
		.default_tenant = config->node_account_id,
		.master_key_path = master_key_path(node),
		.make_master_key = !*config->auth_master_key_file,
		.count_functions = count_functions,
		.user = node->directory,
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
	};
	return trail_open(&trail_config, node->loop, &node->trail, error);
}

static const struct function *find_function(const char *tenant, const char *name,
					    const char *version, void *directory)
{
	return directory_find_qualified(directory, tenant, name, version);
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
		.base_template_keep_us = (int64_t)config->pool_base_template_keep_s * USEC_PER_SEC,
		.memory_budget_bytes = config->pool_memory_budget_mb * MIB,
		.memory_reserve_bytes = config->pool_memory_reserve_mb * MIB,
		.memory_commit_percent = (unsigned)config->pool_memory_commit_percent,
		.sandbox_overhead_mb = (unsigned)config->pool_sandbox_overhead_mb,
		.max_sandboxes = (unsigned)config->pool_max_sandboxes,
		.max_starts = (unsigned)config->pool_max_concurrent_restores,
		.max_waiting = (unsigned)config->pool_max_waiting,
		.keep_alive_us = (int64_t)config->pool_keep_alive_s * USEC_PER_SEC,
		.freeze_after_us = (int64_t)config->pool_freeze_after_ms * USEC_PER_MSEC,
		.active_window_us = (int64_t)config->pool_active_window_s * USEC_PER_SEC,
		.spares = (unsigned)config->pool_spares,
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
		.max_waiting_bytes = config->pool_max_waiting_mb * MIB,
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

static int build_events(struct node *node, struct error *error)
{
	const struct config *config = node->config;
	int r = event_store_open(node->events_path, config->events_sync == CONFIG_SYNC_FULL,
				 &node->event_store, error);
	if (r < 0)
		return r;
	struct event_queue_config queue_config = {
		.store = node->event_store,
		.loop = node->loop,
		.directory = node->directory,
		.invoker = node->invoker,
		.policy = {
			.max_retries = (unsigned)config->events_max_retries,
			.retry_first_us = (int64_t)config->events_retry_first_ms * USEC_PER_MSEC,
			.delay_first_us = (int64_t)config->events_delay_first_ms * USEC_PER_MSEC,
			.delay_max_us = (int64_t)config->events_delay_max_ms * USEC_PER_MSEC,
			.max_age_us = (int64_t)config->events_max_age_s * USEC_PER_SEC,
		},
		.max_running = (unsigned)config->events_max_running,
		.max_waiting = (unsigned)config->events_max_waiting,
		.max_waiting_bytes = config->events_max_waiting_mb * MIB,
		.may_run = tenant_may_run,
		.may_run_arg = node,
	};
	return event_queue_new(&queue_config, &node->event_queue, error);
}

static void prepare_function(const struct function *function, const struct function_config *config,
			     directory_prepared_fn *done, void *done_arg, void *user)
{
	pool_prepare_function(user, function, config, done, done_arg);
}

static void post_to_loop(void *loop, rpc_fn *fn, void *arg)
{
	loop_post(loop, fn, arg);
}

static int build_services(struct node *node, struct error *error)
{
	const struct config *config = node->config;
	struct rpc_server_options options = { .post = post_to_loop, .post_ctx = node->loop };
	node->gate = (struct gate){ .tenants = node->tenants,
				    .trail = node->trail,
				    .tcp_is_operator = config->api_listen_tcp_operator };
	gate_guard(&node->gate, &options);
	int r = rpc_server_new(&options, &node->server, error);
	if (r < 0)
		return r;

	node->api = (struct api_context){ .region = config->node_region,
					  .tenant = config->node_account_id,
					  .tenants = node->tenants };
	r = alias_service_register(node->server, node->directory, &node->api, &node->alias_service,
				   error);
	if (r < 0)
		return r;
	r = function_service_register(node->server, node->directory, &node->api,
				      &node->function_service, error);
	if (r < 0)
		return r;
	r = invoke_service_register(node->server, node->invoker, node->event_queue, &node->api,
				    &node->invoke_service, error);
	if (r < 0)
		return r;
	r = concurrency_service_register(node->server, node->directory, node->invoker, &node->api,
					 &node->concurrency_service, error);
	if (r < 0)
		return r;
	r = event_service_register(node->server, node->directory, node->event_queue, &node->api,
				   &node->event_service, error);
	if (r < 0)
		return r;
	r = tenant_service_register(node->server, node->tenants, &node->tenant_service, error);
	if (r < 0)
		return r;
	r = access_key_service_register(node->server, node->tenants, error);
	if (r < 0)
		return r;
	r = audit_service_register(node->server, node->trail, error);
	if (r < 0)
		return r;
	struct log_service_config log_config = { .context = &node->api,
						 .logs = node->logs,
						 .directory = node->directory };
	r = log_service_register(node->server, &log_config, &node->log_service, error);
	if (r < 0)
		return r;
	struct node_service_config node_config = {
		.node_id = node->host.node_id,
		.state_dir = config->node_state_dir,
		.images_dir = config->node_images_dir,
		.context = &node->api,
		.started_us = node->started_us,
		.loop = node->loop,
		.vm_host = node->vm_host,
		.templates = node->templates,
		.catalogue = vm_host_catalogue(node->vm_host),
		.directory = node->directory,
		.pool = node->pool,
		.invoker = node->invoker,
		.events = node->event_queue,
		.warnings = node->host.warnings,
	};
	r = usage_service_register(node->server, node->account, &node->api, &node->usage_service,
				   error);
	if (r < 0)
		return r;
	r = node_service_register(node->server, &node_config, &node->node_service, error);
	if (r < 0)
		return r;
	return template_service_register(
		node->server, node_service_template_feed(node->node_service),
		vm_host_catalogue(node->vm_host), &node->template_service, error);
}

static int make_socket_dir(const char *socket, struct error *error)
{
	_cleanup_free_ char *dir = strndup(socket, (size_t)(strrchr(socket, '/') - socket));
	if (!dir)
		return error_set_errno(error, ENOMEM, "cannot make the folder of %s", socket);
	if (!*dir)
		return 0;
	int r = fs_make_directories(dir, SOCKET_DIR_MODE);
	if (r < 0)
		return error_set_errno(error, r, "cannot make the folder %s", dir);
	return 0;
}

static int serve_metrics(struct node *node, struct error *error)
{
	const struct metrics_sources sources = { .invoker = node->invoker,
						 .events = node->event_queue,
						 .pool = node->pool,
						 .directory = node->directory };
	int r;

	if (!*node->config->metrics_listen)
		return 0;
	r = metrics_server_new(node->config->metrics_listen, &sources, node->loop,
			       &node->metrics_server, error);
	if (r < 0)
		return r;
	log_info("metrics on http://%s/metrics (port %u)", node->config->metrics_listen,
		 metrics_server_port(node->metrics_server));
	return 0;
}

static struct rpc_tls_files tls_files(const struct config *config)
{
	return (struct rpc_tls_files){
		.certificate = config->api_tls_certificate,
		.key = config->api_tls_key,
		.client_ca = *config->api_tls_client_ca ? config->api_tls_client_ca : NULL,
	};
}

static int listen_and_start(struct node *node, struct error *error)
{
	const struct config *config = node->config;
	int r = make_socket_dir(config->api_socket, error);
	if (r < 0)
		return r;
	r = rpc_server_listen_unix(node->server, config->api_socket, SOCKET_MODE,
				   node->host.socket_gid, error);
	if (r < 0)
		return r;
	if (*config->api_listen_tcp) {
		uint16_t port;
		r = rpc_server_listen_tcp(node->server, config->api_listen_tcp, &port, error);
		if (r < 0)
			return r;
		log_info("also listening on %s (port %u)", config->api_listen_tcp, port);
	}
	if (*config->api_listen_tls) {
		struct rpc_tls_files files = tls_files(config);
		struct rpc_tls_identity *identity;
		uint16_t port;
		r = rpc_tls_identity_load(&files, &identity, error);
		if (r == 0)
			r = rpc_server_listen_tls(node->server, config->api_listen_tls, identity,
						  &port, error);
		if (r < 0)
			return r;
		log_info("also listening on %s with TLS (port %u)", config->api_listen_tls, port);
	}
	r = serve_metrics(node, error);
	return r < 0 ? r : rpc_server_start(node->server, error);
}

/* -- the way down -- */

static void on_flushed(void *arg)
{
	struct node *node = arg;
	loop_exit_when_idle(node->loop, 0);
}

static void on_accounted(void *arg)
{
	struct node *node = arg;
	log_store_flush(node->logs, on_flushed, node);
}

static void on_templates_stopped(void *arg)
{
	struct node *node = arg;
	account_flush(node->account, on_accounted, node);
}

/* Templates come after all who may wait for one: what an accepted invocation needs is built. Logs
 * come last: a function whose INIT ends with its template's build has a line to say so. */
static void drained(struct node *node, unsigned part)
{
	node->drained |= part;
	if (node->drained == DRAIN_ALL)
		template_store_stop(node->templates, on_templates_stopped, node);
}

static void on_server_drained(void *arg)
{
	drained(arg, DRAIN_SERVER);
}

static void on_pool_drained(void *arg)
{
	drained(arg, DRAIN_POOL);
}

static void on_directory_stopped(void *arg)
{
	drained(arg, DRAIN_DIRECTORY);
}

static void node_stop(struct node *node)
{
	if (node->stopping)
		return;
	node->stopping = true;
	log_notice("stopping: running invocations have up to %u s",
		   (unsigned)node->config->node_drain_s);
	(void)sd_notify(0, "STOPPING=1\nSTATUS=Waiting for running invocations.");
	log_service_stop(node->log_service);
	node_service_stop(node->node_service);
	usage_service_stop(node->usage_service);
	event_queue_stop(node->event_queue);
	rpc_server_shutdown(node->server, (unsigned)(node->config->node_drain_s * MSEC_PER_SEC),
			    on_server_drained, node);
	pool_drain(node->pool, (int64_t)node->config->node_drain_s * USEC_PER_SEC, on_pool_drained,
		   node);
	directory_stop(node->directory, on_directory_stopped, node);
}

static int on_stop_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *arg)
{
	(void)source;
	(void)info;
	node_stop(arg);
	return 0;
}

/* -- SIGHUP: certificates are read again -- */

struct reload {
	struct job job;
	struct node *node;
	struct rpc_tls_files files;
	struct rpc_tls_identity *identity;
	struct error error;
};

static void reload_work(struct job *job)
{
	struct reload *reload = container_of(job, struct reload, job);
	if (rpc_tls_identity_load(&reload->files, &reload->identity, &reload->error) < 0)
		reload->identity = NULL;
}

static void reload_done(struct job *job)
{
	_cleanup_free_ struct reload *reload = container_of(job, struct reload, job);
	if (reload->identity) {
		rpc_server_set_tls_identity(reload->node->server, reload->identity);
		log_notice("SIGHUP: new connections see the certificate in %s",
			   reload->files.certificate);
	} else {
		log_warning("SIGHUP: the certificate stays as it was: %s",
			    error_text(&reload->error));
	}
	error_clear(&reload->error);
}

/* The rest of the configuration is read at start only. */
static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *info, void *arg)
{
	struct node *node = arg;
	(void)source;
	(void)info;
	if (!*node->config->api_listen_tls) {
		log_notice("SIGHUP: the configuration is read at start only");
		return 0;
	}
	struct reload *reload = calloc(1, sizeof(*reload));
	if (!reload)
		abort(); /* as loop_post() */
	reload->job = (struct job){ .work = reload_work, .done = reload_done };
	reload->node = node;
	reload->files = tls_files(node->config);
	loop_submit(node->loop, &reload->job);
	return 0;
}

static int handle_signals(struct node *node, struct error *error)
{
	sd_event *event = loop_event(node->loop);
	int r = sd_event_add_signal(event, NULL, SIGTERM, on_stop_signal, node);
	if (r >= 0)
		r = sd_event_add_signal(event, NULL, SIGINT, on_stop_signal, node);
	if (r >= 0)
		r = sd_event_add_signal(event, NULL, SIGHUP, on_hangup, node);
	if (r >= 0)
		r = sd_event_set_watchdog(event, true);
	if (r < 0)
		return error_set_errno(error, r, "cannot handle signals");
	return 0;
}

/* -- the door -- */

int node_open(const struct config *config, struct node **ret, struct error *error)
{
	_cleanup_(node_close_p) struct node *node = calloc(1, sizeof(*node));
	if (!node)
		return error_set_errno(error, ENOMEM, "cannot build the node");
	node->config = config;
	node->started_us = clock_realtime_us();

	int r = host_setup(config, &node->host, error);
	if (r < 0)
		return r;
	static int (*const steps[])(struct node * node, struct error * error) = {
		build_paths,   build_machines, build_logs,       build_directory,
		build_tenants, build_trail,    build_account,    build_pool,
		build_events,  build_services, listen_and_start, handle_signals,
	};
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		r = steps[i](node, error);
		if (r < 0)
			return r;
	}
	struct deploy_hooks hooks = { .prepare = prepare_function, .user = node->pool };
	directory_set_hooks(node->directory, &hooks);
	directory_start(node->directory);
	pool_collect_templates(node->pool, find_function, node->directory);
	*ret = TAKE_PTR(node);
	return 0;
}

int node_run(struct node *node)
{
	const struct vm_host_info *info = vm_host_info(node->vm_host);
	const char *accelerator = info->accelerator == ACCELERATOR_KVM ? "KVM" : "TCG";
	for (size_t i = 0; info->warnings && info->warnings[i]; i++)
		log_warning("%s", info->warnings[i]);
	for (size_t i = 0; node->host.warnings[i]; i++)
		log_warning("%s", node->host.warnings[i]);
	log_notice("mayflyd %s serves on %s with %s (%s), %zu runtimes", MAYFLY_VERSION,
		   node->config->api_socket, accelerator, info->accelerator_reason,
		   runtime_catalogue_count(vm_host_catalogue(node->vm_host)));
	(void)sd_notifyf(0, "READY=1\nSTATUS=Serving on %s with %s.", node->config->api_socket,
			 accelerator);
	int r = loop_run(node->loop);
	log_notice("stopped");
	return r;
}

struct node *node_close(struct node *node)
{
	if (!node)
		return NULL;
	/* The server first: it refers to the services. Nor may a job still read what goes. Then
	 * from the highest floor down. */
	rpc_server_free(node->server);
	metrics_server_free(node->metrics_server);
	if (node->loop)
		loop_end_jobs(node->loop);
	tenant_service_free(node->tenant_service);
	if (node->usage_service)
		usage_service_free(node->usage_service);
	if (node->template_service)
		template_service_free(node->template_service);
	if (node->node_service)
		node_service_free(node->node_service);
	if (node->log_service)
		log_service_free(node->log_service);
	if (node->concurrency_service)
		concurrency_service_free(node->concurrency_service);
	if (node->event_service)
		event_service_free(node->event_service);
	if (node->invoke_service)
		invoke_service_free(node->invoke_service);
	if (node->alias_service)
		alias_service_free(node->alias_service);
	if (node->function_service)
		function_service_free(node->function_service);
	event_queue_free(node->event_queue);
	event_store_close(node->event_store);
	invoker_free(node->invoker);
	pool_free(node->pool);
	trail_close(node->trail);
	tenants_close(node->tenants);
	registry_close(node->tenant_registry);
	account_free(node->account);
	ledger_close(node->ledger);
	directory_close(node->directory);
	registry_close(node->registry);
	log_store_close(node->logs);
	if (node->templates)
		template_store_close(node->templates);
	if (node->vm_host)
		vm_host_close(node->vm_host);
	loop_free(node->loop);
	host_setup_undo(&node->host);
	free(node->ledger_path);
	free(node->journal_path);
	free(node->events_path);
	free(node->registry_path);
	free(node->master_key_path);
	free(node->audit_path);
	free(node->logs_dir);
	free(node);
	return NULL;
}
