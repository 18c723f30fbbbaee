/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Code packages: a ZIP from a file, from a folder, or from text in memory. */

#include "mayfly/buf.h"
#include "mayfly/error.h"

/* Lambda's limit of a package sent with the request. */
#define PACKAGE_MAX_BYTES 52428800U

/* Reads `path` ("fileb://" before it is taken off). */
int package_from_file(const char *path, struct buf *ret, struct error *e) _must_use_;

/* Zips regular files and symbolic links below `path`, in order of name and with fixed times, so
 * that the same folder gives the same package. */
int package_from_directory(const char *path, struct buf *ret, struct error *e) _must_use_;

/* Zips one file. */
int package_from_text(const char *name, const char *text, struct buf *ret,
		      struct error *e) _must_use_;
