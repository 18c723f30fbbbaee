/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A snapshot of metrics as a message. Loop thread. */

#include "agent/api/metrics_service.h"

#include <mayfly/v1/metrics.pb-c.h>

struct metrics_scope {
	char tenant[TENANT_ID_DIGITS + 1];    /* "": all, and the node */
	char function[FUNCTION_NAME_MAX + 1]; /* "": all */
	uint64_t since;                       /* changes after this (metrics_serial()); 0: all */
};

/* Everything in it is the caller's, and freed by metrics_message_clear(). 0 or -ENOMEM, and then it
 * may be cleared, too. */
int metrics_message_fill(const struct metrics_service_config *config,
			 const struct metrics_scope *scope,
			 Mayfly__V1__MetricsSnapshot *ret) _must_use_;
void metrics_message_clear(Mayfly__V1__MetricsSnapshot *message);
