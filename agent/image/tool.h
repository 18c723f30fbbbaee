/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The programs that make file systems, run without a shell. Private to this room. */

#include "mayfly/error.h"

#define TOOL_MKFS_EROFS "/usr/bin/mkfs.erofs"
#define TOOL_FSCK_EROFS "/usr/bin/fsck.erofs"
#define TOOL_MKFS_EXT4  "/usr/sbin/mkfs.ext4"
#define TOOL_DEBUGFS    "/usr/sbin/debugfs"
#define TOOL_QEMU_IMG   "/usr/bin/qemu-img"

/* Runs argv[0] with a fixed environment, no input, and its output kept from ours; waits.
 * A failure is told with the last line that the program wrote. Any thread. */
int tool_run(const char *const argv[], struct error *error) _must_use_;

/* The same with one more variable ("NAME=value") in the environment. */
int tool_run_with(const char *const argv[], const char *variable, struct error *error) _must_use_;
