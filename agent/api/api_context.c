/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/api_context.h"

#include <string.h>

#include "agent/functions/function.h"

int api_resolve_tenant(const struct api_context *context, const char *tenant, const char **ret,
		       struct error *error)
{
	if (tenant[0] && !tenant_id_is_valid(tenant))
		return error_set(error, ERROR_INVALID_PARAMETER, "tenant",
				 "The tenant must be empty or an account id of 12 digits.");
	if (tenant[0] && strcmp(tenant, context->tenant) != 0)
		return error_set(error, ERROR_ACCESS_DENIED, "tenant",
				 "The tenant %s is not known on this node.", tenant);
	*ret = context->tenant;
	return 0;
}
