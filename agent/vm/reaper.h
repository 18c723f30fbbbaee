/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* As subreaper, this process inherits every QEMU that libvirt daemonised. libvirt waits until a
 * QEMU it killed is really gone, for seconds if nobody reaps it, so one thread does nothing but
 * that. It leaves children of others alone, who wait for them themselves. Any thread. */

#include <stdbool.h>
#include <sys/wait.h>

struct reaper;

/* `emulator` is the path whose processes are reaped. */
int reaper_start(const char *emulator, struct reaper **ret);
struct reaper *reaper_stop(struct reaper *reaper);

/* A QEMU that is nobody else's to wait for: reaped at once when it ends. */
void reaper_adopt(struct reaper *reaper, pid_t pid);

/* While at least one expects children, the thread looks for them; else it sleeps. */
void reaper_expect(struct reaper *reaper);
void reaper_unexpect(struct reaper *reaper);

/* How a QEMU ended that was reaped lately. */
bool reaper_recall(struct reaper *reaper, pid_t pid, siginfo_t *ret);
