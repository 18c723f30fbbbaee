/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The function's code on /var/task: the files of a small package, which came in a message, or the
 * package's disk. A clone pays for every line of kernel code that it is the first to run, and a
 * mount is thousands: so an empty file system lies on /var/task in every template, writable by init
 * alone through another mount of it, and a small package is written there. */

#include "boot.h"
#include "protocol.h"

#define PACKAGE_DEPTH         64U
#define PACKAGE_PATH_BYTES    1024U
#define PACKAGE_ENTRIES_BYTES 4096U

/* Once per boot, before any runtime process: what runs in /var/task afterwards keeps its place. */
int package_prepare(char failure[BOOT_FAILURE_SIZE]) _must_use_;

/* Writes the files, in their order. Paths are checked; nothing is overwritten. */
int package_place(Mayfly__Guest__V1__PackageFile *const *files, size_t count,
		  char failure[BOOT_FAILURE_SIZE]) _must_use_;

/* The same into another empty folder. */
int package_place_below(int folder, Mayfly__Guest__V1__PackageFile *const *files, size_t count,
			char failure[BOOT_FAILURE_SIZE]) _must_use_;

/* The names on the first level, with "/" between; empty when they are more than fit. */
void package_list(Mayfly__Guest__V1__PackageFile *const *files, size_t count,
		  char ret[PACKAGE_ENTRIES_BYTES]);

/* A path that stays below /var/task: no empty part, none that is "." or "..". */
bool package_path_is_safe(const char *path);
