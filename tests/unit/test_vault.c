/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_vm mayfly_image mayfly_core mayfly_base

/* Keys of templates in their manifests: each opens for what it was sealed with, and nothing else.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/vm/vault.h"

static const uint8_t file_key[SEALED_KEY_BYTES] = { 7, 7, 7 };

static struct vault vault_of(uint8_t key)
{
	return (struct vault){ .key = { { key } } };
}

static struct template_manifest sample(void)
{
	struct template_manifest m = {
		.id = "1-f-abc",
		.kind = TEMPLATE_FUNCTION,
		.runtime = "python3.13",
		.tenant = "123456789012",
		.function_name = "f",
		.version = "$LATEST",
		.memory_mb = 128,
		.ram_size = 4096,
		.encryption = MANIFEST_AES_256_GCM,
		.key_id = "0123456789abcdef",
	};
	char *const digests[] = { m.kernel_digest, m.initramfs_digest, m.runtime_digest,
				  m.ram_digest, m.state_digest };

	for (size_t i = 0; i < ARRAY_SIZE(digests); i++)
		memset(digests[i], 'a', DIGEST_HEX_BYTES - 1);
	return m;
}

static void a_key_is_bound_to_its_manifest(void **state)
{
	struct vault vault = vault_of(1), other = vault_of(2);
	struct template_manifest m = sample(), parsed, changed;
	_cleanup_free_ char *text = NULL;
	uint8_t key[SEALED_KEY_BYTES];

	(void)state;
	assert_int_equal(vault_seal_key(&vault, file_key, &m), 0);
	/* As it is read by the next agent. */
	assert_int_equal(template_manifest_format(&m, &text), 0);
	assert_int_equal(template_manifest_parse(slice_from_string(text), &parsed, NULL), 0);
	assert_int_equal(vault_open_key(&vault, &parsed, key, NULL), 0);
	assert_memory_equal(key, file_key, sizeof(key));
	assert_int_equal(vault_open_key(&other, &parsed, key, NULL), -EBADMSG);

	changed = parsed;
	changed.ram_size++;
	assert_int_equal(vault_open_key(&vault, &changed, key, NULL), -EBADMSG);
	changed = parsed;
	(void)snprintf(changed.id, sizeof(changed.id), "2-f-abc");
	assert_int_equal(vault_open_key(&vault, &changed, key, NULL), -EBADMSG);
	changed = parsed;
	changed.kind = TEMPLATE_BASE;
	assert_int_equal(vault_open_key(&vault, &changed, key, NULL), -EBADMSG);
	for (size_t i = 0; parsed.sealed_key[i]; i++) {
		changed = parsed;
		changed.sealed_key[i] = changed.sealed_key[i] == '0' ? '1' : '0';
		assert_int_equal(vault_open_key(&vault, &changed, key, NULL), -EBADMSG);
	}
	changed.sealed_key[10] = '\0';
	assert_int_equal(vault_open_key(&vault, &changed, key, NULL), -EBADMSG);
	changed.sealed_key[0] = 'x';
	assert_int_equal(vault_open_key(&vault, &changed, key, NULL), -EBADMSG);
}

/* Those of former versions say nothing of sealing, and match a node that does not seal. */
static void a_former_manifest_is_an_open_one(void **state)
{
	struct template_manifest m = sample(), now = sample(), parsed;
	_cleanup_free_ char *text = NULL;
	char *cut;

	(void)state;
	m.encryption[0] = m.key_id[0] = now.encryption[0] = now.key_id[0] = '\0';
	assert_int_equal(template_manifest_format(&m, &text), 0);
	cut = strstr(text, ",\n \"encryption\"");
	assert_non_null(cut);
	(void)snprintf(cut, 4, "\n}");
	assert_int_equal(template_manifest_parse(slice_from_string(text), &parsed, NULL), 0);
	assert_string_equal(parsed.encryption, "");
	assert_int_equal(template_manifest_match(&parsed, &now, NULL), 0);
	now = sample();
	assert_int_equal(template_manifest_match(&parsed, &now, NULL), -ESTALE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_is_bound_to_its_manifest),
		cmocka_unit_test(a_former_manifest_is_an_open_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
