/* SPDX-License-Identifier: Apache-2.0 */

/* What callers see: the services, the metrics, and the sockets before them. */

#include <errno.h>
#include <string.h>

#include "agent/api/access_key_service.h"
#include "agent/api/audit_service.h"
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
#include "agent/api/budget_service.h"
#include "agent/api/metrics_service.h"
#include "agent/api/usage_service.h"
#include "agent/api/webhook_service.h"
#include "agent/http/metrics_server.h"
#include "agent/node_internal.h"
#include "mayfly/fs.h"
#include "mayfly/log.h"

#define SOCKET_MODE     0660
#define SOCKET_DIR_MODE 0755

static void post_to_loop(void *loop, rpc_fn *fn, void *arg)
{
	loop_post(loop, fn, arg);
}

/* What runs, what it costs, and how far it may go. */
static int register_usage(struct node *node, struct error *error)
{
	const struct metrics_service_config metrics_config = { .context = &node->api,
							       .loop = node->loop,
							       .invoker = node->invoker,
							       .events = node->events.queue,
							       .pool = node->pool,
							       .account = node->account };
	int r = usage_service_register(node->server, node->account, node->pool, &node->api,
				       &node->usage_service, error);

	if (r == 0)
		r = metrics_service_register(node->server, &metrics_config, &node->metrics_service,
					     error);
	return r < 0 ? r
		     : budget_service_register(node->server, node->account, node->trail,
					       node->usage_service, &node->api,
					       &node->budget_service, error);
}

static int build_event_services(struct node *node, struct error *error)
{
	int r = event_service_register(node->server, node->directory, node->events.queue,
				       &node->api, node->config->events_webhook_allow_plain,
				       &node->event_service, error);

	if (r == 0)
		r = queue_service_register(node->server, node->events.queues, node->events.queue,
					   &node->api, &node->queue_service, error);
	return r < 0 ? r : webhook_service_register(node->server, node->tenants, error);
}

static void on_tenants_changed(void *gate)
{
	gate_look_again(gate);
}

static void build_gate(struct node *node, struct rpc_server_options *options)
{
	const struct config *config = node->config;
	unsigned control = (unsigned)config->limits_control_rate;
	unsigned read = (unsigned)config->limits_read_rate;

	node->gate = (struct gate){ .tenants = node->tenants,
				    .directory = node->directory,
				    .trail = node->trail,
				    .failures = { .trail = node->trail, .loop = node->loop },
				    .tcp_is_operator = config->api_listen_tcp_operator,
				    .trust_domain = config->auth_trust_domain,
				    .loop = node->loop,
				    .per_second = {
					    [ACCESS_RATE_CONTROL] = control,
					    [ACCESS_RATE_POLICY] = control,
					    [ACCESS_RATE_FUNCTION] = read,
					    [ACCESS_RATE_READ] = read,
				    } };
	gate_guard(&node->gate, options);
	tenants_set_listener(node->tenants, on_tenants_changed, &node->gate);
}

static struct rpc_limits limits_of(const struct config *config)
{
	return (struct rpc_limits){
		.connections = (unsigned)config->api_max_connections,
		.connections_per_address = (unsigned)config->api_max_connections_per_address,
		.idle_s = (unsigned)config->api_connection_idle_s,
		.calls = (unsigned)config->api_max_calls,
		.receiving_mb = (unsigned)config->api_max_receiving_mb,
		.receive_s = (unsigned)config->api_receive_timeout_s,
	};
}

static int build_services(struct node *node, struct error *error)
{
	const struct config *config = node->config;
	struct rpc_server_options options = { .post = post_to_loop,
					      .post_ctx = node->loop,
					      .limits = limits_of(config) };
	build_gate(node, &options);
	int r = rpc_server_new(&options, &node->server, error);
	if (r < 0)
		return r;

	node->api = (struct api_context){ .region = config->node_region,
					  .tenant = config->node_account_id,
					  .tenants = node->tenants };
	r = deploy_services_register(node->server, node->directory, &node->api,
				     &node->deploy_services, error);
	if (r < 0)
		return r;
	r = policy_service_register(node->server, node->directory, &node->api,
				    &node->policy_service, error);
	if (r < 0)
		return r;
	r = invoke_service_register(node->server, node->invoker, node->events.queue, &node->api,
				    &node->invoke_service, error);
	if (r < 0)
		return r;
	r = concurrency_service_register(node->server, node->directory, node->invoker, &node->api,
					 &node->concurrency_service, error);
	if (r < 0)
		return r;
	r = build_event_services(node, error);
	if (r < 0)
		return r;
	r = schedule_service_register(node->server, node->schedules, &node->api,
				      &node->schedule_service, error);
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
		.events = node->events.queue,
		.warnings = node->host.warnings,
	};
	r = register_usage(node, error);
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
						 .events = node->events.queue,
						 .schedules = node->schedules,
						 .pool = node->pool,
						 .directory = node->directory,
						 .account = node->account };
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

static const char *given(const char *text)
{
	return *text ? text : NULL;
}

struct rpc_tls_files node_tls_files(const struct config *config)
{
	return (struct rpc_tls_files){
		.certificate = config->api_tls_certificate,
		.key = config->api_tls_key,
		.client_ca = { [GATE_OPERATORS] = given(config->api_tls_client_ca),
			       [GATE_TENANTS] = given(config->api_tls_tenant_ca) },
		.crl = given(config->api_tls_crl),
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
		struct rpc_tls_files files = node_tls_files(config);
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

int node_build_front(struct node *node, struct error *error)
{
	int r = build_services(node, error);

	return r < 0 ? r : listen_and_start(node, error);
}
