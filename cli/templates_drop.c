/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/verbs.h"

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__DropTemplateResponse *response = NULL;
	Mayfly__V1__DropTemplateRequest request = MAYFLY__V1__DROP_TEMPLATE_REQUEST__INIT;

	request.template_id = (char *)operand(arguments, 0);
	return client_template_drop(context->client, &request, &response, &context->error);
}

const struct verb verb_templates_drop = {
	.name = "templates drop",
	.operands = "TEMPLATE",
	.min = 1,
	.max = 1,
	.summary = "Remove a template that no sandbox needs",
	.help = "It is built again when a function needs it. Prints nothing when it worked.\n\n"
		"Example:\n"
		"  mayfly templates drop base-python3.13-128\n",
	.run = run,
};
