/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/api_context.h"

#include <errno.h>
#include <string.h>

int api_resolve_tenant(const struct api_context *context, const char *tenant, const char **ret,
		       struct error *error)
{
	if (tenant[0] && !tenant_id_is_valid(tenant))
		return error_set(error, ERROR_INVALID_PARAMETER, "tenant",
				 "The tenant must be empty or an account id of 12 digits.");
	*ret = tenant[0] ? tenant : context->tenant;
	if (context->tenants ? tenants_find(context->tenants, *ret) != NULL
			     : strcmp(*ret, context->tenant) == 0)
		return 0;
	return tenant_set_not_found(*ret, error);
}

int api_parse_unqualified(const struct api_context *context, const char *text, const char *tenant,
			  struct function_reference *ret, struct error *error)
{
	int r = function_parse_reference(text, NULL, context->region, tenant, ret, error);

	if (r < 0)
		return r;
	if (ret->has_qualifier)
		return error_set(
			error, ERROR_INVALID_PARAMETER, "function_name",
			"This operation is permitted on Lambda functions only. Aliases and "
			"versions do not support this operation. Please specify either a "
			"function name or an unqualified function ARN.");
	return 0;
}

int api_refuse_memory(struct error *error)
{
	return error_set_errno(error, ENOMEM, "Cannot take the request");
}
