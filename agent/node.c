/* SPDX-License-Identifier: Apache-2.0 */

/* The node's life: built from the lowest floor to the highest, and taken down again. */

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "agent/api/access_key_service.h"
#include "agent/api/audit_service.h"
#include "agent/api/budget_service.h"
#include "agent/api/metrics_service.h"
#include "agent/api/event_service.h"
#include "agent/api/deploy_services.h"
#include "agent/api/concurrency_service.h"
#include "agent/api/invoke_service.h"
#include "agent/api/log_service.h"
#include "agent/api/node_service.h"
#include "agent/api/policy_service.h"
#include "agent/api/queue_service.h"
#include "agent/api/schedule_service.h"
#include "agent/api/template_service.h"
#include "agent/api/tenant_service.h"
#include "agent/api/usage_service.h"
#include "agent/http/metrics_server.h"
#include "agent/node_internal.h"
#include "agent/schedules/schedules.h"
#include "agent/store/ledger.h"
#include "agent/store/registry.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"

/* The way down has parts that end in their own time. */
enum {
	DRAIN_SERVER = 1 << 0,
	DRAIN_POOL = 1 << 1,
	DRAIN_DIRECTORY = 1 << 2,
	DRAIN_ALL = DRAIN_SERVER | DRAIN_POOL | DRAIN_DIRECTORY,
};

static const struct function *find_function(const char *tenant, const char *name,
					    const char *version, void *directory)
{
	return directory_find_qualified(directory, tenant, name, version);
}

static void prepare_function(const struct function *function, const struct function_config *config,
			     directory_prepared_fn *done, void *done_arg, void *user)
{
	pool_prepare_function(user, function, config, done, done_arg);
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
	struct node *node = arg;

	failures_end(&node->gate.failures); /* while the trail still writes */
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
	schedules_stop(node->schedules);
	metrics_service_stop(node->metrics_service);
	event_queue_stop(node->events.queue);
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
		gate_look_again(&reload->node->gate);
		log_notice("SIGHUP: new connections see the certificate in %s",
			   reload->files.certificate);
	} else {
		log_error("SIGHUP: certificates, authorities and revocation lists stay as they "
			  "were: %s",
			  error_log_text(&reload->error));
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
	reload->files = node_tls_files(node->config);
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
		node_build_rooms,
		node_build_front,
		handle_signals,
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
	gate_stop(&node->gate);
	metrics_server_free(node->metrics_server);
	if (node->loop)
		loop_end_jobs(node->loop);
	tenant_service_free(node->tenant_service);
	metrics_service_free(node->metrics_service);
	budget_service_free(node->budget_service);
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
	schedule_service_free(node->schedule_service);
	if (node->event_service)
		event_service_free(node->event_service);
	queue_service_free(node->queue_service);
	if (node->invoke_service)
		invoke_service_free(node->invoke_service);
	policy_service_free(node->policy_service);
	deploy_services_free(node->deploy_services);
	schedules_close(node->schedules);
	registry_close(node->schedule_registry);
	event_parts_free(&node->events);
	invoker_free(node->invoker);
	pool_free(node->pool);
	trail_close(node->trail);
	tenants_close(node->tenants);
	registry_close(node->tenant_registry);
	account_free(node->account);
	patient_clock_close(node->clock);
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
	free(node->registry_path);
	free(node->master_key_path);
	free(node->audit_path);
	free(node->logs_dir);
	free(node);
	return NULL;
}
