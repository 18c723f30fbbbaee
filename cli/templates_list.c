/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/messages.h"
#include "cli/output.h"
#include "cli/verbs.h"

static void add(struct table *table, const Mayfly__V1__Template *t)
{
	char size[TEXT_BYTES], build[TEXT_BYTES], age[TEXT_BYTES];

	table_cell(table, "%s", t->template_id);
	table_cell(table, "%s", name_of_template_kind((int)t->kind));
	table_cell(table, "%s", name_of_template_state((int)t->state));
	table_cell(table, "%s", t->runtime);
	table_cell(table, "%u MB", t->memory_size_mb);
	table_cell(table, "%s", *t->function_name ? t->function_name : "-");
	table_cell(table, "%s", text_bytes(t->size_bytes, size));
	table_cell(table, "%s", text_duration((int64_t)t->build_us, build));
	table_cell(table, "%u", t->clones);
	table_cell(table, "%s", text_age(t->created_at_us, age));
	table_cell(table, "%s", t->reason);
}

static int run(struct context *context, const struct arguments *arguments _unused_)
{
	static const char *const headers[] = { "TEMPLATE", "KIND",     "STATE", "RUNTIME",
					       "MEMORY",   "FUNCTION", "SIZE",  "BUILT IN",
					       "CLONES",   "CREATED",  "NOTE",  NULL };
	_cleanup_table_ struct table table = { .headers = headers };
	_cleanup_message_ Mayfly__V1__ListTemplatesResponse *list = NULL;

	int r = client_template_list(context->client, &list, &context->error);
	if (r < 0)
		return r;
	json_t *templates = json_array();
	for (size_t i = 0; i < list->n_templates; i++) {
		add(&table, list->templates[i]);
		(void)json_array_append_new(templates, json_from_template(list->templates[i]));
	}
	if (context->json)
		return output_json(json_pack("{s:o}", "Templates", templates));
	json_decref(templates);
	table_print(&table);
	return 0;
}

#define HELP                                                                                       \
	"Examples:\n"                                                                              \
	"  mayfly templates list\n"                                                                \
	"  mayfly templates list --output json\n"

const struct verb verb_templates_list = {
	.name = "templates list",
	.operands = "",
	.summary = "List the snapshots that sandboxes are restored from",
	.help = HELP,
	.run = run,
};

/* The short form. */
const struct verb verb_templates = {
	.name = "templates",
	.operands = "",
	.summary = "The same as 'templates list'",
	.help = HELP,
	.run = run,
};
