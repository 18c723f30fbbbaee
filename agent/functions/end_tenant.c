/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/functions/end_tenant.h"

#include "agent/functions/text.h"

#define FIELD   "tenant_id"
#define PATH    "tenantId"
#define PATTERN "[a-zA-Z0-9\\._:\\/=+\\-@ ]+"

static bool is_id_character(char c)
{
	return is_letter(c) || is_digit(c) || (c && strchr("._:/=+-@ ", c));
}

static int check_shape(const char *id, struct error *error)
{
	if (strnlen(id, END_TENANT_MAX + 1) > END_TENANT_MAX)
		return text_refuse_length(error, FIELD, PATH, id, END_TENANT_MAX);
	for (const char *c = id; *c; c++)
		if (!is_id_character(*c))
			return text_refuse_pattern(error, FIELD, PATH, id, PATTERN);
	return 0;
}

int end_tenant_check(const char *id, const struct function_config *config, struct error *error)
{
	bool is_given = id && id[0];
	int r = is_given ? check_shape(id, error) : 0;

	if (r < 0 || is_given == (config->tenancy == TENANCY_PER_TENANT))
		return r;
	if (is_given)
		return error_set(error, ERROR_INVALID_PARAMETER, FIELD,
				 "The invoked function is not enabled with tenancy configuration. "
				 "Remove the tenant ID from your request and try again.");
	return error_set(error, ERROR_INVALID_PARAMETER, FIELD,
			 "The invoked function is enabled with tenancy configuration. Add a valid "
			 "tenant ID in your request and try again.");
}
