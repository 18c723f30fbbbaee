/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* GET /metrics over HTTP/1.1 on a loopback address. Loop thread. */

#include "agent/core/loop.h"
#include "agent/http/metrics_text.h"

struct metrics_server;

/* `address` is HOST:PORT of this machine; port 0 takes a free one. Borrows the loop and what the
 * sources point to until it is freed. */
int metrics_server_new(const char *address, const struct metrics_sources *sources,
		       struct loop *loop, struct metrics_server **ret,
		       struct error *error) _must_use_;
/* Copes with NULL. */
struct metrics_server *metrics_server_free(struct metrics_server *server);
DEFINE_CLEANUP(struct metrics_server, metrics_server_free)

uint16_t metrics_server_port(const struct metrics_server *server);
