/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whom microVMs run as: each as a user of its own, out of a range that nothing else on the host
 * hands out. A QEMU that its guest took over is then a stranger to all other QEMUs: their disks,
 * their sockets, their memory. Made, asked and freed by its owner alone; vm_users_admit() and
 * vm_users_has_process() are pure calls, any thread. */

#include <stdbool.h>
#include <sys/types.h>

#include "mayfly/cleanup.h"

struct vm_users;

/* Users `first` to `first + count - 1`. They are handed out in turn, beginning at `start` and
 * going round, so that one comes back as late as can be. `is_busy` says that a user cannot be
 * had although nobody took it here: another agent's, or one of a process that was left over. */
int vm_users_new(uid_t first, unsigned count, unsigned start, bool (*is_busy)(uid_t uid),
		 struct vm_users **ret) _must_use_;
struct vm_users *vm_users_free(struct vm_users *users);

/* -EUSERS when there is none. */
int vm_users_take(struct vm_users *users, uid_t *ret) _must_use_;
void vm_users_give_back(struct vm_users *users, uid_t uid);

/* What `is_busy` is outside of tests. */
bool vm_users_has_process(uid_t uid);

/* Lets one user, beside root, walk into a folder of root's: not list it, not write to it.
 * -EOPNOTSUPP where the file system has no access lists, -EINVAL where there is no such user in
 * this user namespace. */
int vm_users_admit(const char *folder, uid_t uid) _must_use_;
