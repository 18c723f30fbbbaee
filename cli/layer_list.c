/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/layer_output.h"
#include "cli/json_fields.h"
#include "cli/verbs.h"
#include "mayfly/clock.h"

static void add(struct layer_listing *listing, const Mayfly__V1__LayerVersion *v)
{
	json_t *object = json_object();
	char age[TEXT_BYTES], runtimes[256];

	json_put_text(object, "LayerName", v->layer_name);
	json_put_text(object, "LayerArn", v->layer_arn);
	(void)json_object_set_new(object, "LatestMatchingVersion", json_from_layer_version(v));
	(void)json_array_append_new(listing->items, object);
	table_cell(&listing->table, "%s", v->layer_name);
	table_cell(&listing->table, "%llu", (unsigned long long)v->version);
	table_cell(&listing->table, "%s",
		   layer_join(v->compatible_runtimes, v->n_compatible_runtimes, runtimes,
			      sizeof(runtimes)));
	table_cell(&listing->table, "%s", text_age(v->created_us, age));
	table_cell(&listing->table, "%s", v->layer_version_arn);
}

static int add_page(struct context *context, const struct arguments *arguments,
		    struct layer_listing *listing)
{
	Mayfly__V1__ListLayersRequest request = MAYFLY__V1__LIST_LAYERS_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__ListLayersResponse *page = NULL;
	const char *runtime = argument(arguments, "compatible-runtime");
	const char *architecture = argument(arguments, "compatible-architecture");

	request.max_items = listing->left < LAYER_PAGE ? (uint32_t)listing->left : LAYER_PAGE;
	request.marker = listing->marker;
	if (runtime)
		request.compatible_runtime = (char *)runtime;
	if (architecture)
		request.compatible_architecture = (char *)architecture;
	int r = client_layer_list(context->client, &request, &page, &context->error);
	if (r < 0)
		return r;
	for (size_t i = 0; i < page->n_layers && listing->left > 0; i++, listing->left--)
		add(listing, page->layers[i]);
	return layer_listing_next(listing, page->next_marker, &context->error);
}

static int run(struct context *context, const struct arguments *arguments)
{
	static const char *const headers[] = {
		"NAME", "VERSION", "RUNTIMES", "CREATED", "ARN", NULL
	};
	_cleanup_layer_listing_ struct layer_listing listing = { .table.headers = headers };

	int r = layer_listing_begin(arguments, &listing, &context->error);
	do
		r = r == 0 ? add_page(context, arguments, &listing) : r;
	while (r == 0 && listing.marker[0] && listing.left > 0);
	return r < 0 ? r : layer_listing_print(context, &listing, "Layers");
}

static const struct verb_option options[] = {
	LAYER_LIST_OPTIONS,
	{ 0 },
};

const struct verb verb_layer_list = {
	.name = "layer list",
	.operands = "",
	.summary = "List layers, each with its newest version",
	.help = "Example:\n"
		"  mayfly layer list --compatible-runtime python3.13\n",
	.options = options,
	.run = run,
};
