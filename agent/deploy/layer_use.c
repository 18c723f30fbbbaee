/* SPDX-License-Identifier: Apache-2.0 */

/* The layers that functions have: from the ARNs of a request to what is kept with the function, and
 * whether a layer's content still has a user. */

#include "agent/deploy/layer_use.h"

#include <errno.h>
#include <string.h>

#include "agent/functions/text.h"
#include "agent/image/package_merge.h"

struct search {
	const struct change *change;
	const struct layer_version *found[LAYERS_OF_FUNCTION_MAX];
	size_t count;
};

static int refuse_foreign(const char *tenant, const char *arn, struct error *error)
{
	return error_set(error, ERROR_ACCESS_DENIED, "layers",
			 "Account %s is not authorized to perform: lambda:GetLayerVersion on "
			 "resource: %.*s because no resource-based policy allows the "
			 "lambda:GetLayerVersion action",
			 tenant, shown_length(arn, SHOWN_BYTES), arn);
}

/* Whether another tenant has such a layer is not told. */
static int look_up(const struct layer_reference *reference, const char *arn, void *arg,
		   struct error *error)
{
	struct search *search = arg;
	const struct directory *directory = search->change->directory;
	const char *tenant = search->change->tenant;
	bool is_own = strcmp(reference->tenant, tenant) == 0;
	bool is_here = strcmp(reference->region, directory->region) == 0;
	const struct layer_version *version =
		is_here ? directory_find_layer(directory, reference->tenant, reference->name,
					       reference->version)
			: NULL;

	if (!is_own && (!version || !layer_version_is_shared_with(version, tenant)))
		return refuse_foreign(tenant, arn, error);
	if (!is_here)
		return error_set(error, ERROR_INVALID_PARAMETER, "layers",
				 "Layers are not in the same region as the function. Layers are "
				 "expected to be in region %s.",
				 directory->region);
	if (!version)
		return error_set(error, ERROR_INVALID_PARAMETER, "layers",
				 "Layer version %.*s does not exist.",
				 shown_length(arn, SHOWN_BYTES), arn);
	search->found[search->count++] = version;
	return 0;
}

static int keep(const struct search *search, struct function_config *config)
{
	struct function_layer layers[LAYERS_OF_FUNCTION_MAX] = { 0 };
	const char *region = search->change->directory->region;
	int r = 0;

	for (size_t i = 0; r == 0 && i < search->count; i++) {
		const struct layer_version *version = search->found[i];
		layers[i] = (struct function_layer){
			.arn = layer_arn(region, version->tenant, version->name, version->version),
			.content = version->content,
			.code_size_bytes = version->code_size_bytes,
			.unzipped_bytes = version->unzipped_bytes,
		};
		r = layers[i].arn ? 0 : -ENOMEM;
	}
	if (r == 0)
		r = function_config_set_layers(config, layers, search->count);
	for (size_t i = 0; i < search->count; i++)
		free(layers[i].arn);
	return r;
}

/* The package that serves is of other layers: it is made anew of the code's own. */
static void forget_package(struct function_config *config)
{
	if (!config->code_digest) {
		config->code_digest = TAKE_PTR(config->package_digest);
	} else {
		free(config->package_digest);
		config->package_digest = NULL;
	}
	if (config->layer_count)
		return;
	config->package_digest = TAKE_PTR(config->code_digest);
}

int layer_use_resolve(struct change *change, struct function_config *config,
		      const struct function_config *before)
{
	struct layer_reference references[LAYERS_OF_FUNCTION_MAX];
	const struct function_patch *patch = change->patch;
	struct search search = { .change = change };
	int r;

	if (!patch->has_layers)
		return 0;
	r = layer_validate_list(patch->layer_arns, patch->layer_count, look_up, &search, references,
				&change->error);
	if (r < 0)
		return r;
	r = keep(&search, config);
	if (r < 0)
		return error_set_errno(&change->error, r, "Cannot take the layers");
	if (before && !function_config_same_layers(config, before))
		forget_package(config);
	return config->unzipped_bytes ? layer_use_check_bytes(config, &change->error) : 0;
}

int layer_use_check_bytes(const struct function_config *config, struct error *error)
{
	uint64_t bytes = config->unzipped_bytes;

	for (size_t i = 0; i < config->layer_count; i++)
		bytes += config->layers[i].unzipped_bytes;
	return config->layer_count ? package_check_merged_bytes(bytes, error) : 0;
}

/* -- whether a content is used -- */

static bool has(const struct function_config *config, const char *content)
{
	for (size_t i = 0; config && i < config->layer_count; i++)
		if (strcmp(config->layers[i].content, content) == 0)
			return true;
	return false;
}

static bool function_has(const struct function *function, const char *content)
{
	return function && (has(&function->config, content) || has(function->update, content));
}

/* What is asked for and not installed yet has its layers, too. */
static bool entry_has(const struct entry *entry, const char *content)
{
	const struct change *change;

	if (function_has(entry->function, content))
		return true;
	TAILQ_FOREACH (change, &entry->changes, link)
		if (function_has(change->next, content) || function_has(change->version, content))
			return true;
	return false;
}

bool layer_use_has(const struct directory *directory, const char *content)
{
	const struct preparation *preparation;

	for (const struct layer_entry *layer = directory->layers; layer; layer = layer->hh.next)
		for (size_t i = 0; i < layer->count; i++)
			if (strcmp(layer->versions[i]->content, content) == 0)
				return true;
	for (const struct entry *entry = directory->entries; entry; entry = entry->hh.next)
		if (entry_has(entry, content))
			return true;
	LIST_FOREACH (preparation, &directory->preparations, link)
		if (preparation->entry && has(preparation->config, content))
			return true;
	return false;
}
