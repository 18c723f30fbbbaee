/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_auth mayfly_functions mayfly_core mayfly_base

/* Access keys and sealing: forms, and what is noticed. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "agent/auth/access.h"
#include "agent/auth/access_key.h"

static void test_seal_round_trip(void **state _unused_)
{
	const struct master_key key = { { 1 } };
	_cleanup_buf_ struct buf a = BUF_INIT, b = BUF_INIT;

	for (size_t len = 0; len < 100; len += 33) {
		_cleanup_buf_ struct buf sealed = BUF_INIT, plain = BUF_INIT;
		uint8_t text[100];

		memset(text, 'x', sizeof(text));
		assert_int_equal(seal(&key, "it", slice_new(text, len), &sealed), 0);
		assert_int_equal(sealed.len, len + SEAL_EXTRA_BYTES);
		assert_int_equal(seal_open(&key, "it", buf_slice(&sealed), &plain), 0);
		assert_int_equal(plain.len, len);
		assert_memory_equal(plain.data, text, len);
	}
	assert_int_equal(seal(&key, "it", slice_from_string("same"), &a), 0);
	assert_int_equal(seal(&key, "it", slice_from_string("same"), &b), 0);
	assert_memory_not_equal(a.data, b.data, a.len); /* another nonce */
}

static void test_seal_notices_all(void **state _unused_)
{
	const struct master_key key = { { 1 } }, other = { { 2 } };
	_cleanup_buf_ struct buf sealed = BUF_INIT, plain = BUF_INIT;

	assert_int_equal(seal(&key, "it", slice_from_string("secret"), &sealed), 0);
	for (size_t i = 0; i < sealed.len; i++) {
		sealed.data[i] ^= 0x80;
		assert_int_equal(seal_open(&key, "it", buf_slice(&sealed), &plain), -EBADMSG);
		sealed.data[i] ^= 0x80;
	}
	for (size_t len = 0; len < sealed.len; len++)
		assert_int_equal(seal_open(&key, "it", slice_new(sealed.data, len), &plain),
				 -EBADMSG);
	assert_int_equal(seal_open(&other, "it", buf_slice(&sealed), &plain), -EBADMSG);
	assert_int_equal(seal_open(&key, "another", buf_slice(&sealed), &plain), -EBADMSG);
	assert_int_equal(plain.len, 0);
	assert_int_equal(seal_open(&key, "it", buf_slice(&sealed), &plain), 0);
}

static void test_drawn_keys(void **state _unused_)
{
	const struct master_key master = { { 1 } }, other = { { 2 } };
	char secrets[2][ACCESS_KEY_SECRET_BYTES];
	struct access_key keys[2] = { 0 };

	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(access_key_draw(&keys[i], &master, secrets[i]), 0);
		assert_true(access_key_id_is_valid(keys[i].id));
		assert_int_equal(strlen(secrets[i]), 40);
		assert_int_equal(strspn(secrets[i], "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqr"
						    "stuvwxyz0123456789+/"),
				 40);
		assert_true(access_key_matches(&keys[i], slice_from_string(secrets[i])));
	}
	assert_string_not_equal(keys[0].id, keys[1].id);
	assert_false(access_key_matches(&keys[0], slice_from_string(secrets[1])));
	assert_false(access_key_matches(NULL, slice_from_string(secrets[1])));

	memset(&keys[0].digest, 0, sizeof(keys[0].digest));
	assert_int_equal(access_key_unseal(&keys[0], &other), -EBADMSG);
	assert_false(access_key_matches(&keys[0], slice_from_string(secrets[0])));
	assert_int_equal(access_key_unseal(&keys[0], &master), 0);
	assert_true(access_key_matches(&keys[0], slice_from_string(secrets[0])));
	/* A sealed secret does not fit another key. */
	memcpy(keys[0].sealed, keys[1].sealed, sizeof(keys[0].sealed));
	assert_int_equal(access_key_unseal(&keys[0], &master), -EBADMSG);
}

static void test_authorization(void **state _unused_)
{
	static const struct {
		const char *text;
		const char *secret; /* NULL: refused */
	} rows[] = {
		{ "Mayfly AKIAABCDEFGHIJKLMN27:s", "s" },
		{ "Mayfly AKIAABCDEFGHIJKLMN27:a:b/+", "a:b/+" },
		{ "Mayfly AKIAABCDEFGHIJKLMN27:", NULL },
		{ "Mayfly AKIAABCDEFGHIJKLMN27", NULL },
		{ "Mayfly AKIAABCDEFGHIJKLMN28:s", NULL },
		{ "Mayfly AKIAABCDEFGHIJKLMN2:s", NULL },
		{ "Mayfly XKIAABCDEFGHIJKLMN27:s", NULL },
		{ "Bearer AKIAABCDEFGHIJKLMN27:s", NULL },
		{ "mayfly AKIAABCDEFGHIJKLMN27:s", NULL },
		{ "", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char id[ACCESS_KEY_ID_BYTES];
		struct slice secret = SLICE_INIT;
		int r = access_key_parse(slice_from_string(rows[i].text), id, &secret);

		assert_int_equal(r, rows[i].secret ? 0 : -EINVAL);
		if (rows[i].secret) {
			assert_true(slice_equals_string(secret, rows[i].secret));
			assert_string_equal(id, "AKIAABCDEFGHIJKLMN27");
		}
	}
}

static void test_usable(void **state _unused_)
{
	struct access_key key = { .expires_us = 100 };

	assert_true(access_key_is_usable(&key, 99));
	assert_false(access_key_is_usable(&key, 100));
	key.expires_us = 0;
	assert_true(access_key_is_usable(&key, INT64_MAX));
	key.inactive = true;
	assert_false(access_key_is_usable(&key, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seal_round_trip), cmocka_unit_test(test_seal_notices_all),
		cmocka_unit_test(test_drawn_keys),      cmocka_unit_test(test_authorization),
		cmocka_unit_test(test_usable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
