/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_vm mayfly_image mayfly_core mayfly_base

/* A sealed file of a template, as somebody may have put it on the disk. */

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/vm/sealed_file.h"
#include "mayfly/fs.h"

#define SIZE 70000 /* a whole chunk and a part of one */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[SEALED_KEY_BYTES] = { 'f', 'u', 'z', 'z' };
	char sealed[64], plain[64];
	int fd = memfd_create("sealed", MFD_CLOEXEC);

	if (fd < 0)
		return 0;
	(void)snprintf(sealed, sizeof(sealed), "/proc/self/fd/%d", fd);
	(void)snprintf(plain, sizeof(plain), "/tmp/mayfly-fuzz-sealed-%d", (int)getpid());
	if (fs_write_all(fd, data, size) == 0) {
		int r = sealed_file_read(sealed, plain, SEALED_RAM, SIZE, 0600, key, NULL);

		assert((r == 0) == (access(plain, F_OK) == 0));
		(void)unlink(plain);
	}
	(void)close(fd);
	return 0;
}
