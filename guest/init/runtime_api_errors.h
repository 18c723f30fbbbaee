/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The Runtime API's state table, and the odd encodings of error reports. */

#include "runtime_api.h"

const char *runtime_api_state_name(enum runtime_api_state state);
bool runtime_api_may(enum runtime_api_state from, enum runtime_api_state to);

/* Appends what decodes; stops at the first character that is no base64. */
void runtime_api_decode_base64(struct slice text, struct buf *ret);

/* An error typed application/vnd.aws.lambda.error.cause+json carries tracing detail, which
 * the caller of the function does not get. Otherwise moves `body` to `ret` as it is. */
void runtime_api_strip_cause(struct slice content_type, struct buf *body, struct buf *ret);
