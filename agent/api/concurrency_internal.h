/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the two files of ConcurrencyService share. Loop thread. */

#include "agent/api/concurrency_service.h"
#include "mayfly/v1/concurrency.pb-c.h"

struct concurrency_service {
	struct directory *directory;
	struct invoker *invoker;
	const struct api_context *context;
};

/* concurrency_provisioned.c: methods; `user` is the service. */
void provisioned_on_put(struct rpc_call *call, const ProtobufCMessage *message, void *user);
void provisioned_on_get(struct rpc_call *call, const ProtobufCMessage *message, void *user);
void provisioned_on_delete(struct rpc_call *call, const ProtobufCMessage *message, void *user);
void provisioned_on_list(struct rpc_call *call, const ProtobufCMessage *message, void *user);
