/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Two small binaries that the agent brings along inside itself (embedded.c): the probe's init
 * and the library preloaded into a clone's QEMU. */

#include "mayfly/buf.h"

struct slice embedded_probe_init(void);
struct slice embedded_ram_readonly(void);
