/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files that build the node share. Main thread. */

#include "agent/account/account.h"
#include "agent/api/api_context.h"
#include "agent/api/gate.h"
#include "agent/core/patient_clock.h"
#include "agent/event_parts.h"
#include "agent/host_setup.h"
#include "agent/node.h"

struct node {
	const struct config *config; /* borrowed */
	struct host_setup host;
	int64_t started_us;
	char *logs_dir; /* paths below the state folder */
	char *registry_path;
	char *master_key_path; /* from build_directory on */
	bool makes_master_key;
	char *ledger_path;
	char *journal_path;
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
	struct patient_clock *clock;
	struct ledger *ledger;
	struct account *account;
	struct trail *trail;
	struct pool *pool;
	struct invoker *invoker;
	struct event_parts events;
	struct registry *schedule_registry; /* a connection of its own */
	struct schedules *schedules;
	struct api_context api;
	struct gate gate;
	struct rpc_server *server;
	struct deploy_services *deploy_services;
	struct policy_service *policy_service;
	struct invoke_service *invoke_service;
	struct concurrency_service *concurrency_service;
	struct event_service *event_service;
	struct queue_service *queue_service;
	struct schedule_service *schedule_service;
	struct metrics_server *metrics_server;
	struct log_service *log_service;
	struct node_service *node_service;
	struct template_service *template_service;
	struct tenant_service *tenant_service;
	struct usage_service *usage_service;
	struct budget_service *budget_service;
	struct metrics_service *metrics_service;
};

/* Each step says in `error` why it failed, and leaves what it built to node_close(). */

/* node_rooms.c: the rooms below the services, from the lowest floor up. */
int node_build_rooms(struct node *node, struct error *error) _must_use_;

/* node_front.c: services, metrics, sockets. */
int node_build_front(struct node *node, struct error *error) _must_use_;
/* Borrowed from the configuration. */
struct rpc_tls_files node_tls_files(const struct config *config);
