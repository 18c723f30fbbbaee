/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Random bytes and identifiers, from the kernel's CSPRNG. Any thread. */

#include <stddef.h>
#include <stdint.h>

/* Fills with getrandom(2); aborts if the kernel has none, for nothing safe can follow. */
void random_bytes(void *out, size_t len);

/* RFC 9562 version 4, lower case, with NUL. */
#define UUID_BYTES 37
void uuid_generate(char out[UUID_BYTES]);

/* 32 lower-case hex digits with NUL: sandbox ids, log stream suffixes. */
#define HEX_ID_BYTES 33
void hex_id_generate(char out[HEX_ID_BYTES]);

/* Lower-case hex of `len` bytes; `out` has 2 * len + 1 bytes. */
void hex_encode(const void *data, size_t len, char *out);
