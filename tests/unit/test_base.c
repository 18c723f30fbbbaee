/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_base

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "mayfly/clock.h"
#include "mayfly/error.h"
#include "mayfly/frame.h"
#include "mayfly/fs.h"
#include "mayfly/function_error.h"
#include "mayfly/id.h"
#include "mayfly/state.h"

static void test_error_keeps_the_first_cause(void **state)
{
	(void)state;
	_cleanup_error_ struct error e = ERROR_INIT;
	assert_int_equal(
		error_set(&e, ERROR_NOT_FOUND, "function_name", "Function not found: %s", "f"),
		-ENOENT);
	assert_int_equal(error_set(&e, ERROR_CONFLICT, "other", "later"), -EEXIST);
	assert_int_equal(e.code, ERROR_NOT_FOUND);
	assert_string_equal(e.field, "function_name");
	error_wrap(&e, "deploy %d", 7);
	assert_string_equal(error_text(&e), "deploy 7: Function not found: f");
}

static void test_error_table_is_whole(void **state)
{
	(void)state;
	for (unsigned i = 1; i < _ERROR_CODE_MAX; i++) {
		const struct error_kind *kind = error_kind(i);
		assert_non_null(kind->name);
		assert_true(kind->grpc_status > 0 && kind->grpc_status <= 16);
		assert_true(kind->errno_value > 0);
		assert_true(kind->exit_code > 0);
		assert_int_equal(error_code_from_name(kind->name), i);
	}
	assert_int_equal(error_code_from_name("NoSuchException"), ERROR_INTERNAL);
	assert_ptr_equal(error_kind(4711), error_kind(ERROR_INTERNAL));
}

static void test_function_errors_are_told_apart(void **state)
{
	(void)state;
	const struct function_error_kind *kind, *other;

	for (size_t i = 0; (kind = function_error_kind(i)); i++) {
		assert_non_null(strchr(kind->name, '.'));
		assert_true(kind->help[0] != '\0');
		for (size_t j = 0; j < i; j++) {
			other = function_error_kind(j);
			assert_string_not_equal(kind->name, other->name);
		}
	}
	assert_string_equal(function_error_kind(0)->name, "Sandbox.Timedout");
}

static void test_error_copy_and_move(void **state)
{
	(void)state;
	_cleanup_error_ struct error a = ERROR_INIT;
	_cleanup_error_ struct error b = ERROR_INIT;
	(void)error_set_errno(&a, -ENOSPC, "write %s", "x");
	assert_string_equal(error_text(&a), "write x: No space left on device");
	assert_int_equal(error_copy(&b, &a), 0);
	assert_string_equal(b.message, a.message);
	error_move(&b, &a);
	assert_int_equal(a.code, ERROR_NONE);
	assert_int_equal(b.code, ERROR_INTERNAL);
}

/* What only the caller may read does not go where others do. */
static void test_error_for_logs(void **state)
{
	(void)state;
	_cleanup_error_ struct error a = ERROR_INIT, b = ERROR_INIT;

	error_set_log(&a, "nothing");
	assert_null(a.log);
	(void)error_set(&a, ERROR_INVALID_PARAMETER, "f", "The value %s is bad.", "secret");
	assert_string_equal(error_log_text(&a), "The value secret is bad.");
	error_set_log(&a, "A value is %s.", "bad");
	assert_string_equal(error_text(&a), "The value secret is bad.");
	assert_string_equal(error_log_text(&a), "A value is bad.");
	error_wrap(&a, "In %d", 1);
	assert_string_equal(error_text(&a), "In 1: The value secret is bad.");
	assert_int_equal(error_copy(&b, &a), 0);
	error_clear(&a);
	assert_string_equal(error_log_text(&b), "In 1: A value is bad.");
	error_move(&a, &b);
	assert_string_equal(error_log_text(&a), "In 1: A value is bad.");
	assert_string_equal(error_log_text(&b), "no error");
}

static void test_buf_cap_is_kept(void **state)
{
	(void)state;
	_cleanup_buf_ struct buf b = BUF_INIT_MAX(8);
	assert_int_equal(buf_append_string(&b, "12345678"), 0);
	assert_int_equal(buf_append(&b, "9", 1), -EMSGSIZE);
	assert_int_equal(buf_append_format(&b, "%d", 9), -EMSGSIZE);
	assert_int_equal(buf_reserve(&b, SIZE_MAX - 4), -EMSGSIZE);
	assert_string_equal(buf_string(&b), "12345678");
	buf_consume(&b, 6);
	assert_true(slice_equals_string(buf_slice(&b), "78"));
}

static void test_frame_round_trip_at_every_cut(void **state)
{
	(void)state;
	uint8_t bytes[FRAME_HEADER_BYTES + 5] = { 0, 0, 0, 0, 'h', 'e', 'l', 'l', 'o' };
	frame_put_header(bytes, 5);
	struct slice body;
	size_t consumed;
	for (size_t n = 0; n < sizeof(bytes); n++)
		assert_int_equal(frame_parse(slice_new(bytes, n), &body, &consumed), 0);
	assert_int_equal(frame_parse(slice_new(bytes, sizeof(bytes)), &body, &consumed), 1);
	assert_true(slice_equals_string(body, "hello"));
	assert_int_equal(consumed, sizeof(bytes));

	frame_put_header(bytes, FRAME_MAX_BYTES + 1);
	assert_int_equal(frame_parse(slice_new(bytes, sizeof(bytes)), &body, &consumed), -EBADMSG);
}

