/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* From the kernel's hand-over to a guest that can speak: file systems, modules, disks, the
 * loopback interface, the port; and the mounts that wait for a function. */

#include "mayfly/buf.h"

#define BOOT_ROOT         "/rootfs"
#define BOOT_PORT_NAME    "mayfly.channel"
#define BOOT_FAILURE_SIZE 256

/* On failure `failure` says which step. */
int boot_prepare(char failure[BOOT_FAILURE_SIZE]) _must_use_;

/* Opens the agent's port, waiting for it up to 10 s. */
int boot_open_port(int *ret_fd) _must_use_;

/* Mounts the package's disk over what package_prepare() put there. Never before Initialize: until
 * then the disk is a placeholder, whose content must not get into the page cache of a template. */
int boot_mount_code(char failure[BOOT_FAILURE_SIZE]) _must_use_;
/* The same of a package with layers: its folders task/ and opt/ on /var/task and /opt. */
int boot_mount_layered_code(char failure[BOOT_FAILURE_SIZE]) _must_use_;

/* Mounts the scratch disk on /tmp. In a template only when its clones get a copy of the disk as it
 * is when the snapshot is taken. Mounting takes most of what Initialize takes under emulation. */
int boot_mount_scratch(char failure[BOOT_FAILURE_SIZE]) _must_use_;
/* Makes /tmp's file system as big as the function wants it: the device has room for the biggest. */
int boot_grow_scratch(uint32_t size_mb, char failure[BOOT_FAILURE_SIZE]) _must_use_;

/* The restore duties: the entropy goes into the kernel's pool, which is made to reseed; the
 * clock is set when it is off by more than ten milliseconds. */
int boot_add_entropy(struct slice entropy) _must_use_;
int boot_set_clock(int64_t realtime_us);

_Noreturn void boot_power_off(void);
