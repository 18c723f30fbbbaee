/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/messages.h"
#include "cli/output.h"
#include "cli/verbs.h"

struct listing {
	struct table table;
	json_t *versions;
	char marker[512];
};

static void add(struct listing *listing, const Mayfly__V1__Function *version)
{
	char size[TEXT_BYTES], age[TEXT_BYTES];

	(void)json_array_append_new(listing->versions, json_from_function(version));
	table_cell(&listing->table, "%s", version->version);
	table_cell(&listing->table, "%s", name_of_function_state((int)version->state));
	table_cell(&listing->table, "%s", version->runtime);
	table_cell(&listing->table, "%u MB", version->memory_size_mb);
	table_cell(&listing->table, "%s", text_bytes(version->code_size_bytes, size));
	table_cell(&listing->table, "%s", text_age(version->last_modified_us, age));
	table_cell(&listing->table, "%s", version->description);
}

/* One page; sets the marker of the next. */
static int add_page(struct context *context, const char *name, struct listing *listing)
{
	Mayfly__V1__ListVersionsByFunctionRequest request =
		MAYFLY__V1__LIST_VERSIONS_BY_FUNCTION_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__ListVersionsByFunctionResponse *page = NULL;

	request.function_name = (char *)name;
	request.marker = listing->marker;
	int r = client_function_list_versions(context->client, &request, &page, &context->error);
	if (r < 0)
		return r;
	for (size_t i = 0; i < page->n_versions; i++)
		add(listing, page->versions[i]);
	if (strlen(page->next_marker) >= sizeof(listing->marker))
		return error_set(&context->error, ERROR_INTERNAL, NULL, "the marker is too long");
	(void)snprintf(listing->marker, sizeof(listing->marker), "%s", page->next_marker);
	return 0;
}

static int run(struct context *context, const struct arguments *arguments)
{
	static const char *const headers[] = { "VERSION", "STATE",    "RUNTIME",     "MEMORY",
					       "CODE",    "MODIFIED", "DESCRIPTION", NULL };
	_cleanup_json_ json_t *versions = json_array();
	struct listing listing = { .table.headers = headers, .versions = versions };
	int r;

	do
		r = add_page(context, operand(arguments, 0), &listing);
	while (r == 0 && listing.marker[0]);
	if (r == 0 && context->json)
		r = output_json(json_pack("{s:O}", "Versions", versions));
	else if (r == 0)
		table_print(&listing.table);
	table_free(&listing.table);
	return r;
}

static const struct verb_option options[] = {
	{ "function-name", 0, OPTION_TEXT, "NAME", "instead of the operand NAME" },
	{ 0 },
};

const struct verb verb_function_list_versions = {
	.name = "function list-versions",
	.operands = "NAME",
	.min = 1,
	.max = 1,
	.name_option = "function-name",
	.summary = "List the versions of a function",
	.help = "$LATEST comes first, then the published ones.\n\n"
		"Example:\n"
		"  mayfly function list-versions area\n",
	.options = options,
	.run = run,
};
