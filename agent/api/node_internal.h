/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What node_service.c and node_watch.c share. Loop thread. */

#include <sys/queue.h>

#include "agent/api/node_service.h"
#include "mayfly/v1/node.pb-c.h"

struct watch;

struct node_service {
	struct node_service_config config;
	char *cpu_model;
	char *kernel_release;
	unsigned cpu_count;
	uint64_t memory_bytes;
	LIST_HEAD(, watch) watches;
	struct template_feed templates;
	struct template_follower follower; /* all watches, as one */
};

/* node_service.c */
void node_fill_gauges(const struct node_service *service, Mayfly__V1__Gauges *to);

/* node_watch.c */
void node_handle_watch(struct rpc_call *rpc, const ProtobufCMessage *request, void *user);
int node_watch_listen(struct node_service *service, struct error *error);
void node_watch_end_all(struct node_service *service);
void node_watch_free_all(struct node_service *service);
