/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mayfly.v1.NodeService: what this node is, what lives on it, and a stream of what changes.
 * Loop thread. */

#include "agent/api/api_context.h"
#include "agent/api/template_feed.h"
#include "agent/deploy/directory.h"
#include "agent/events/event_queue.h"
#include "agent/image/runtime_catalogue.h"
#include "agent/invoke/invocation.h"
#include "agent/pool/pool.h"
#include "agent/vm/template.h"
#include "rpc/rpc_server.h"

struct node_service;

struct node_service_config {
	const char *node_id; /* borrowed, as all here, until the service is freed */
	const struct api_context *context;
	const char *state_dir, *images_dir; /* NULL: unknown */
	int64_t started_us;                 /* realtime */
	struct loop *loop;
	struct vm_host *vm_host;
	struct template_store *templates;          /* its one listener becomes this service's */
	const struct runtime_catalogue *catalogue; /* NULL: unknown */
	struct directory *directory;
	struct pool *pool;
	struct invoker *invoker;
	const struct event_queue *events; /* NULL: none */
	const char *const *warnings;      /* NULL-terminated, beside the VM host's; may be NULL */
};

/* Freed after the server's shutdown and after the loop ended. */
int node_service_register(struct rpc_server *server, const struct node_service_config *config,
			  struct node_service **ret, struct error *error) _must_use_;
/* News of templates, for others too. Borrowed. */
struct template_feed *node_service_template_feed(struct node_service *service);
/* Ends all watches, so that a shutdown need not wait for their clients. */
void node_service_stop(struct node_service *service);
struct node_service *node_service_free(struct node_service *service);
DEFINE_CLEANUP(struct node_service, node_service_free)
