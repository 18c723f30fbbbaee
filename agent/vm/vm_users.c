/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/vm/vm_users.h"

#include <endian.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/xattr.h>

#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>

struct vm_users {
	uid_t first;
	unsigned count;
	unsigned next; /* to look at */
	bool (*is_busy)(uid_t uid);
	bool taken[]; /* by number in the range */
};

int vm_users_new(uid_t first, unsigned count, unsigned start, bool (*is_busy)(uid_t uid),
		 struct vm_users **ret)
{
	struct vm_users *users;

	/* -1 is no user but the word for "leave as it is". */
	if (!first || !count || first > UINT32_MAX - count)
		return -EINVAL;
	users = calloc(1, sizeof(*users) + count);
	if (!users)
		return -ENOMEM;
	users->first = first;
	users->count = count;
	users->next = start % count;
	users->is_busy = is_busy;
	*ret = users;
	return 0;
}

struct vm_users *vm_users_free(struct vm_users *users)
{
	free(users);
	return NULL;
}

int vm_users_take(struct vm_users *users, uid_t *ret)
{
	for (unsigned i = 0; i < users->count; i++) {
		unsigned at = (users->next + i) % users->count;

		if (users->taken[at] || users->is_busy(users->first + at))
			continue;
		users->taken[at] = true;
		users->next = (at + 1) % users->count;
		*ret = users->first + at;
		return 0;
	}
	return -EUSERS;
}

void vm_users_give_back(struct vm_users *users, uid_t uid)
{
	if (uid >= users->first && uid - users->first < users->count)
		users->taken[uid - users->first] = false;
}

/* The kernel finds at once that a user has no process, be it of another agent or in a chroot; those
 * of other pid namespaces are not seen. */
bool vm_users_has_process(uid_t uid)
{
	errno = 0;
	return getpriority(PRIO_USER, uid) != -1 || errno != ESRCH;
}

int vm_users_admit(const char *folder, uid_t uid)
{
	const uint32_t nobody = htole32((uint32_t)ACL_UNDEFINED_ID);
	const uint16_t walk = htole16(ACL_EXECUTE);
	const uint16_t all = htole16(ACL_READ | ACL_WRITE | ACL_EXECUTE);
	const struct {
		struct posix_acl_xattr_header header;
		struct posix_acl_xattr_entry entries[5];
	} list = {
		.header = { htole32(POSIX_ACL_XATTR_VERSION) },
		.entries = {
			{ htole16(ACL_USER_OBJ), all, nobody },
			{ htole16(ACL_USER), walk, htole32(uid) },
			{ htole16(ACL_GROUP_OBJ), 0, nobody },
			{ htole16(ACL_MASK), walk, nobody },
			{ htole16(ACL_OTHER), 0, nobody },
		},
	};

	return setxattr(folder, "system.posix_acl_access", &list, sizeof(list), 0) < 0 ? -errno : 0;
}
