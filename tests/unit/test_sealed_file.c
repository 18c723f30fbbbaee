/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_vm mayfly_image mayfly_core mayfly_base

/* Files of templates on the disk: what was sealed comes back as it was, or not at all. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/vm/sealed_file.h"
#include "mayfly/fs.h"

#define CHUNK SEALED_CHUNK_BYTES

struct place {
	char dir[64];
	char plain[96], sealed[96], back[96], other[96];
};

static const uint8_t key[SEALED_KEY_BYTES] = { 1, 2, 3 }, other_key[SEALED_KEY_BYTES] = { 9 };

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	(void)snprintf(place->dir, sizeof(place->dir), "/tmp/mayfly-sealed-XXXXXX");
	assert_non_null(mkdtemp(place->dir));
	(void)snprintf(place->plain, sizeof(place->plain), "%s/plain", place->dir);
	(void)snprintf(place->sealed, sizeof(place->sealed), "%s/sealed", place->dir);
	(void)snprintf(place->back, sizeof(place->back), "%s/back", place->dir);
	(void)snprintf(place->other, sizeof(place->other), "%s/other", place->dir);
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;

	assert_int_equal(fs_remove_tree(place->dir), 0);
	free(place);
	return 0;
}

/* A file of this size with `text` at these places. */
static void make_plain(const char *path, off_t size, const off_t *at, size_t count)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(pwrite(fd, "SECRET", 6, at[i]), 6);
	assert_int_equal(close(fd), 0);
}

static struct buf read_all(const char *path)
{
	struct buf content = BUF_INIT;

	assert_int_equal(fs_read_file(path, 64U << 20, &content), 0);
	return content;
}

static int open_it(const struct place *place, const char *sealed, enum sealed_kind kind,
		   uint64_t size, const uint8_t *with)
{
	(void)unlink(place->back);
	return sealed_file_read(sealed, place->back, kind, size, 0400, with, NULL);
}

static void what_was_sealed_comes_back(void **state)
{
	static const off_t at[] = { 0, 3 * CHUNK - 3, 9 * CHUNK + 5 };
	static const off_t sizes[] = { 0, 1, 6, CHUNK, CHUNK + 1, 10 * CHUNK + 77 };
	struct place *place = *state;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t count = sizes[i] > 9 * CHUNK ? 3 : sizes[i] >= 6;
		_cleanup_buf_ struct buf before = BUF_INIT, after = BUF_INIT, sealed = BUF_INIT;
		struct stat status;

		(void)unlink(place->sealed);
		make_plain(place->plain, sizes[i], at, count);
		assert_int_equal(
			sealed_file_write(place->plain, place->sealed, SEALED_RAM, key, NULL), 0);
		assert_int_equal(open_it(place, place->sealed, SEALED_RAM, (uint64_t)sizes[i], key),
				 0);
		before = read_all(place->plain);
		after = read_all(place->back);
		sealed = read_all(place->sealed);
		assert_int_equal(before.len, after.len);
		if (before.len > 0)
			assert_memory_equal(before.data, after.data, before.len);
		assert_null(memmem(sealed.data, sealed.len, "SECRET", 6));
		assert_true(sealed.len < (count * 2 + 1) * (CHUNK + 64));
		assert_int_equal(stat(place->back, &status), 0);
		assert_int_equal(status.st_mode & 07777, 0400);
		assert_true(status.st_blocks * 512 <= (blkcnt_t)(count * 2 + 1) * 4096 * 2);
	}
}

static void nothing_else_is_taken_for_it(void **state)
{
	static const off_t at[] = { 0, 2 * CHUNK };
	struct place *place = *state;
	const uint64_t size = 3 * CHUNK;

	make_plain(place->plain, (off_t)size, at, 2);
	assert_int_equal(sealed_file_write(place->plain, place->sealed, SEALED_RAM, key, NULL), 0);
	assert_int_equal(open_it(place, place->sealed, SEALED_RAM, size, key), 0);
	assert_int_equal(open_it(place, place->sealed, SEALED_RAM, size, other_key), -EBADMSG);
	assert_int_equal(open_it(place, place->sealed, SEALED_STATE, size, key), -EBADMSG);
	assert_int_equal(open_it(place, place->sealed, SEALED_RAM, size + 1, key), -EBADMSG);
	assert_int_equal(open_it(place, place->other, SEALED_RAM, size, key), -EBADMSG);
	assert_int_equal(access(place->back, F_OK), -1);
}

