/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* As subreaper, this process inherits every QEMU that libvirt daemonised. The loop reaps those that
 * it watches. One thread reaps the others, that died while libvirt started them or were only
 * asked for their capabilities: libvirt waits until a QEMU it killed is really gone, for seconds
 * if nobody reaps it. Children whose own parent waits for them are left to it. Any thread. */

#include <stdbool.h>
#include <sys/wait.h>

struct reaper;

/* `emulator` is the path whose processes are reaped. */
int reaper_start(const char *emulator, struct reaper **ret);
struct reaper *reaper_stop(struct reaper *reaper);

/* While at least one expects children, the thread looks for them; else it sleeps. */
void reaper_expect(struct reaper *reaper);
void reaper_unexpect(struct reaper *reaper);

/* How a QEMU ended that the thread reaped lately. */
bool reaper_recall(struct reaper *reaper, pid_t pid, siginfo_t *ret);
