/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_webhook mayfly_auth mayfly_core mayfly_base mayfly_pkg_crypto

/* Signatures of posts and the secrets they are made with, against published figures. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <string.h>

#include "agent/auth/webhook_secret.h"
#include "agent/webhook/webhook_signature.h"

static struct slice decode(const char *base64, uint8_t out[96])
{
	int len = EVP_DecodeBlock(out, (const unsigned char *)base64, (int)strlen(base64));

	assert_true(len > 0);
	for (const char *end = base64 + strlen(base64); end[-1] == '='; end--)
		len--;
	return slice_new(out, (size_t)len);
}

/* The one that the specification's own libraries are tested with. */
static void test_the_published_signature(void **state _unused_)
{
	const char *secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
	char signature[WEBHOOK_SIGNATURE_BYTES];
	uint8_t bytes[96];
	struct slice key = decode(secret + strlen(WEBHOOK_SECRET_PREFIX), bytes);

	assert_int_equal(key.len, 24);
	assert_int_equal(webhook_sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
				      slice_from_string("{\"test\": 2432232314}"), signature),
			 0);
	assert_string_equal(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

/* Each part counts, and each is bound to its place. */
static void test_what_is_signed(void **state _unused_)
{
	static const struct {
		const char *key, *id, *body;
		int64_t time_s;
	} cases[] = {
		{ "k", "i", "b", 1 },  { "l", "i", "b", 1 },   { "k", "j", "b", 1 },
		{ "k", "i", "c", 1 },  { "k", "i", "b", 2 },   { "k", "i", "", 1 },
		{ "k", "i", ".b", 1 }, { "k", "i1", "b", 1 },  { "k", "i", "1.b", 1 },
		{ "k", "i", "b", 11 }, { "k", "i", "b", -1 },  { "k", "", "b", 1 },
		{ "kk", "i", "b", 1 }, { "k", "i", "b\n", 1 }, { "k", "i", "b", INT64_MAX },
	};
	char signatures[ARRAY_SIZE(cases)][WEBHOOK_SIGNATURE_BYTES];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(webhook_sign(slice_from_string(cases[i].key), cases[i].id,
					      cases[i].time_s, slice_from_string(cases[i].body),
					      signatures[i]),
				 0);
		assert_int_equal(strlen(signatures[i]), WEBHOOK_SIGNATURE_BYTES - 1);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(signatures[i], signatures[k]);
	}
}

/* Reckoned with Python's hmac and base64. */
static void test_the_derived_secret(void **state _unused_)
{
	struct webhook_root root;
	struct webhook_secret secret, other;
	char text[WEBHOOK_SECRET_TEXT_BYTES];

	for (size_t i = 0; i < sizeof(root.bytes); i++)
		root.bytes[i] = (uint8_t)i;
	assert_int_equal(webhook_secret_derive(&root, "123456789012",
					       "https://hooks.example.com/a?b=c", &secret),
			 0);
	webhook_secret_print(&secret, text);
	assert_string_equal(text, "whsec_8j4zBBEiWUgnIHsBfJOmEJc2ccxQyNH6ILSR2MbhNqE=");
	/* Another address, another tenant, another node. */
	assert_int_equal(webhook_secret_derive(&root, "123456789012",
					       "https://hooks.example.com/a?b=d", &other),
			 0);
	assert_memory_not_equal(&secret, &other, sizeof(secret));
	assert_int_equal(webhook_secret_derive(&root, "210987654321",
					       "https://hooks.example.com/a?b=c", &other),
			 0);
	assert_memory_not_equal(&secret, &other, sizeof(secret));
	webhook_root_draw(&root);
	assert_int_equal(webhook_secret_derive(&root, "123456789012",
					       "https://hooks.example.com/a?b=c", &other),
			 0);
	assert_memory_not_equal(&secret, &other, sizeof(secret));
}

static void test_drawn_secrets(void **state _unused_)
{
	struct webhook_secret one, two;
	char text[WEBHOOK_SECRET_TEXT_BYTES];
	uint8_t bytes[96];

	webhook_secret_draw(&one);
	webhook_secret_draw(&two);
	assert_memory_not_equal(&one, &two, sizeof(one));
	webhook_secret_print(&one, text);
	assert_int_equal(strlen(text), sizeof(text) - 1);
	struct slice again = decode(text + strlen(WEBHOOK_SECRET_PREFIX), bytes);
	assert_int_equal(again.len, sizeof(one.bytes));
	assert_memory_equal(again.data, one.bytes, sizeof(one.bytes));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_published_signature),
		cmocka_unit_test(test_what_is_signed),
		cmocka_unit_test(test_the_derived_secret),
		cmocka_unit_test(test_drawn_secrets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
