/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/messages.h"
#include "cli/output.h"
#include "cli/verbs.h"

static void add(struct table *table, const Mayfly__V1__Sandbox *s)
{
	char memory[TEXT_BYTES], created[TEXT_BYTES], used[TEXT_BYTES];

	table_cell(table, "%.12s", s->sandbox_id);
	table_cell(table, "%s", *s->function_name ? s->function_name : "-");
	table_cell(table, "%s", name_of_sandbox_state((int)s->state));
	table_cell(table, "%s", name_of_start_kind((int)s->start_kind));
	table_cell(table, "%u MB", s->memory_size_mb);
	table_cell(table, "%s", text_bytes(s->anonymous_bytes, memory));
	table_cell(table, "%llu", (unsigned long long)s->invocations);
	table_cell(table, "%s", text_age(s->created_at_us, created));
	table_cell(table, "%s", text_age(s->last_used_at_us, used));
	table_cell(table, "%u", s->pid);
}

static int run(struct context *context, const struct arguments *arguments)
{
	static const char *const headers[] = { "SANDBOX", "FUNCTION", "STATE",  "START",
					       "MEMORY",  "UNSHARED", "SERVED", "CREATED",
					       "USED",    "PID",      NULL };
	_cleanup_table_ struct table table = { .headers = headers };
	_cleanup_message_ Mayfly__V1__ListSandboxesResponse *list = NULL;
	Mayfly__V1__ListSandboxesRequest request = MAYFLY__V1__LIST_SANDBOXES_REQUEST__INIT;

	request.function_name = (char *)operand(arguments, 0);
	int r = client_node_list_sandboxes(context->client, &request, &list, &context->error);
	if (r < 0)
		return r;
	json_t *sandboxes = json_array();
	for (size_t i = 0; i < list->n_sandboxes; i++) {
		add(&table, list->sandboxes[i]);
		(void)json_array_append_new(sandboxes, json_from_sandbox(list->sandboxes[i]));
	}
	if (context->json)
		return output_json(json_pack("{s:o}", "Sandboxes", sandboxes));
	json_decref(sandboxes);
	table_print(&table);
	return 0;
}

const struct verb verb_sandboxes = {
	.name = "sandboxes",
	.operands = "[FUNCTION]",
	.max = 1,
	.summary = "List the microVMs that serve functions",
	.help = "Examples:\n"
		"  mayfly sandboxes\n"
		"  mayfly sandboxes area --output json\n",
	.run = run,
};
