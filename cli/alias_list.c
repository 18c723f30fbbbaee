/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/alias_options.h"
#include "cli/messages.h"
#include "cli/output.h"
#include "cli/verbs.h"

struct listing {
	struct table table;
	json_t *aliases;
	char marker[512];
};

static void add(struct listing *listing, const Mayfly__V1__Alias *alias)
{
	char routing[TEXT_BYTES];

	(void)json_array_append_new(listing->aliases, json_from_alias(alias));
	table_cell(&listing->table, "%s", alias->name);
	table_cell(&listing->table, "%s", alias->function_version);
	table_cell(&listing->table, "%s", alias_routing_text(alias, routing, sizeof(routing)));
	table_cell(&listing->table, "%s", alias->description);
}

/* One page; sets the marker of the next. */
static int add_page(struct context *context, const struct arguments *arguments,
		    struct listing *listing)
{
	Mayfly__V1__ListAliasesRequest request = MAYFLY__V1__LIST_ALIASES_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__ListAliasesResponse *page = NULL;
	const char *version = argument(arguments, "function-version");

	request.function_name = (char *)operand(arguments, 0);
	request.marker = listing->marker;
	if (version)
		request.function_version = (char *)version;
	int r = client_alias_list(context->client, &request, &page, &context->error);
	if (r < 0)
		return r;
	for (size_t i = 0; i < page->n_aliases; i++)
		add(listing, page->aliases[i]);
	if (strlen(page->next_marker) >= sizeof(listing->marker))
		return error_set(&context->error, ERROR_INTERNAL, NULL, "the marker is too long");
	(void)snprintf(listing->marker, sizeof(listing->marker), "%s", page->next_marker);
	return 0;
}

static int run(struct context *context, const struct arguments *arguments)
{
	static const char *const headers[] = { "NAME", "VERSION", "ADDITIONAL", "DESCRIPTION",
					       NULL };
	_cleanup_json_ json_t *aliases = json_array();
	struct listing listing = { .table.headers = headers, .aliases = aliases };
	int r;

	do
		r = add_page(context, arguments, &listing);
	while (r == 0 && listing.marker[0]);
	if (r == 0 && context->json)
		r = output_json(json_pack("{s:O}", "Aliases", aliases));
	else if (r == 0)
		table_print(&listing.table);
	table_free(&listing.table);
	return r;
}

static const struct verb_option options[] = {
	{ "function-name", 0, OPTION_TEXT, "FUNCTION", "instead of the operand FUNCTION" },
	{ "function-version", 0, OPTION_TEXT, "VERSION", "only those that lead to it first" },
	{ 0 },
};

const struct verb verb_alias_list = {
	.name = "alias list",
	.operands = "FUNCTION",
	.min = 1,
	.max = 1,
	.name_option = "function-name",
	.summary = "List the aliases of a function",
	.help = "Example:\n"
		"  mayfly alias list area\n",
	.options = options,
	.run = run,
};
