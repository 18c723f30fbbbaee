/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/vm/template_manifest.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <jansson.h>

/* One table reads, writes and compares. */
enum field_type {
	FIELD_TEXT,
	FIELD_NEW_TEXT, /* "" when it is absent */
	FIELD_DIGEST,
	FIELD_UNSIGNED,
	FIELD_UINT64,
	FIELD_INT64,
};
enum field_use { FIELD_INFORMS, FIELD_MUST_MATCH };

struct field {
	const char *name;
	enum field_type type;
	enum field_use use;
	size_t offset;
	size_t size;
};

#define FIELD(name, type, use)                                                                     \
	{                                                                                          \
#name, type, use, offsetof(struct template_manifest, name),                        \
			sizeof(((struct template_manifest *)NULL)->name)                           \
	}

static const struct field fields[] = {
	FIELD(id, FIELD_TEXT, FIELD_MUST_MATCH),
	FIELD(runtime, FIELD_TEXT, FIELD_MUST_MATCH),
	FIELD(tenant, FIELD_TEXT, FIELD_INFORMS),
	FIELD(function_name, FIELD_TEXT, FIELD_INFORMS),
	FIELD(version, FIELD_TEXT, FIELD_INFORMS),
	FIELD(package_digest, FIELD_TEXT, FIELD_MUST_MATCH),
	FIELD(initialize_digest, FIELD_TEXT, FIELD_MUST_MATCH),
	FIELD(memory_mb, FIELD_UNSIGNED, FIELD_MUST_MATCH),
	FIELD(ephemeral_storage_mb, FIELD_UNSIGNED, FIELD_MUST_MATCH),
	FIELD(created_us, FIELD_INT64, FIELD_INFORMS),
	FIELD(build_us, FIELD_UINT64, FIELD_INFORMS),
	FIELD(kernel_digest, FIELD_DIGEST, FIELD_MUST_MATCH),
	FIELD(initramfs_digest, FIELD_DIGEST, FIELD_MUST_MATCH),
	FIELD(runtime_digest, FIELD_DIGEST, FIELD_MUST_MATCH),
	FIELD(qemu_version, FIELD_TEXT, FIELD_MUST_MATCH),
	FIELD(libvirt_version, FIELD_TEXT, FIELD_MUST_MATCH),
	FIELD(accelerator, FIELD_TEXT, FIELD_MUST_MATCH),
	FIELD(cpu_model, FIELD_TEXT, FIELD_MUST_MATCH),
	FIELD(device_layout, FIELD_UNSIGNED, FIELD_MUST_MATCH),
	FIELD(vcpus, FIELD_UNSIGNED, FIELD_MUST_MATCH),
	FIELD(ram_bytes, FIELD_UINT64, FIELD_MUST_MATCH),
	FIELD(tsc_khz, FIELD_UINT64, FIELD_INFORMS), /* measured: compared with a tolerance */
	FIELD(ram_digest, FIELD_DIGEST, FIELD_INFORMS),
	FIELD(ram_size, FIELD_UINT64, FIELD_INFORMS),
	FIELD(state_digest, FIELD_DIGEST, FIELD_INFORMS),
	FIELD(state_size, FIELD_UINT64, FIELD_INFORMS),
	FIELD(scratch_digest, FIELD_TEXT, FIELD_INFORMS),
	FIELD(scratch_size, FIELD_UINT64, FIELD_INFORMS),
	FIELD(encryption, FIELD_NEW_TEXT, FIELD_MUST_MATCH),
	FIELD(key_id, FIELD_NEW_TEXT, FIELD_MUST_MATCH),
	FIELD(sealed_key, FIELD_NEW_TEXT, FIELD_INFORMS),
};

static int parse_text(const struct field *field, const json_t *value, char *to)
{
	const char *text = json_string_value(value);
	size_t len = text ? json_string_length(value) : 0;

	if (!text || len >= field->size || strlen(text) != len)
		return -EBADMSG;
	if (field->type == FIELD_DIGEST &&
	    (len != DIGEST_HEX_BYTES - 1 || strspn(text, "0123456789abcdef") != len))
		return -EBADMSG;
	memcpy(to, text, len + 1);
	return 0;
}

