/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Text whose writer need not be trusted, made fit for a protobuf string. Any thread. */

#include "mayfly/buf.h"

/* Length of the one well-formed UTF-8 sequence at the beginning of `s`, at most `len` bytes; 0
 * when there is none (Unicode 15, table 3-7: no overlong forms, no surrogates). */
size_t utf8_sequence_length(const uint8_t *s, size_t len) _pure_;

/* Appends `text` with U+FFFD in the place of each byte that is no part of a well-formed
 * sequence, and of each NUL. 0, -ENOMEM or -EMSGSIZE. */
int utf8_append_clean(struct buf *to, struct slice text) _must_use_;
