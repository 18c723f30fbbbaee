/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/layer_output.h"
#include "cli/verbs.h"
#include "mayfly/clock.h"

static void add(struct layer_listing *listing, const Mayfly__V1__LayerVersion *v)
{
	char age[TEXT_BYTES], size[TEXT_BYTES], runtimes[256];

	(void)json_array_append_new(listing->items, json_from_layer_version(v));
	table_cell(&listing->table, "%llu", (unsigned long long)v->version);
	table_cell(&listing->table, "%s", v->description);
	table_cell(&listing->table, "%s",
		   layer_join(v->compatible_runtimes, v->n_compatible_runtimes, runtimes,
			      sizeof(runtimes)));
	table_cell(&listing->table, "%s", text_bytes(v->code_size_bytes, size));
	table_cell(&listing->table, "%s", text_age(v->created_us, age));
	table_cell(&listing->table, "%s", v->layer_version_arn);
}

static int add_page(struct context *context, const struct arguments *arguments,
		    struct layer_listing *listing)
{
	Mayfly__V1__ListLayerVersionsRequest request =
		MAYFLY__V1__LIST_LAYER_VERSIONS_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__ListLayerVersionsResponse *page = NULL;
	const char *runtime = argument(arguments, "compatible-runtime");
	const char *architecture = argument(arguments, "compatible-architecture");

	request.layer_name = (char *)operand(arguments, 0);
	request.max_items = listing->left < LAYER_PAGE ? (uint32_t)listing->left : LAYER_PAGE;
	request.marker = listing->marker;
	if (runtime)
		request.compatible_runtime = (char *)runtime;
	if (architecture)
		request.compatible_architecture = (char *)architecture;
	int r = client_layer_list_versions(context->client, &request, &page, &context->error);
	if (r < 0)
		return r;
	for (size_t i = 0; i < page->n_layer_versions && listing->left > 0; i++, listing->left--)
		add(listing, page->layer_versions[i]);
	return layer_listing_next(listing, page->next_marker, &context->error);
}

static int run(struct context *context, const struct arguments *arguments)
{
	static const char *const headers[] = { "VERSION", "DESCRIPTION", "RUNTIMES", "CODE",
					       "CREATED", "ARN",         NULL };
	_cleanup_layer_listing_ struct layer_listing listing = { .table.headers = headers };

	int r = layer_listing_begin(arguments, &listing, &context->error);
	do
		r = r == 0 ? add_page(context, arguments, &listing) : r;
	while (r == 0 && listing.marker[0] && listing.left > 0);
	return r < 0 ? r : layer_listing_print(context, &listing, "LayerVersions");
}

static const struct verb_option options[] = {
	{ "layer-name", 0, OPTION_TEXT, "NAME", "instead of the operand NAME" },
	LAYER_LIST_OPTIONS,
	{ 0 },
};

const struct verb verb_layer_list_versions = {
	.name = "layer list-versions",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "layer-name",
	.summary = "List the versions of a layer, the newest first",
	.help = "Example:\n"
		"  mayfly layer list-versions tools\n",
	.options = options,
	.run = run,
};