static int parse_number(const struct field *field, const json_t *value, void *to)
{
	json_int_t number = json_integer_value(value);

	if (!json_is_integer(value) || number < 0)
		return -EBADMSG;
	if (field->type == FIELD_UNSIGNED) {
		if (number > UINT32_MAX)
			return -EBADMSG;
		*(unsigned *)to = (unsigned)number;
		return 0;
	}
	*(uint64_t *)to = (uint64_t)number;
	return 0;
}

static int parse_fields(const json_t *root, struct template_manifest *manifest, struct error *error)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		const json_t *value = json_object_get(root, fields[i].name);
		char *to = (char *)manifest + fields[i].offset;
		int r;

		if (!value && fields[i].type == FIELD_NEW_TEXT)
			continue;
		r = fields[i].type <= FIELD_DIGEST ? parse_text(&fields[i], value, to)
						   : parse_number(&fields[i], value, to);
		if (r < 0) {
			(void)error_set(error, ERROR_INTERNAL, fields[i].name,
					"the manifest's field \"%s\" is missing or wrong",
					fields[i].name);
			return r;
		}
	}
	return 0;
}

int template_manifest_parse(struct slice text, struct template_manifest *ret, struct error *error)
{
	struct template_manifest manifest = { 0 };
	const char *kind;
	json_t *root = NULL;
	int r = -EBADMSG;

	if (text.len <= MANIFEST_MAX_BYTES)
		root = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
	kind = json_string_value(json_object_get(root, "kind"));
	if (!json_is_object(root) || !kind ||
	    json_integer_value(json_object_get(root, "format")) != MANIFEST_FORMAT)
		(void)error_set(error, ERROR_INTERNAL, NULL, "the manifest is not one of format %d",
				MANIFEST_FORMAT);
	else
		r = parse_fields(root, &manifest, error);
	if (r >= 0) {
		manifest.kind = strcmp(kind, "function") == 0 ? TEMPLATE_FUNCTION : TEMPLATE_BASE;
		*ret = manifest;
	}
	json_decref(root);
	return r;
}

static json_t *format_field(const struct field *field, const struct template_manifest *manifest)
{
	const char *from = (const char *)manifest + field->offset;

	if (field->type <= FIELD_DIGEST)
		return json_string(from);
	if (field->type == FIELD_UNSIGNED)
		return json_integer(*(const unsigned *)from);
	return json_integer((json_int_t) * (const uint64_t *)from);
}

int template_manifest_format(const struct template_manifest *manifest, char **ret)
{
	json_t *root;
	char *text;
	int r;

	root = json_pack("{s:i, s:s}", "format", MANIFEST_FORMAT, "kind",
			 manifest->kind == TEMPLATE_FUNCTION ? "function" : "base");
	r = root ? 0 : -1;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(fields); i++)
		r = json_object_set_new(root, fields[i].name, format_field(&fields[i], manifest));
	text = r == 0 ? json_dumps(root, JSON_INDENT(1)) : NULL;
	json_decref(root);
	if (!text)
		return -ENOMEM;
	*ret = text;
	return 0;
}

static bool field_equals(const struct field *field, const struct template_manifest *a,
			 const struct template_manifest *b)
{
	const char *left = (const char *)a + field->offset;
	const char *right = (const char *)b + field->offset;

	if (field->type <= FIELD_DIGEST)
		return strcmp(left, right) == 0;
	return memcmp(left, right, field->size) == 0;
}

int template_manifest_match(const struct template_manifest *manifest,
			    const struct template_manifest *now, struct error *error)
{
	uint64_t tolerance = now->tsc_khz / 200;

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (fields[i].use != FIELD_MUST_MATCH || field_equals(&fields[i], manifest, now))
			continue;
		(void)error_set(error, ERROR_INTERNAL, fields[i].name,
				"its %s is not this node's any more", fields[i].name);
		return -ESTALE;
	}
	if (manifest->kind != now->kind || manifest->tsc_khz + tolerance < now->tsc_khz ||
	    manifest->tsc_khz > now->tsc_khz + tolerance) {
		(void)error_set(error, ERROR_INTERNAL, "tsc_khz",
				"its clock frequency is not this node's");
		return -ESTALE;
	}
	return 0;
}
