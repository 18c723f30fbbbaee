/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/messages.h"
#include "cli/output.h"
#include "cli/verbs.h"

static int print_result(const struct context *context, const Mayfly__V1__Template *t)
{
	char size[TEXT_BYTES], build[TEXT_BYTES];

	if (context->json)
		return output_json(json_from_template(t));
	(void)printf("%s: %s, %u MB, %s, built in %s\n", t->template_id, t->runtime,
		     t->memory_size_mb, text_bytes(t->size_bytes, size),
		     text_duration((int64_t)t->build_us, build));
	return 0;
}

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_(client_stream_close_p) struct client_stream *stream = NULL;
	Mayfly__V1__BuildTemplateRequest request = MAYFLY__V1__BUILD_TEMPLATE_REQUEST__INIT;
	uint64_t memory_mb = 128;
	bool done = false;

	int r = argument_number(arguments, "memory-size", UINT32_MAX, &memory_mb, &context->error);
	if (r < 0)
		return r;
	request.runtime = (char *)operand(arguments, 0);
	request.memory_size_mb = (uint32_t)memory_mb;
	r = client_template_build(context->client, &request, &stream, &context->error);
	while (r >= 0) {
		_cleanup_message_ Mayfly__V1__BuildTemplateProgress *step = NULL;
		r = client_template_build_next(stream, &step, &context->error);
		if (r <= 0)
			break;
		if (*step->step)
			progress("%s", step->step);
		if (!step->template_)
			continue;
		progress_end();
		done = true;
		r = print_result(context, step->template_);
	}
	progress_end();
	if (r == 0 && !done)
		return error_set(&context->error, ERROR_INTERNAL, NULL,
				 "the node ended the build without a template");
	return r;
}

static const struct verb_option options[] = {
	{ "memory-size", 0, OPTION_TEXT, "MB", "of the functions it is for; 128 by default" },
	{ 0 },
};

const struct verb verb_templates_build = {
	.name = "templates build",
	.operands = "RUNTIME",
	.min = 1,
	.max = 1,
	.summary = "Build a base template ahead of the first function that needs it",
	.help = "Example:\n"
		"  mayfly templates build python3.13 --memory-size 256\n",
	.options = options,
	.run = run,
};
