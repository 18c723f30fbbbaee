/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>

#include "cli/tag_options.h"
#include "cli/verbs.h"

typedef Mayfly__V1__TagResourceRequest__TagsEntry tag_entry;

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__TagResourceResponse *response = NULL;
	_cleanup_tag_options_ struct tag_options tags = { 0 };
	_cleanup_free_ tag_entry **entries = NULL;
	Mayfly__V1__TagResourceRequest request = MAYFLY__V1__TAG_RESOURCE_REQUEST__INIT;

	if (!argument(arguments, "tags"))
		return error_set(&context->error, ERROR_INVALID_PARAMETER, "tags",
				 "--tags is missing");
	int r = tag_options_parse(arguments, &tags, &context->error);
	if (r < 0)
		return r;
	entries = TAG_ENTRIES(&tags, tag_entry, mayfly__v1__tag_resource_request__tags_entry__init);
	if (!entries)
		return error_set_errno(&context->error, ENOMEM, "cannot read --tags");
	request.resource = (char *)operand(arguments, 0);
	request.tags = entries;
	request.n_tags = tags.count;
	return client_tag_put(context->client, &request, &response, &context->error);
}

static const struct verb_option options[] = {
	{ "resource", 0, OPTION_TEXT, "ARN", "instead of the operand FUNCTION" },
	TAGS_OPTION,
	{ 0 },
};

const struct verb verb_tag = {
	.name = "tag",
	.operands = "FUNCTION",
	.min = 1,
	.max = 1,
	.name_option = "resource",
	.summary = "Put tags on a function",
	.help = "Over those that are there. Prints nothing when it worked.\n\n"
		"Example:\n"
		"  mayfly tag area --tags team=blue,stage=test\n",
	.options = options,
	.run = run,
};
