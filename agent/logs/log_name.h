/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Names of groups and streams as names of folders and files. Any thread. */

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/* Percent-encodes all but letters, digits, '-', '_' and '.', which no name begins with. A name too
 * long for a file system is cut and made unique by a hash of all of it. */
void log_name_encode(const char *name, char out[NAME_MAX + 1]);

/* STREAM~PART, the part with six digits at least. False when it does not fit. */
bool log_file_name(const char *stream, unsigned part, char out[NAME_MAX + 1]);

/* The stream's name of a file's; false when it is not one of ours. */
bool log_file_stream(const char *file, char *out, size_t out_bytes);
