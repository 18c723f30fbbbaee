/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A sandbox: one microVM that serves one version of one function, one invocation at a time.
 * Owned by the pool; borrowed by a demand while it is bound. Loop thread. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/functions/function.h"
#include "agent/logs/log_lines.h"
#include "agent/logs/log_store.h"
#include "mayfly/guest/v1/guest.pb-c.h"
#include "mayfly/state.h"

struct sandbox;

/* RESTORING → INITIALIZING → READY → BUSY → FROZEN → READY/BUSY … → STOPPING → GONE */
enum sandbox_state {
	SANDBOX_NEW, /* not yet announced */
	SANDBOX_RESTORING,
	SANDBOX_INITIALIZING,
	SANDBOX_READY,  /* idle, vCPUs running */
	SANDBOX_BUSY,   /* bound */
	SANDBOX_FROZEN, /* idle, vCPUs stopped */
	SANDBOX_STOPPING,
	SANDBOX_GONE,
	_SANDBOX_STATE_MAX,
};
extern const struct state_table sandbox_states;

enum sandbox_origin { SANDBOX_FROM_BASE, SANDBOX_FROM_SNAPSHOT, SANDBOX_FROM_BOOT };

/* How a sandbox's one INIT ended. */
enum sandbox_init { SANDBOX_INIT_NONE, SANDBOX_INIT_OK, SANDBOX_INIT_FAILED };

/* Strings are borrowed from the sandbox. */
struct sandbox_facts {
	const char *id;
	const char *tenant;
	const char *function_name;
	const char *version;
	const char *template_id; /* "" when booted */
	const char *log_stream_name;
	enum sandbox_state state;
	enum sandbox_origin origin;
	enum sandbox_init init;
	unsigned memory_mb;
	pid_t pid;
	uint64_t invocations; /* begun */
	int64_t created_us;   /* realtime, as the next */
	int64_t last_used_us;
	int64_t requested_us; /* monotonic, as the rest; 0: did not happen */
	int64_t spawned_us;
	int64_t loaded_us;
	int64_t restored_us;
	int64_t init_sent_us;
	int64_t init_done_us;
	int64_t ready_us;
	int64_t restore_sent_us; /* Restore message given to the running guest */
	int64_t resume_asked_us; /* last thaw for a demand; 0: it was running */
	int64_t resume_done_us;  /* 0: not confirmed yet */
	bool repeating_init;     /* its last invocation had to repeat INIT, after a reset */
	bool delivered;          /* its vCPUs run, as far as is known: it may see what is sent */
};
void sandbox_get_facts(const struct sandbox *sandbox, struct sandbox_facts *ret);

/* The configuration it runs with; borrowed while it is bound. */
const struct function_config *sandbox_config(const struct sandbox *sandbox);

/* What the log says of its runtime; borrowed likewise. */
const struct line_runtime *sandbox_runtime(const struct sandbox *sandbox);

/* Where its lines go. Borrowed while it is bound. */
struct log_stream *sandbox_log(const struct sandbox *sandbox);

/* Sends to the guest of a bound sandbox. */
int sandbox_send(struct sandbox *sandbox, const Mayfly__Guest__V1__HostMessage *message) _must_use_;

/* The guest reset its runtime after a timeout or a crash: the next invocation repeats INIT. */
void sandbox_mark_reset(struct sandbox *sandbox);

/* The vCPUs of a bound sandbox stand still while its reader is slow. */
void sandbox_hold(struct sandbox *sandbox);
void sandbox_unhold(struct sandbox *sandbox);

/* The end of a binding. `end_reason` NULL: it may serve again; else it ends, for that reason. */
void sandbox_release(struct sandbox *sandbox, const char *end_reason);
