/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/output.h"
#include "cli/tenant_output.h"
#include "cli/verbs.h"

static void add(struct table *table, json_t *list, const Mayfly__V1__Tenant *t)
{
	char age[TEXT_BYTES];

	(void)json_array_append_new(list, tenant_json(t));
	table_cell(table, "%s%s", t->tenant, t->is_default ? " (default)" : "");
	table_cell(table, "%s", *t->name ? t->name : "-");
	table_cell(table, "%s", name_of_tenant_state((int)t->state));
	table_cell(table, "%u", t->functions);
	table_cell(table, "%u", tenant_weight_of(t));
	table_cell(table, "%s", text_age(t->created_at_us, age));
}

static int add_all(struct context *context, struct table *table, json_t *list)
{
	char marker[32] = "";

	do {
		_cleanup_message_ Mayfly__V1__ListTenantsResponse *page = NULL;
		Mayfly__V1__ListTenantsRequest request = MAYFLY__V1__LIST_TENANTS_REQUEST__INIT;

		request.marker = marker;
		int r = client_tenant_list(context->client, &request, &page, &context->error);
		if (r < 0)
			return r;
		for (size_t i = 0; i < page->n_tenants; i++)
			add(table, list, page->tenants[i]);
		(void)snprintf(marker, sizeof(marker), "%s", page->next_marker);
	} while (marker[0]);
	return 0;
}

static int run(struct context *context, const struct arguments *arguments _unused_)
{
	static const char *const headers[] = { "TENANT", "NAME",    "STATE", "FUNCTIONS",
					       "WEIGHT", "CREATED", NULL };
	_cleanup_table_ struct table table = { .headers = headers };
	_cleanup_json_ json_t *list = json_array();

	int r = add_all(context, &table, list);
	if (r < 0)
		return r;
	if (context->json)
		return output_json(json_pack("{s:O}", "Tenants", list));
	table_print(&table);
	return 0;
}

const struct verb verb_tenant_list = {
	.name = "tenant list",
	.operands = "",
	.summary = "List tenants",
	.help = "Examples:\n"
		"  mayfly tenant list\n"
		"  mayfly tenant list --output json\n",
	.run = run,
};
