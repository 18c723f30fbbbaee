/* SPDX-License-Identifier: Apache-2.0 */

/* Takes the place of libpmem in QEMU, by its name (the linker is told it). QEMU calls it for RAM
 * that lies in persistent memory, which no sandbox has; the library brings five more with it,
 * libcrypto among them, whose relocated tables are half a MiB of private memory in every sandbox.
 * Nobody calls these two; who did would not find what was promised to be persistent, so the process
 * ends. */

#include <stddef.h>

void *pmem_memcpy_persist(void *to, const void *from, size_t len);
void pmem_persist(const void *address, size_t len);

void *pmem_memcpy_persist(void *to, const void *from, size_t len)
{
	(void)to;
	(void)from;
	(void)len;
	__builtin_trap();
}

void pmem_persist(const void *address, size_t len)
{
	(void)address;
	(void)len;
	__builtin_trap();
}
