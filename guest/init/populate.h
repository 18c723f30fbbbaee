/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Pages that a template's processes have mapped but not met yet. Each clone would meet them by a
 * page fault: under emulation the fault's code alone is a thousand blocks to translate, under KVM
 * each fault is an exit or two. Met once before the snapshot they are there in all clones, shared
 * until written. */

#include <stdint.h>
#include <sys/types.h>

#include "mayfly/cleanup.h"

/* Of this process: pages that are copies-to-be since it forked. */
int populate_self(void) _must_use_;

/* Of a process that is held still meanwhile: its writable pages, at most `max_bytes` of them, and
 * those of its programs and libraries that are in memory or small. */
int populate_process(pid_t pid, uint64_t max_bytes) _must_use_;
