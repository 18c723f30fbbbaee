/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the agent asks of its host before any part is built. Main thread, at start. */

#include <sys/types.h>

#include "agent/config.h"
#include "agent/vm/vm.h"

#define HOST_MAX_WARNINGS 4

struct host_setup {
	int lock_fd; /* STATE_DIR/lock, held for the agent's life */
	char node_id[37];
	gid_t socket_gid; /* (gid_t)-1: leave it */
	/* What could not be had, a sentence each, constant, NULL-terminated. */
	const char *warnings[HOST_MAX_WARNINGS + 1];
};

/* Makes the state folder and takes its lock, raises limits, finds users and groups, blocks the
 * signals that the loop will handle. `error` says what to do about a refusal. */
int host_setup(const struct config *config, struct host_setup *ret, struct error *error) _must_use_;
void host_setup_undo(struct host_setup *setup);

/* The VM room's part of the configuration; borrows from `config`. */
struct vm_host_config host_vm_config(const struct config *config);
