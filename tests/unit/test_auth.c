/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_auth mayfly_functions mayfly_core mayfly_base

/* Access keys, users in certificates, sealing and the key for it: forms, and what is noticed. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/auth/access.h"
#include "agent/auth/access_key.h"
#include "agent/auth/spiffe.h"
#include "mayfly/fs.h"

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

#define DOMAIN "mayfly.example"
#define PATH   "/tenant/111111111111/role/developer/user/ann"

static void test_users_in_certificates(void **state _unused_)
{
	static const char *const bad[] = {
		"",
		"spiffe:/",
		"spiffe://",
		"spiffe://" DOMAIN,
		"SPIFFE://" DOMAIN PATH,
		"https://" DOMAIN PATH,
		"spiffe://other.example" PATH,
		"spiffe://" DOMAIN ".evil" PATH,
		"spiffe://" DOMAIN ":443" PATH,
		"spiffe://user@" DOMAIN PATH,
		"spiffe://" DOMAIN PATH "/",
		"spiffe://" DOMAIN PATH "/more",
		"spiffe://" DOMAIN PATH "?q",
		"spiffe://" DOMAIN PATH "#f",
		"spiffe://" DOMAIN PATH "%20",
		"spiffe://" DOMAIN "/" PATH,
		"spiffe://" DOMAIN "/tenant/11111111111/role/developer/user/ann",
		"spiffe://" DOMAIN "/tenant/1111111111111/role/developer/user/ann",
		"spiffe://" DOMAIN "/tenant/111111111111/role/Developer/user/ann",
		"spiffe://" DOMAIN "/tenant/111111111111/role/operator/user/ann",
		"spiffe://" DOMAIN "/tenant/111111111111/role/developer/user/",
		"spiffe://" DOMAIN "/tenant/111111111111/role/developer/user/..",
		"spiffe://" DOMAIN "/tenant/111111111111/role/developer",
		"spiffe://" DOMAIN "/tenant/111111111111/user/ann/role/developer",
		"spiffe://" DOMAIN "/tenant/111111111111/role/developer/user/a+b",
		"spiffe://" DOMAIN "/tenant/111111111111/role/developer/user/"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	};
	struct principal who;

	assert_int_equal(spiffe_parse("spiffe://" DOMAIN PATH, DOMAIN, &who), 0);
	assert_int_equal(who.kind, PRINCIPAL_USER);
	assert_int_equal(who.role, ROLE_DEVELOPER);
	assert_string_equal(who.tenant, "111111111111");
	assert_string_equal(who.name, "ann");
	assert_string_equal(who.key_id, "");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (spiffe_parse(bad[i], DOMAIN, &who) != -EINVAL)
			fail_msg("%s is taken", bad[i]);
	assert_int_equal(spiffe_parse("spiffe://" PATH, "", &who), -EINVAL);
	assert_true(spiffe_is_user("spiffe://any.example/tenant/bad"));
	assert_false(spiffe_is_user("spiffe://any.example/operator/olga"));
	assert_false(spiffe_is_user("https://any.example/tenant/1"));
}

/* As systemd makes it: a folder of its own, with one file for each credential. */
static void test_the_master_key_as_a_credential(void **state _unused_)
{
	char folder[] = "/tmp/mayfly-credentials-XXXXXX", file[64];
	static const uint8_t bytes[MASTER_KEY_BYTES] = { 1, 2, 3 };
	_cleanup_error_ struct error unset = ERROR_INIT, open_to_all = ERROR_INIT,
				     writable = ERROR_INIT, missing = ERROR_INIT, of = ERROR_INIT;
	_cleanup_free_ char *path = NULL, *none = NULL;
	struct master_key key = { { 0 } };

	assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
	assert_true(master_key_credential_path("mayfly.key", &none, &unset) < 0);
	assert_non_null(strstr(error_text(&unset), "LoadCredential"));
	assert_non_null(mkdtemp(folder));
	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", folder, 1), 0);
	assert_int_equal(master_key_credential_path("mayfly.key", &path, NULL), 0);
	(void)snprintf(file, sizeof(file), "%s/mayfly.key", folder);
	assert_string_equal(path, file);
	assert_true(master_key_load(path, false, &key, &missing) < 0);
	assert_non_null(strstr(error_text(&missing), "is missing"));
	assert_int_equal(fs_write_file_atomic(path, slice_new(bytes, sizeof(bytes)), 0440), 0);
	assert_int_equal(master_key_load(path, false, &key, NULL), 0);
	assert_memory_equal(key.bytes, bytes, sizeof(bytes));
	assert_int_equal(chmod(path, 0444), 0);
	assert_true(master_key_load(path, false, &key, &open_to_all) < 0);
	assert_non_null(strstr(error_text(&open_to_all), "open to other users"));
	assert_int_equal(chmod(path, 0460), 0);
	assert_true(master_key_load(path, false, &key, &writable) < 0);
	assert_non_null(strstr(error_text(&writable), "open to other users"));
	if (geteuid() == 0) {
		assert_int_equal(chmod(path, 0400), 0);
		assert_int_equal(chown(path, 12345, (gid_t)-1), 0);
		assert_true(master_key_load(path, false, &key, &of) < 0);
		assert_non_null(strstr(error_text(&of), "belongs to user 12345"));
	}
	assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
	assert_int_equal(fs_remove_tree(folder), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seal_round_trip),
		cmocka_unit_test(test_seal_notices_all),
		cmocka_unit_test(test_drawn_keys),
		cmocka_unit_test(test_authorization),
		cmocka_unit_test(test_usable),
		cmocka_unit_test(test_users_in_certificates),
		cmocka_unit_test(test_the_master_key_as_a_credential),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
