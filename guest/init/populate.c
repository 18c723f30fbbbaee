/* SPDX-License-Identifier: Apache-2.0 */

#include "populate.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mayfly/cleanup.h"

#define PAGE_BYTES     4096U
#define CODE_MAX_BYTES (8ULL << 20) /* of one file: a big library is met where it is used */

struct mapping {
	uint64_t from;
	uint64_t to;
	bool readable;
	bool writable;
	bool special; /* the kernel's own: [vvar], [vdso] */
};

static bool mapping_parse(const char *line, struct mapping *ret)
{
	char modes[5], name[64] = "";

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*s %*s %*s %63s", &ret->from, &ret->to,
		   modes, name) < 3)
		return false;
	ret->readable = modes[0] == 'r';
	ret->writable = ret->readable && modes[1] == 'w' && modes[3] == 'p';
	ret->special = strncmp(name, "[v", 2) == 0;
	return true;
}

static bool is_wanted(const struct mapping *mapping, uint64_t *left)
{
	uint64_t bytes = mapping->to - mapping->from;

	if (mapping->special || !mapping->readable)
		return false;
	if (!mapping->writable)
		return bytes <= CODE_MAX_BYTES;
	if (bytes > *left)
		return false;
	*left -= bytes;
	return true;
}

/* A page is met by being read, and by being written what it has. */
static int touch(int memory, const struct mapping *mapping)
{
	for (uint64_t at = mapping->from; at < mapping->to; at += PAGE_BYTES) {
		uint8_t byte;
		if (pread(memory, &byte, 1, (off_t)at) != 1)
			return 0; /* behind the end of its file */
		if (mapping->writable && pwrite(memory, &byte, 1, (off_t)at) != 1)
			return -errno;
	}
	return 0;
}

static int populate(const char *maps_path, const char *memory_path, uint64_t max_bytes)
{
	_cleanup_fclose_ FILE *maps = fopen(maps_path, "re");
	_cleanup_close_ int memory = open(memory_path, O_RDWR | O_CLOEXEC);
	char line[512];
	int r = 0;

	if (!maps || memory < 0)
		return -errno;
	while (r == 0 && fgets(line, sizeof(line), maps)) {
		struct mapping mapping;
		if (mapping_parse(line, &mapping) && is_wanted(&mapping, &max_bytes))
			r = touch(memory, &mapping);
	}
	return r;
}

int populate_self(void)
{
	/* Through the kernel, too: what is touched may be what touches. */
	return populate("/proc/self/maps", "/proc/self/mem", UINT64_MAX);
}

int populate_process(pid_t pid, uint64_t max_bytes)
{
	char maps[64], memory[64];
	siginfo_t info = { 0 };

	(void)snprintf(maps, sizeof(maps), "/proc/%d/maps", (int)pid);
	(void)snprintf(memory, sizeof(memory), "/proc/%d/mem", (int)pid);
	/* Between the read and the write of a byte nobody else may write it. */
	if (kill(pid, SIGSTOP) < 0)
		return -errno;
	/* Its end, should it come now, is for the one who reaps it. */
	if (waitid(P_PID, (id_t)pid, &info, WSTOPPED | WEXITED | WNOWAIT) < 0)
		return -errno;
	if (info.si_code != CLD_STOPPED)
		return -ESRCH;
	int r = populate(maps, memory, max_bytes);
	(void)kill(pid, SIGCONT);
	return r;
}
