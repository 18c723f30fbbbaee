/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a runtime process may tell init, by whichever way it speaks: the shim's link
 * (shim.h) or the Runtime API (runtime_api.h). Both fronts only decode and check; what the
 * words mean is decided in guest.c. Slices are borrowed during the call. */

#include "mayfly/buf.h"

struct runtime_event {
	/* Of one invocation; all borrowed while it runs. */
	const char *request_id;
	const char *function_arn;
	const char *trace_id;
	const char *tenant_id;
	const char *content_type;
	struct slice client_context;
	struct slice cognito_identity;
	struct slice payload;
	int64_t deadline_ms; /* epoch */
};

struct runtime_listener {
	/* The process is up and waits for its function; only of shims. */
	void (*on_hello)(struct slice version, void *user);
	void (*on_pong)(void *user);
	/* Waits for the next event: INIT, or the invocation, is over. */
	void (*on_next)(void *user);
	void (*on_init_error)(struct slice type, struct slice body, void *user);
	void (*on_response_start)(struct slice content_type, bool streaming, void *user);
	void (*on_response_data)(struct slice data, void *user);
	void (*on_response_end)(void *user);
	/* The response is over OUTCOME_LIMIT_BYTES; nothing of it was passed on. */
	void (*on_response_too_large)(void *user);
	/* The invocation failed, perhaps while its response streamed. */
	void (*on_error)(struct slice type, struct slice body, void *user);
	/* The reseed or the snapshot hooks are done; `type` is empty when all went well. */
	void (*on_hooks_done)(struct slice type, struct slice body, void *user);
	/* One source's bytecode; an empty path when there is no more. */
	void (*on_compiled)(struct slice path, struct slice bytecode, void *user);
	/* Waits for the restore. */
	void (*on_restore_next)(void *user);
	/* Ends by itself now, and takes no further event. */
	void (*on_leaving)(void *user);
	/* Broke the protocol beyond repair. */
	void (*on_broken)(const char *reason, void *user);
};
