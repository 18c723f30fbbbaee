/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How a step ended, and Lambda's error bodies for what the platform itself reports. */

#include "mayfly/buf.h"
#include "protocol.h"

#define OUTCOME_TYPE_BYTES  128
#define OUTCOME_LIMIT_BYTES 6291556U /* 6 MiB + 100: the most a buffered response may have */

struct outcome {
	outcome_status status;
	char type[OUTCOME_TYPE_BYTES];
	struct buf body; /* owned */
};

#define OUTCOME_OK ((struct outcome){ .status = STATUS(OK) })

void outcome_clear(struct outcome *outcome);
#define _cleanup_outcome_ _cleanup_(outcome_clear)

/* What a runtime reported: `type` is normalised as Lambda does, the body taken as it is. */
void outcome_set_reported(struct outcome *outcome, struct slice type, struct slice body);

/* {"errorType":TYPE,"errorMessage":"RequestId: ID Error: TEXT"}; "Error: TEXT" without an id. */
void outcome_set_platform(struct outcome *outcome, outcome_status status, const char *type,
			  const char *request_id, const char *format, ...) _printf_(5, 6);

void outcome_set_timeout(struct outcome *outcome, const char *request_id, unsigned timeout_ms);
void outcome_set_too_large(struct outcome *outcome);

/* From a wait status; `out_of_memory` when the function's limit killed it. */
void outcome_set_exit(struct outcome *outcome, const char *request_id, int wait_status,
		      bool out_of_memory);

/* The message for the channel; borrows from `outcome`. */
outcome_message outcome_to_message(struct outcome *outcome);

/* "(Runtime|Function).[A-Z][a-zA-Z]+" stays, anything else becomes Function.Unknown or
 * Runtime.Unknown. */
void outcome_normalise_type(struct slice type, char out[OUTCOME_TYPE_BYTES]);
