/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/access_key_output.h"
#include "cli/output.h"
#include "cli/verbs.h"

static void add(struct table *table, const Mayfly__V1__AccessKey *key)
{
	bool is_active = key->state == MAYFLY__V1__ACCESS_KEY_STATE__ACCESS_KEY_STATE_ACTIVE;
	char age[TEXT_BYTES], expiry[TEXT_BYTES + 8];

	table_cell(table, "%s", key->access_key_id);
	table_cell(table, "%s", key->user);
	table_cell(table, "%s", name_of_role((int)key->role));
	table_cell(table, "%s", is_active ? "Active" : "Inactive");
	table_cell(table, "%s", text_age(key->created_at_us, age));
	table_cell(table, "%s", text_expiry(key->expires_at_us, expiry, sizeof(expiry)));
}

static int run(struct context *context, const struct arguments *arguments _unused_)
{
	static const char *const headers[] = { "ACCESS KEY", "USER",    "ROLE", "STATE",
					       "CREATED",    "EXPIRES", NULL };
	Mayfly__V1__ListAccessKeysRequest request = MAYFLY__V1__LIST_ACCESS_KEYS_REQUEST__INIT;
	_cleanup_message_ Mayfly__V1__ListAccessKeysResponse *list = NULL;
	_cleanup_table_ struct table table = { .headers = headers };
	_cleanup_json_ json_t *keys = json_array();

	int r = client_access_key_list(context->client, &request, &list, &context->error);
	if (r < 0)
		return r;
	for (size_t i = 0; i < list->n_access_keys; i++) {
		add(&table, list->access_keys[i]);
		(void)json_array_append_new(keys, access_key_json(list->access_keys[i]));
	}
	if (context->json)
		return output_json(json_pack("{s:O}", "AccessKeys", keys));
	table_print(&table);
	return 0;
}

const struct verb verb_access_key_list = {
	.name = "access-key list",
	.operands = "",
	.summary = "List the access keys of a tenant",
	.help = "Example:\n"
		"  mayfly access-key list --tenant 210987654321\n",
	.run = run,
};
