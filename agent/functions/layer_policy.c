/* SPDX-License-Identifier: Apache-2.0 */

/* The policy of a layer version: which other tenants may give it to their functions. */

#include <string.h>

#include "agent/functions/layer.h"
#include "agent/functions/text.h"

#define ACTION            "lambda:GetLayerVersion"
#define PRINCIPAL_PATTERN "\\d{12}|\\*|arn:(aws[a-zA-Z-]*):iam::\\d{12}:root"

/* The form of the ARN itself is for the policy's own rules. */
static bool may_be_principal(const char *text)
{
	size_t len = strlen(text);

	return strcmp(text, "*") == 0 || tenant_id_is_valid(text) ||
	       (strncmp(text, "arn:aws", 7) == 0 && len > 5 &&
		strcmp(text + len - 5, ":root") == 0);
}

int layer_validate_permission(const struct policy_request *request, struct error *error)
{
	if (strcmp(request->action, ACTION) != 0)
		return text_refuse_pattern(error, "action", "action", request->action, ACTION);
	if (!may_be_principal(request->principal))
		return text_refuse_pattern(error, "principal", "principal", request->principal,
					   PRINCIPAL_PATTERN);
	return 0;
}

bool layer_version_is_shared_with(const struct layer_version *version, const char *tenant)
{
	const struct policy_caller caller = { .tenant = tenant, .user = "", .may_at_home = true };

	return policy_grants(version->policy, ACTION, &caller);
}
