/* SPDX-License-Identifier: Apache-2.0 */

/* Preloaded into a clone's QEMU before 8.2, which opens a RAM file for writing even when it maps
 * it privately. The template's RAM file is one that QEMU's user may not write, so exactly that
 * file, named by MAYFLY_RAM_PATH, is opened read-only instead; a private mapping of it stays
 * writable. Everything else goes to the C library untouched. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

typedef int open_fn(const char *path, int flags, ...);
typedef int openat_fn(int directory, const char *path, int flags, ...);

static int flags_for(const char *path, int flags)
{
	const char *ram = getenv("MAYFLY_RAM_PATH");

	if (!ram || !path || strcmp(path, ram) != 0 || (flags & O_ACCMODE) != O_RDWR)
		return flags;
	return (flags & ~(O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC)) | O_RDONLY;
}

static mode_t mode_of(int flags, va_list arguments)
{
	if (!(flags & O_CREAT) && (flags & O_TMPFILE) != O_TMPFILE)
		return 0;
	return va_arg(arguments, mode_t);
}

#define DEFINE_OPEN(name)                                                                          \
	__attribute__((visibility("default"))) int name(const char *path, int flags, ...)          \
	{                                                                                          \
		static open_fn *next;                                                              \
		va_list arguments;                                                                 \
		mode_t mode;                                                                       \
                                                                                                   \
		va_start(arguments, flags);                                                        \
		mode = mode_of(flags, arguments);                                                  \
		va_end(arguments);                                                                 \
		if (!next)                                                                         \
			next = (open_fn *)dlsym(RTLD_NEXT, #name);                                 \
		return next(path, flags_for(path, flags), mode);                                   \
	}

#define DEFINE_OPENAT(name)                                                                        \
	__attribute__((visibility("default"))) int name(int directory, const char *path,           \
							int flags, ...)                            \
	{                                                                                          \
		static openat_fn *next;                                                            \
		va_list arguments;                                                                 \
		mode_t mode;                                                                       \
                                                                                                   \
		va_start(arguments, flags);                                                        \
		mode = mode_of(flags, arguments);                                                  \
		va_end(arguments);                                                                 \
		if (!next)                                                                         \
			next = (openat_fn *)dlsym(RTLD_NEXT, #name);                               \
		return next(directory, path, flags_for(path, flags), mode);                        \
	}

/* What glibc's fortified headers call when the flags are no constant. */
#define DEFINE_OPEN_2(name)                                                                        \
	int name(const char *path, int flags);                                                     \
	__attribute__((visibility("default"))) int name(const char *path, int flags)               \
	{                                                                                          \
		static int (*next)(const char *, int);                                             \
                                                                                                   \
		if (!next)                                                                         \
			next = (int (*)(const char *, int))dlsym(RTLD_NEXT, #name);                \
		return next(path, flags_for(path, flags));                                         \
	}

DEFINE_OPEN(open)
DEFINE_OPEN(open64)
DEFINE_OPEN_2(__open_2)
DEFINE_OPEN_2(__open64_2)
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)
