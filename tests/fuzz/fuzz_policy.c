/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_functions mayfly_base

/* Input: the fields of a permission, a line each. A statement that is taken is JSON in one line of
 * at most the policy's size, and one with a condition lets nobody in. */

#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/functions/policy.h"

#define ARN    "arn:aws:lambda:us-east-1:123456789012:function:f"
#define FIELDS 8

static void check(const struct policy *policy)
{
	const struct policy_statement *statement = &policy->statements[0];
	static const struct policy_caller caller = { "210987654321", "ann", false, true };
	char *text = policy_json(policy, ARN);
	json_t *json = text ? json_loads(text, 0, NULL) : NULL;
	json_t *condition =
		json_object_get(json_array_get(json_object_get(json, "Statement"), 0), "Condition");
	struct policy *copy = NULL;

	if (!json || strchr(text, '\n') || strlen(text) > POLICY_MAX_BYTES)
		abort();
	if (condition && policy_grants(policy, statement->action, &caller))
		abort();
	if (policy_copy(policy, &copy) < 0 || !policy_find(copy, statement->sid))
		abort();
	policy_free(copy);
	json_decref(json);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *rest, *field[FIELDS];
	struct policy *policy = NULL;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	rest = text;
	for (size_t i = 0; i < FIELDS; i++) {
		char *found = rest ? strsep(&rest, "\n") : NULL;

		field[i] = found ? found : text + size;
	}
	const struct policy_request request = { .sid = field[0],
						.action = field[1],
						.principal = field[2],
						.source_arn = field[3],
						.source_account = field[4],
						.event_source_token = field[5],
						.principal_org_id = field[6],
						.function_url_auth_type = field[7] };
	if (policy_add(NULL, &request, ARN, &policy, NULL) == 0)
		check(policy);
	policy_free(policy);
	free(text);
	return 0;
}
