/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The one mapping between struct error and what travels: a google.rpc.Status with an ErrorInfo
 * (reason: Lambda's exception name) and, for a field, a BadRequest. Any thread. */

#include "mayfly/buf.h"
#include "mayfly/error.h"

#define RPC_STATUS_DETAILS_KEY "grpc-status-details-bin"

/* Longer messages are cut at a character, so that they fit every client's metadata limit. */
#define RPC_STATUS_MAX_TEXT    2000

/* Serializes; `text` gets the message as sent. Both are empty buffers. */
int rpc_status_encode(const struct error *e, const char *domain, struct buf *ret_status,
		      struct buf *ret_text) _must_use_;

/* Fills an empty *ret from a status code, its message and, unless empty, serialized details. */
void rpc_status_decode(int code, struct slice text, struct slice details, struct error *ret);
