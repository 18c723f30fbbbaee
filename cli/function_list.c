/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/messages.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "mayfly/clock.h"

struct listing {
	struct table table;
	json_t *functions;
	uint64_t left;
	char marker[512];
	const char *function_version; /* borrowed; "" or ALL */
};

static void add(struct listing *listing, const Mayfly__V1__Function *f)
{
	char size[TEXT_BYTES], age[TEXT_BYTES];

	(void)json_array_append_new(listing->functions, json_from_function(f));
	table_cell(&listing->table, "%s", f->function_name);
	if (*listing->function_version)
		table_cell(&listing->table, "%s", f->version);
	table_cell(&listing->table, "%s", f->runtime);
	table_cell(&listing->table, "%s", f->handler);
	table_cell(&listing->table, "%u MB", f->memory_size_mb);
	table_cell(&listing->table, "%u s", f->timeout_seconds);
	table_cell(&listing->table, "%s", text_bytes(f->code_size_bytes, size));
	table_cell(&listing->table, "%s", text_age(f->last_modified_us, age));
}

/* One page; sets the marker of the next. */
static int add_page(struct context *context, struct listing *listing)
{
	Mayfly__V1__ListFunctionsRequest request = MAYFLY__V1__LIST_FUNCTIONS_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__ListFunctionsResponse *page = NULL;

	request.max_items = listing->left < 50 ? (uint32_t)listing->left : 50;
	request.marker = listing->marker;
	request.function_version = (char *)listing->function_version;
	int r = client_function_list(context->client, &request, &page, &context->error);
	if (r < 0)
		return r;
	for (size_t i = 0; i < page->n_functions && listing->left > 0; i++, listing->left--)
		add(listing, page->functions[i]);
	if (strlen(page->next_marker) >= sizeof(listing->marker))
		return error_set(&context->error, ERROR_INTERNAL, NULL, "the marker is too long");
	(void)snprintf(listing->marker, sizeof(listing->marker), "%s", page->next_marker);
	return 0;
}

static int print(const struct context *context, struct listing *listing)
{
	if (!context->json) {
		table_print(&listing->table);
		return 0;
	}
	json_t *answer = json_pack("{s:O}", "Functions", listing->functions);
	if (listing->marker[0])
		(void)json_object_set_new(answer, "NextMarker", json_string(listing->marker));
	return output_json(answer);
}

static int run(struct context *context, const struct arguments *arguments)
{
	static const char *const headers_of_all[] = { "NAME",    "VERSION",  "RUNTIME",
						      "HANDLER", "MEMORY",   "TIMEOUT",
						      "CODE",    "MODIFIED", NULL };
	static const char *const headers[] = { "NAME",    "RUNTIME", "HANDLER",  "MEMORY",
					       "TIMEOUT", "CODE",    "MODIFIED", NULL };
	struct listing listing = { .table.headers = headers, .left = UINT64_MAX };
	const char *marker = argument(arguments, "marker");
	const char *function_version = argument(arguments, "function-version");

	listing.function_version = function_version ? function_version : "";
	if (function_version)
		listing.table.headers = headers_of_all;
	if (marker && strlen(marker) < sizeof(listing.marker))
		(void)snprintf(listing.marker, sizeof(listing.marker), "%s", marker);
	int r = argument_number(arguments, "max-items", UINT32_MAX, &listing.left, &context->error);
	if (r < 0)
		return r;
	listing.functions = json_array();
	do
		r = add_page(context, &listing);
	while (r == 0 && listing.marker[0] && listing.left > 0);
	if (r == 0)
		r = print(context, &listing);
	json_decref(listing.functions);
	table_free(&listing.table);
	return r;
}

static const struct verb_option options[] = {
	{ "max-items", 0, OPTION_TEXT, "N", "no more than N; all by default" },
	{ "function-version", 0, OPTION_CHOICE, "ALL", "the published versions, too" },
	{ "marker", 0, OPTION_TEXT, "MARKER", "go on from the NextMarker of an earlier answer" },
	{ 0 },
};

const struct verb verb_function_list = {
	.name = "function list",
	.operands = "",
	.summary = "List functions",
	.help = "Examples:\n"
		"  mayfly function list\n"
		"  mayfly function list --output json --max-items 10\n",
	.options = options,
	.run = run,
};
