/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The function's code on /var/task and its layers on /opt: the files of a small package, which came
 * in a message, or the package's disk. A clone pays for every line of kernel code that it is the
 * first to run, and a mount is thousands: so empty file systems lie on both in every template,
 * writable by init alone through other mounts of them, and a small package is written there. */

#include "boot.h"
#include "protocol.h"

#define PACKAGE_DEPTH         64U
#define PACKAGE_PATH_BYTES    1024U
#define PACKAGE_ENTRIES_BYTES 4096U

/* Before the path of a source in a layer. */
#define PACKAGE_LAYER_PREFIX  "/opt/"

/* Once per boot, before any runtime process: what runs in /var/task afterwards keeps its place. */
int package_prepare(char failure[BOOT_FAILURE_SIZE]) _must_use_;

/* Writes the files, in their order. Paths are checked; nothing is overwritten. */
int package_place(Mayfly__Guest__V1__PackageFile *const *files, size_t count,
		  char failure[BOOT_FAILURE_SIZE]) _must_use_;
/* Those of the layers, on /opt. */
int package_place_layers(Mayfly__Guest__V1__PackageFile *const *files, size_t count,
			 char failure[BOOT_FAILURE_SIZE]) _must_use_;

/* Whether the layers bring libraries, in /opt/lib. The dynamic linker of a process that began
 * before them does not look there again. */
bool package_has_layer_libraries(void);

/* The same into another empty folder. */
int package_place_below(int folder, Mayfly__Guest__V1__PackageFile *const *files, size_t count,
			char failure[BOOT_FAILURE_SIZE]) _must_use_;

/* The names on the first level, with "/" between; empty when they are more than fit. */
void package_list(Mayfly__Guest__V1__PackageFile *const *files, size_t count,
		  char ret[PACKAGE_ENTRIES_BYTES]);

/* A path that stays below its root: no empty part, none that is "." or "..". */
bool package_path_is_safe(const char *path);

/* The same of a source: below /var/task, or behind PACKAGE_LAYER_PREFIX. */
bool package_source_is_safe(const char *path);
