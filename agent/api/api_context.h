/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What every service knows of the node. Borrowed by them until the server is freed. */

#include "agent/functions/function.h"
#include "agent/tenants/tenants.h"
#include "mayfly/cleanup.h"
#include "mayfly/error.h"
#include "rpc/rpc_server.h"

struct api_context {
	const char *region;
	const char *tenant;            /* 12 digits: whoever calls without naming one */
	const struct tenants *tenants; /* NULL: there is no other */
};

/* The tenant of a request: "" is the default tenant, one that is not there an error. Whether the
 * caller may name it was decided before (gate.h). *ret is borrowed from context or request. */
int api_resolve_tenant(const struct api_context *context, const char *tenant, const char **ret,
		       struct error *error) _must_use_;

/* A function's name in any form, for what concerns functions only: a qualifier is refused. */
int api_parse_unqualified(const struct api_context *context, const char *text, const char *tenant,
			  struct function_reference *ret, struct error *error) _must_use_;

/* "Cannot take the request". */
int api_refuse_memory(struct error *error);

/* Each handler of a service's table: the typed request to its step, a refusal to the caller. A step
 * that returns 0 has answered, or will. */
#define API_HANDLER(name, step, type)                                                              \
	static void name(struct rpc_call *call, const ProtobufCMessage *message, void *user)       \
	{                                                                                          \
		_cleanup_error_ struct error error = ERROR_INIT;                                   \
                                                                                                   \
		if (step(user, call, (const type *)message, &error) < 0)                           \
			rpc_call_fail(call, &error);                                               \
	}
