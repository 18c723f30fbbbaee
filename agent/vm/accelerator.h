/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which accelerator this host can use. /dev/kvm that opens, and even runs a few instructions,
 * proves nothing where KVM is itself emulated: the probe boots a whole kernel with it. Blocks. */

#include "agent/vm/vm.h"

struct accelerator_probe {
	const char *device; /* /dev/kvm */
	const char *emulator;
	const char *kernel;
	const char *work_dir;     /* for the probe's initramfs */
	const char *cache_path;   /* remembers the verdict */
	const char *qemu_version; /* part of the cache's key, with boot id and kernel */
	uint64_t tsc_khz;
	unsigned limit_ms; /* for the test kernel to boot */
};

struct accelerator_verdict {
	enum accelerator accelerator; /* KVM or TCG */
	char reason[256];
};

/* The cached verdict of this boot, or a new probe's. Kept is only what cannot change while the host
 * is up: that KVM works, or that it makes QEMU crash. `user_may_open`: QEMU's user may open the
 * device. Fails when KVM is wanted and cannot be used; the error says why. */
int accelerator_decide(const struct accelerator_probe *probe, enum accelerator wanted,
		       bool user_may_open, struct accelerator_verdict *ret,
		       struct error *error) _must_use_;

/* A newc cpio archive with one executable file "init". */
int probe_initramfs_write(const char *path) _must_use_;
