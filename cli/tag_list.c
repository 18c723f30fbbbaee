/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/output.h"
#include "cli/verbs.h"

static int run(struct context *context, const struct arguments *arguments)
{
	static const char *const headers[] = { "KEY", "VALUE", NULL };
	_cleanup_message_ Mayfly__V1__ListTagsResponse *answer = NULL;
	_cleanup_table_ struct table table = { .headers = headers };
	Mayfly__V1__ListTagsRequest request = MAYFLY__V1__LIST_TAGS_REQUEST__INIT;
	json_t *tags;

	request.resource = (char *)operand(arguments, 0);
	int r = client_tag_list(context->client, &request, &answer, &context->error);
	if (r < 0)
		return r;
	tags = json_object();
	for (size_t i = 0; i < answer->n_tags; i++) {
		(void)json_object_set_new(tags, answer->tags[i]->key,
					  json_string(answer->tags[i]->value));
		table_cell(&table, "%s", answer->tags[i]->key);
		table_cell(&table, "%s", answer->tags[i]->value);
	}
	if (context->json)
		return output_json(json_pack("{s:o}", "Tags", tags));
	json_decref(tags);
	table_print(&table);
	return 0;
}

static const struct verb_option options[] = {
	{ "resource", 0, OPTION_TEXT, "ARN", "instead of the operand FUNCTION" },
	{ 0 },
};

const struct verb verb_list_tags = {
	.name = "list-tags",
	.operands = "FUNCTION",
	.min = 1,
	.max = 1,
	.name_option = "resource",
	.summary = "Show the tags of a function",
	.help = "Example:\n"
		"  mayfly list-tags area\n",
	.options = options,
	.run = run,
};
