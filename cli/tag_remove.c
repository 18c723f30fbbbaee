/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/verbs.h"

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__UntagResourceResponse *response = NULL;
	Mayfly__V1__UntagResourceRequest request = MAYFLY__V1__UNTAG_RESOURCE_REQUEST__INIT;

	int r = argument_list(arguments, "tag-keys", &request.tag_keys, &request.n_tag_keys,
			      &context->error);
	if (r < 0)
		return r;
	request.resource = (char *)operand(arguments, 0);
	r = client_tag_remove(context->client, &request, &response, &context->error);
	argument_list_free(request.tag_keys, request.n_tag_keys);
	return r;
}

static const struct verb_option options[] = {
	{ "resource", 0, OPTION_TEXT, "ARN", "instead of the operand FUNCTION" },
	{ "tag-keys", 0, OPTION_LIST, "KEY...", "which" },
	{ 0 },
};

const struct verb verb_untag = {
	.name = "untag",
	.operands = "FUNCTION",
	.min = 1,
	.max = 1,
	.name_option = "resource",
	.summary = "Take tags off a function",
	.help = "Keys that are not there are no mistake. Prints nothing when it worked.\n\n"
		"Example:\n"
		"  mayfly untag area --tag-keys team stage\n",
	.options = options,
	.run = run,
};
