/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Small binaries that the agent brings along inside itself (embedded.c): the probe's init, the
 * libraries preloaded into QEMU, and what stands before QEMU. */

#include "mayfly/buf.h"

struct slice embedded_probe_init(void);
struct slice embedded_ram_readonly(void);
struct slice embedded_qemu_wrapper(void);
/* Of capstone's versions 4 and 5. */
struct slice embedded_no_disassembler_4(void);
struct slice embedded_no_disassembler_5(void);
struct slice embedded_no_persistent_memory(void);