static void test_clock_format(void **state)
{
	(void)state;
	char text[CLOCK_ISO8601_BYTES];
	clock_format_iso8601(1764025947123456LL, text);
	assert_string_equal(text, "2025-11-24T23:12:27.123Z");
	clock_format_iso8601(-1, text);
	assert_string_equal(text, "1969-12-31T23:59:59.999Z");
	clock_format_iso8601(INT64_MAX, text);
	assert_string_equal(text, "1970-01-01T00:00:00.000Z");
	clock_format_iso8601(INT64_MIN, text);
	assert_string_equal(text, "1970-01-01T00:00:00.000Z");
}

static void test_uuid_is_version_4(void **state)
{
	(void)state;
	char a[UUID_BYTES], b[UUID_BYTES];
	uuid_generate(a);
	uuid_generate(b);
	assert_string_not_equal(a, b);
	assert_int_equal(strlen(a), 36);
	assert_int_equal(a[14], '4');
	assert_non_null(strchr("89ab", a[19]));
}

static void test_state_table(void **state)
{
	(void)state;
	static const char *const names[] = { "A", "B" };
	static const uint32_t successors[] = { 1U << 1, 0 };
	const struct state_table table = { "thing", names, successors, 2 };
	assert_true(state_may_follow(&table, 0, 1));
	assert_false(state_may_follow(&table, 1, 0));
	assert_false(state_may_follow(&table, 0, 40));
	assert_string_equal(state_name(&table, 9), "invalid");
}

static void test_fs_atomic_write_and_remove(void **state)
{
	(void)state;
	char folder[] = "/tmp/mayfly-test-XXXXXX";
	assert_non_null(mkdtemp(folder));
	char path[256], link_path[256], outside[256];
	(void)snprintf(path, sizeof(path), "%s/a/b/file", folder);
	(void)snprintf(link_path, sizeof(link_path), "%s/a/link", folder);
	(void)snprintf(outside, sizeof(outside), "%s-outside", folder);

	char parent[256];
	(void)snprintf(parent, sizeof(parent), "%s/a/b", folder);
	assert_int_equal(fs_make_directories(parent, 0700), 0);
	assert_int_equal(fs_write_file_atomic(path, slice_from_string("one"), 0640), 0);
	assert_int_equal(fs_write_file_atomic(path, slice_from_string("two"), 0640), 0);
	_cleanup_buf_ struct buf content = BUF_INIT;
	assert_int_equal(fs_read_file(path, 100, &content), 0);
	assert_string_equal(buf_string(&content), "two");
	assert_int_equal(fs_read_file(path, 2, &content), -EFBIG);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);

	/* A link inside the tree is removed, not followed. */
	assert_int_equal(fs_make_directories(outside, 0700), 0);
	assert_int_equal(symlink(outside, link_path), 0);
	assert_int_equal(fs_remove_tree(folder), 0);
	assert_false(fs_exists(folder));
	assert_true(fs_exists(outside));
	assert_int_equal(fs_remove_tree(outside), 0);
	assert_int_equal(fs_remove_tree(outside), 0);
}

static void test_fs_copy_keeps_holes(void **state)
{
	(void)state;
	char from[] = "/tmp/mayfly-test-XXXXXX";
	int fd = mkstemp(from);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 64 << 20), 0);
	assert_int_equal(pwrite(fd, "x", 1, 32 << 20), 1);
	assert_int_equal(close(fd), 0);
	char to[64];
	(void)snprintf(to, sizeof(to), "%s.copy", from);

	assert_int_equal(fs_copy_sparse(from, to, 0600), 0);
	struct stat st;
	assert_int_equal(stat(to, &st), 0);
	assert_int_equal(st.st_size, 64 << 20);
	assert_true(st.st_blocks * 512 < 1 << 20);
	assert_int_equal(fs_copy_sparse(from, to, 0600), -EEXIST);
	assert_int_equal(unlink(to), 0);

	/* To a file system of another kind, where there is one. */
	(void)snprintf(to, sizeof(to), "/dev/shm/%s.copy", from + strlen("/tmp/"));
	assert_int_equal(fs_copy_sparse(from, to, 0600), 0);
	assert_int_equal(stat(to, &st), 0);
	assert_int_equal(st.st_size, 64 << 20);
	assert_true(st.st_blocks * 512 < 1 << 20);
	fd = open(to, O_RDONLY | O_CLOEXEC);
	char byte = 0;
	assert_int_equal(pread(fd, &byte, 1, 32 << 20), 1);
	assert_int_equal(byte, 'x');
	assert_int_equal(close(fd), 0);
	assert_int_equal(unlink(to), 0);
	assert_int_equal(unlink(from), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_error_keeps_the_first_cause),
		cmocka_unit_test(test_error_table_is_whole),
		cmocka_unit_test(test_function_errors_are_told_apart),
		cmocka_unit_test(test_error_copy_and_move),
		cmocka_unit_test(test_error_for_logs),
		cmocka_unit_test(test_buf_cap_is_kept),
		cmocka_unit_test(test_frame_round_trip_at_every_cut),
		cmocka_unit_test(test_clock_format),
		cmocka_unit_test(test_uuid_is_version_4),
		cmocka_unit_test(test_state_table),
		cmocka_unit_test(test_fs_atomic_write_and_remove),
		cmocka_unit_test(test_fs_copy_keeps_holes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
