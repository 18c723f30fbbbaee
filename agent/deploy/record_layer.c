/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/deploy/record_layer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/deploy/record_policy.h"
#include "mayfly/id.h"
#include "mayfly/store/v1/layer.pb-c.h"

typedef Mayfly__Store__V1__StoredLayerVersion stored_layer;
typedef Mayfly__Store__V1__StoredFunctionLayer stored_function_layer;
typedef Mayfly__Store__V1__StoredLayerNumbering stored_numbering;

void layer_key(const char *tenant, const char *name, uint64_t version, char out[LAYER_KEY_BYTES])
{
	(void)snprintf(out, LAYER_KEY_BYTES, LAYER_PREFIX "%s/%s:%" PRIu64, tenant, name, version);
}

void layer_numbering_key(const char *tenant, const char *name, char out[LAYER_KEY_BYTES])
{
	(void)snprintf(out, LAYER_KEY_BYTES, LAYER_NUMBERING_PREFIX "%s/%s", tenant, name);
}

/* protobuf-c packs from these pointers and does not change what they point to. */
static char *borrow(const char *text)
{
	return (char *)(uintptr_t)(text ? text : "");
}

int layer_encode(const struct layer_version *version, struct buf *ret)
{
	_cleanup_(record_clear_policy) struct policy_message policy = { 0 };
	stored_layer message = MAYFLY__STORE__V1__STORED_LAYER_VERSION__INIT;
	int r = record_fill_policy(version->policy, &policy);

	if (r < 0)
		return r;
	message.policy = policy.pointers;
	message.n_policy = policy.count;
	message.revision_id = borrow(version->revision_id);
	message.tenant = borrow(version->tenant);
	message.name = borrow(version->name);
	message.version = version->version;
	message.description = borrow(version->description);
	message.license_info = borrow(version->license_info);
	message.compatible_runtimes = version->runtimes;
	message.n_compatible_runtimes = version->runtime_count;
	message.compatible_architectures = version->architectures;
	message.n_compatible_architectures = version->architecture_count;
	message.code_sha256 = borrow(version->code_sha256);
	message.code_size_bytes = version->code_size_bytes;
	message.unzipped_bytes = version->unzipped_bytes;
	message.created_us = version->created_us;
	message.content = borrow(version->content);
	r = buf_reserve(ret, mayfly__store__v1__stored_layer_version__get_packed_size(&message));
	if (r < 0)
		return r;
	ret->len = mayfly__store__v1__stored_layer_version__pack(&message, ret->data);
	return 0;
}

static bool is_content(const char *text)
{
	return strlen(text) == HEX_ID_BYTES - 1 &&
	       strspn(text, "0123456789abcdef") == HEX_ID_BYTES - 1;
}

static bool is_name(const char *tenant, const char *name)
{
	char plain[LAYER_NAME_MAX + 1];

	return tenant_id_is_valid(tenant) && !strchr(name, ':') &&
	       layer_parse_name(name, "", tenant, plain, NULL) == 0;
}

static int decode(const stored_layer *message, struct layer_version **ret)
{
	const struct layer_values values = {
		.description = message->description,
		.license_info = message->license_info,
		.runtimes = (const char *const *)message->compatible_runtimes,
		.runtime_count = message->n_compatible_runtimes,
		.architectures = (const char *const *)message->compatible_architectures,
		.architecture_count = message->n_compatible_architectures,
	};
	_cleanup_(layer_version_free_p) struct layer_version *version = NULL;
	int r = layer_version_new(message->tenant, message->name, &values, &version);

	if (r < 0)
		return r;
	version->version = message->version;
	version->code_sha256 = strdup(message->code_sha256);
	version->content = strdup(message->content);
	version->code_size_bytes = message->code_size_bytes;
	version->unzipped_bytes = message->unzipped_bytes;
	version->created_us = message->created_us;
	if (!version->code_sha256 || !version->content)
		return -ENOMEM;
	if (strlen(message->revision_id) == UUID_BYTES - 1)
		memcpy(version->revision_id, message->revision_id, UUID_BYTES);
	r = record_decode_policy(message->policy, message->n_policy, &version->policy);
	if (r < 0)
		return r == -EUCLEAN ? -EBADMSG : r;
	*ret = TAKE_PTR(version);
	return 0;
}

