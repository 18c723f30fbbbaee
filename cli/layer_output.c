/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/layer_output.h"

#include "cli/json_fields.h"
#include "mayfly/clock.h"

static json_t *json_from_texts(char *const *texts, size_t count)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++)
		(void)json_array_append_new(array, json_string(texts[i]));
	return array;
}

json_t *json_from_layer_version(const Mayfly__V1__LayerVersion *v)
{
	json_t *object = json_object(), *content = json_object();

	json_put_text(content, "CodeSha256", v->code_sha256);
	json_put_number(content, "CodeSize", v->code_size_bytes);
	(void)json_object_set_new(object, "Content", content);
	json_put_text(object, "LayerArn", v->layer_arn);
	json_put_text(object, "LayerVersionArn", v->layer_version_arn);
	(void)json_object_set_new(object, "Description", json_string(v->description));
	json_put_time(object, "CreatedDate", v->created_us);
	json_put_number(object, "Version", v->version);
	if (v->n_compatible_runtimes)
		(void)json_object_set_new(
			object, "CompatibleRuntimes",
			json_from_texts(v->compatible_runtimes, v->n_compatible_runtimes));
	if (v->n_compatible_architectures)
		(void)json_object_set_new(object, "CompatibleArchitectures",
					  json_from_texts(v->compatible_architectures,
							  v->n_compatible_architectures));
	json_put_text(object, "LicenseInfo", v->license_info);
	return object;
}

const char *layer_join(char *const *texts, size_t count, char *out, size_t bytes)
{
	size_t len = 0;

	*out = '\0';
	for (size_t i = 0; i < count && len < bytes; i++)
		len += (size_t)snprintf(out + len, bytes - len, "%s%s", i ? ", " : "", texts[i]);
	return out;
}

int layer_print(const struct context *context, const Mayfly__V1__LayerVersion *v)
{
	char size[TEXT_BYTES], created[CLOCK_ISO8601_BYTES], list[512];

	if (context->json)
		return output_json(json_from_layer_version(v));
	clock_format_iso8601(v->created_us, created);
	output_field("Layer", "%s", v->layer_name);
	output_field("Version", "%llu", (unsigned long long)v->version);
	output_field("ARN", "%s", v->layer_version_arn);
	if (*v->description)
		output_field("Description", "%s", v->description);
	output_field("Code", "%s, SHA-256 %s", text_bytes(v->code_size_bytes, size),
		     v->code_sha256);
	if (v->n_compatible_runtimes)
		output_field("Runtimes", "%s",
			     layer_join(v->compatible_runtimes, v->n_compatible_runtimes, list,
					sizeof(list)));
	if (v->n_compatible_architectures)
		output_field("Architectures", "%s",
			     layer_join(v->compatible_architectures, v->n_compatible_architectures,
					list, sizeof(list)));
	if (*v->license_info)
		output_field("License", "%s", v->license_info);
	output_field("Created", "%s", created);
	return 0;
}

int layer_listing_begin(const struct arguments *arguments, struct layer_listing *listing,
			struct error *e)
{
	const char *marker = argument(arguments, "marker");

	listing->items = json_array();
	listing->left = UINT64_MAX;
	if (marker && strlen(marker) < sizeof(listing->marker))
		(void)snprintf(listing->marker, sizeof(listing->marker), "%s", marker);
	return argument_number(arguments, "max-items", UINT32_MAX, &listing->left, e);
}

int layer_listing_next(struct layer_listing *listing, const char *marker, struct error *e)
{
	if (strlen(marker) >= sizeof(listing->marker))
		return error_set(e, ERROR_INTERNAL, NULL, "the marker is too long");
	(void)snprintf(listing->marker, sizeof(listing->marker), "%s", marker);
	return 0;
}

int layer_listing_print(const struct context *context, struct layer_listing *listing,
			const char *member)
{
	if (!context->json) {
		table_print(&listing->table);
		return 0;
	}
	json_t *answer = json_pack("{s:O}", member, listing->items);
	json_put_text(answer, "NextMarker", listing->marker);
	return output_json(answer);
}

void layer_listing_clear(struct layer_listing *listing)
{
	json_decref(listing->items);
	table_free(&listing->table);
}
