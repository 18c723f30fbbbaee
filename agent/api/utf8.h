/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Bytes of functions as protobuf strings, which must be UTF-8 without NUL. Any thread. */

#include "mayfly/buf.h"

/* A string of the bytes; what is no UTF-8 becomes U+FFFD. The caller frees; NULL: no memory. */
char *utf8_from_bytes(struct slice bytes);