int layer_decode(struct slice bytes, struct layer_version **ret, struct error *error)
{
	stored_layer *message =
		mayfly__store__v1__stored_layer_version__unpack(NULL, bytes.len, bytes.data);
	int r = -EBADMSG;

	if (message && message->version > 0 && is_name(message->tenant, message->name) &&
	    is_content(message->content))
		r = decode(message, ret);
	if (message)
		mayfly__store__v1__stored_layer_version__free_unpacked(message, NULL);
	if (r == -EBADMSG)
		return error_set(error, ERROR_INTERNAL, NULL,
				 "A layer version's record in the registry is damaged.");
	return r < 0 ? error_set_errno(error, r, "Cannot read a layer version's record") : 0;
}

int layer_numbering_encode(const struct layer_numbering *numbering, struct buf *ret)
{
	stored_numbering message = MAYFLY__STORE__V1__STORED_LAYER_NUMBERING__INIT;
	int r;

	message.tenant = borrow(numbering->tenant);
	message.name = borrow(numbering->name);
	message.last_version = numbering->last_version;
	r = buf_reserve(ret, mayfly__store__v1__stored_layer_numbering__get_packed_size(&message));
	if (r < 0)
		return r;
	ret->len = mayfly__store__v1__stored_layer_numbering__pack(&message, ret->data);
	return 0;
}

int layer_numbering_decode(struct slice bytes, struct layer_numbering *ret, struct error *error)
{
	stored_numbering *message =
		mayfly__store__v1__stored_layer_numbering__unpack(NULL, bytes.len, bytes.data);
	bool sound =
		message && message->last_version > 0 && is_name(message->tenant, message->name);

	if (sound) {
		(void)snprintf(ret->tenant, sizeof(ret->tenant), "%s", message->tenant);
		(void)snprintf(ret->name, sizeof(ret->name), "%s", message->name);
		ret->last_version = message->last_version;
	}
	if (message)
		mayfly__store__v1__stored_layer_numbering__free_unpacked(message, NULL);
	return sound ? 0
		     : error_set(error, ERROR_INTERNAL, NULL,
				 "A record of layer version numbers in the registry is damaged.");
}

/* -- of a function -- */

int record_layers_encode(const struct function_config *from, struct record_layers *memory,
			 Mayfly__Store__V1__StoredConfig *to)
{
	if (!from->layer_count)
		return 0;
	memory->layers = calloc(from->layer_count, sizeof(*memory->layers));
	memory->pointers = calloc(from->layer_count, sizeof(*memory->pointers));
	if (!memory->layers || !memory->pointers)
		return -ENOMEM;
	for (size_t i = 0; i < from->layer_count; i++) {
		stored_function_layer *layer = &memory->layers[i];
		mayfly__store__v1__stored_function_layer__init(layer);
		layer->arn = borrow(from->layers[i].arn);
		layer->content = borrow(from->layers[i].content);
		layer->code_size_bytes = from->layers[i].code_size_bytes;
		layer->unzipped_bytes = from->layers[i].unzipped_bytes;
		memory->pointers[i] = layer;
	}
	to->layers = memory->pointers;
	to->n_layers = from->layer_count;
	return 0;
}

void record_layers_clear(struct record_layers *memory)
{
	free(memory->layers);
	free(memory->pointers);
}

/* More than there can be, or what is no content, is not believed: the files would be looked for. */
int record_layers_decode(const Mayfly__Store__V1__StoredConfig *from, struct function_config *to)
{
	struct function_layer layers[LAYERS_OF_FUNCTION_MAX];

	if (from->n_layers > LAYERS_OF_FUNCTION_MAX)
		return -EPROTO;
	for (size_t i = 0; i < from->n_layers; i++) {
		if (!is_content(from->layers[i]->content))
			return -EPROTO;
		layers[i] = (struct function_layer){
			.arn = from->layers[i]->arn,
			.content = from->layers[i]->content,
			.code_size_bytes = from->layers[i]->code_size_bytes,
			.unzipped_bytes = from->layers[i]->unzipped_bytes,
		};
	}
	return function_config_set_layers(to, layers, from->n_layers);
}
