/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Small binaries that the agent brings along inside itself (embedded.c): the probe's init, the
 * library preloaded into a clone's QEMU, and what stands before QEMU on some hosts. */

#include "mayfly/buf.h"

struct slice embedded_probe_init(void);
struct slice embedded_ram_readonly(void);
struct slice embedded_qemu_without_kvm(void);
