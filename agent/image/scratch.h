/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Scratch disks: a sandbox's /tmp, an ext4 of the function's EphemeralStorage size. A base
 * per size is formatted once; each clone gets a copy of that size's small, empty qcow2 overlay.
 * Every disk, whatever its file system's size, is SCRATCH_DEVICE_BYTES large, so that a clone
 * may bring another size than its template had. All calls block: in jobs, any thread. */

#include <stdint.h>

#include "mayfly/error.h"

#define SCRATCH_DEVICE_BYTES (10ULL << 30) /* Lambda's largest EphemeralStorage */
#define SCRATCH_MIN_MB       512U
#define SCRATCH_MAX_MB       10240U

/* Makes BASE_DIR/<size>-*.ext4 (sparse, read-only: overlays refer to it by its absolute path) and
 * BASE_DIR/<size>-*.qcow2 unless they are there. Several threads may ask at once. A folder is
 * made when it is missing; it must keep its path as long as any overlay is in use. */
int scratch_prepare(const char *base_dir, unsigned size_mb, struct error *error) _must_use_;

/* A fresh, empty disk: scratch_prepare(), then a copy of the overlay as the new file `path`
 * (qcow2, mode 0600, about 200 kB); -EEXIST when there is one. */
int scratch_create(const char *base_dir, unsigned size_mb, const char *path,
		   struct error *error) _must_use_;

/* A raw, sparse, unformatted disk of SCRATCH_DEVICE_BYTES: what a base template has. Does
 * nothing when it is there already. */
int scratch_create_placeholder(const char *path, struct error *error) _must_use_;
