/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Cleanup attributes: a variable so marked is released when its scope ends.
 * DEFINE_CLEANUP(type, free_fn) makes `type_p_cleanup`-style helpers for a noun's own free. */

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn)        __attribute__((cleanup(fn)))
#define _must_use_           __attribute__((warn_unused_result))
#define _printf_(fmt, first) __attribute__((format(printf, fmt, first)))
#define _unused_             __attribute__((unused))
#define _pure_               __attribute__((pure))

static inline void free_p(void *p)
{
	free(*(void **)p);
}

static inline void close_p(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

static inline void fclose_p(FILE **file)
{
	if (*file)
		(void)fclose(*file);
}

#define _cleanup_free_   _cleanup_(free_p)
#define _cleanup_close_  _cleanup_(close_p)
#define _cleanup_fclose_ _cleanup_(fclose_p)

/* Defines `fn_p`, to be used as _cleanup_(fn_p) on a `type *` variable. */
#define DEFINE_CLEANUP(type, fn)                                                                   \
	static inline void fn##_p(type **p)                                                        \
	{                                                                                          \
		if (*p)                                                                            \
			(void)fn(*p);                                                              \
	}

/* Moves a resource out of a cleanup variable. */
#define TAKE_PTR(p)                                                                                \
	({                                                                                         \
		__typeof__(p) _p = (p);                                                            \
		(p) = NULL;                                                                        \
		_p;                                                                                \
	})
#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int _f = (fd);                                                                     \
		(fd) = -1;                                                                         \
		_f;                                                                                \
	})

#define ARRAY_SIZE(a)                   (sizeof(a) / sizeof((a)[0]))

/* The struct of which `ptr` is the field `member`. */
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