static void write_other(const struct place *place, const uint8_t *data, size_t len)
{
	(void)unlink(place->other);
	assert_int_equal(fs_write_file_atomic(place->other, slice_new(data, len), 0600), 0);
}

/* Every byte, and every length. */
static void no_change_goes_unseen(void **state)
{
	static const off_t at[] = { 10 };
	struct place *place = *state;
	_cleanup_buf_ struct buf sealed = BUF_INIT;
	const uint64_t size = 64;

	make_plain(place->plain, (off_t)size, at, 1);
	assert_int_equal(sealed_file_write(place->plain, place->sealed, SEALED_STATE, key, NULL),
			 0);
	sealed = read_all(place->sealed);
	for (size_t i = 0; i < sealed.len; i++) {
		sealed.data[i] ^= 0x40;
		write_other(place, sealed.data, sealed.len);
		assert_int_equal(open_it(place, place->other, SEALED_STATE, size, key), -EBADMSG);
		sealed.data[i] ^= 0x40;
		write_other(place, sealed.data, i);
		assert_int_equal(open_it(place, place->other, SEALED_STATE, size, key), -EBADMSG);
	}
	assert_int_equal(buf_append(&sealed, "x", 1), 0);
	write_other(place, sealed.data, sealed.len);
	assert_int_equal(open_it(place, place->other, SEALED_STATE, size, key), -EBADMSG);
}

/* Chunks are in their order, each once, none from another file. */
static void chunks_cannot_be_moved(void **state)
{
	static const off_t at[] = { 0, CHUNK, 2 * CHUNK };
	const size_t record = 8 + CHUNK + 16, head = 24;
	struct place *place = *state;
	_cleanup_buf_ struct buf sealed = BUF_INIT;
	_cleanup_free_ uint8_t *moved = NULL;
	const uint64_t size = 3 * CHUNK;

	make_plain(place->plain, (off_t)size, at, 3);
	assert_int_equal(sealed_file_write(place->plain, place->sealed, SEALED_RAM, key, NULL), 0);
	sealed = read_all(place->sealed);
	assert_int_equal(sealed.len, head + 3 * record + 24);
	moved = malloc(sealed.len);
	/* Two change their places. */
	memcpy(moved, sealed.data, sealed.len);
	memcpy(moved + head, sealed.data + head + record, record);
	memcpy(moved + head + record, sealed.data + head, record);
	write_other(place, moved, sealed.len);
	assert_int_equal(open_it(place, place->other, SEALED_RAM, size, key), -EBADMSG);
	/* One is left out, be it the first or the last. */
	memcpy(moved + head, sealed.data + head + record, sealed.len - head - record);
	write_other(place, moved, sealed.len - record);
	assert_int_equal(open_it(place, place->other, SEALED_RAM, size, key), -EBADMSG);
	memcpy(moved, sealed.data, head + 2 * record);
	memcpy(moved + head + 2 * record, sealed.data + head + 3 * record, 24);
	write_other(place, moved, sealed.len - record);
	assert_int_equal(open_it(place, place->other, SEALED_RAM, size, key), -EBADMSG);
	/* One has another's text. */
	memcpy(moved, sealed.data, sealed.len);
	memcpy(moved + head + 8, sealed.data + head + record + 8, record - 8);
	write_other(place, moved, sealed.len);
	assert_int_equal(open_it(place, place->other, SEALED_RAM, size, key), -EBADMSG);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_was_sealed_comes_back),
		TEST(nothing_else_is_taken_for_it),
		TEST(no_change_goes_unseen),
		TEST(chunks_cannot_be_moved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
