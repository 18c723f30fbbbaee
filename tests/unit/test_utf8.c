/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_base

/* Which bytes are text, and what stands in the place of those that are not. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "mayfly/utf8.h"

#define R "\xef\xbf\xbd"

static void test_sequences(void **state _unused_)
{
	static const struct {
		const char *bytes;
		size_t length;
	} rows[] = {
		{ "", 0 },
		{ "a", 1 },
		{ "\x7f", 1 },
		{ "\x80", 0 },
		{ "\xc0\x80", 0 }, /* overlong */
		{ "\xc1\xbf", 0 },
		{ "\xc2\x80", 2 },
		{ "\xdf\xbf", 2 },
		{ "\xdf", 0 },
		{ "\xe0\x9f\xbf", 0 }, /* overlong */
		{ "\xe0\xa0\x80", 3 },
		{ "\xe2\x82\xac", 3 },
		{ "\xe2\x82", 0 },
		{ "\xe2\x82\x41", 0 },
		{ "\xed\x9f\xbf", 3 },
		{ "\xed\xa0\x80", 0 }, /* surrogate */
		{ "\xef\xbf\xbf", 3 },
		{ "\xf0\x8f\xbf\xbf", 0 }, /* overlong */
		{ "\xf0\x90\x80\x80", 4 },
		{ "\xf4\x8f\xbf\xbf", 4 },
		{ "\xf4\x90\x80\x80", 0 }, /* beyond U+10FFFF */
		{ "\xf5\x80\x80\x80", 0 },
		{ "\xff", 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const uint8_t *bytes = (const uint8_t *)rows[i].bytes;

		assert_int_equal(utf8_sequence_length(bytes, strlen(rows[i].bytes)),
				 rows[i].length);
	}
}

static void test_clean(void **state _unused_)
{
	static const struct {
		struct slice in;
		const char *out;
	} rows[] = {
		{ { NULL, 0 }, "" },
		{ { (const uint8_t *)"plain", 5 }, "plain" },
		{ { (const uint8_t *)"\xc3\xa4\xe2\x82\xac", 5 }, "\xc3\xa4\xe2\x82\xac" },
		{ { (const uint8_t *)"a\0b", 3 }, "a" R "b" },
		{ { (const uint8_t *)"\xff"
				     "a\xfe",
		    3 },
		  R "a" R },
		{ { (const uint8_t *)"a\xe2\x82", 3 }, "a" R R }, /* cut in the middle */
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_buf_ struct buf buf = BUF_INIT;

		assert_int_equal(utf8_append_clean(&buf, rows[i].in), 0);
		assert_string_equal(buf_string(&buf), rows[i].out);
	}
}

static void test_limit(void **state _unused_)
{
	_cleanup_buf_ struct buf buf = BUF_INIT_MAX(3);

	assert_int_equal(utf8_append_clean(&buf, slice_from_string("\xff")), 0);
	assert_int_equal(utf8_append_clean(&buf, slice_from_string("\xff")), -EMSGSIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sequences),
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
