/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The node: every part of the agent, built in plain sight from the configuration, run by the owner
 * loop, taken down in reverse. Main thread, which is the loop's. */

#include "agent/config.h"

struct node;

/* Builds all parts; blocks for seconds (the accelerator's probe, a former agent's leavings).
 * The configuration is borrowed until node_close(). */
int node_open(const struct config *config, struct node **ret, struct error *error) _must_use_;

/* Serves until SIGTERM or SIGINT, then drains. The exit code, or a negative errno. */
int node_run(struct node *node);

/* Copes with NULL and with a half-built node. */
struct node *node_close(struct node *node);
DEFINE_CLEANUP(struct node, node_close)
