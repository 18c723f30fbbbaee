/* SPDX-License-Identifier: Apache-2.0 */

/* What is checked before a function may run: the words are Lambda's. */

#include <errno.h>
#include <jansson.h>

#include "agent/account/budget.h"
#include "agent/deploy/alias_directory.h"
#include "agent/functions/end_tenant.h"
#include "agent/invoke/invocation_internal.h"
#include "mayfly/clock.h"

static int check_client_context(struct slice context, struct error *error)
{
	json_t *json;
	bool is_object;

	if (context.len == 0)
		return 0;
	if ((context.len + 2) / 3 * 4 > INVOCATION_CLIENT_CONTEXT_MAX_BYTES)
		return error_set(error, ERROR_REQUEST_TOO_LARGE, "client_context",
				 "Client context must be at most %d bytes in base64.",
				 INVOCATION_CLIENT_CONTEXT_MAX_BYTES);
	json = json_loadb((const char *)context.data, context.len, 0, NULL);
	is_object = json_is_object(json);
	json_decref(json);
	if (is_object)
		return 0;
	return error_set(error, ERROR_INVALID_REQUEST_CONTENT, "client_context",
			 "Client context must be a valid Base64-encoded JSON object.");
}

int admission_parse_payload(struct slice payload, struct error *error)
{
	json_error_t where;
	int r;
	json_t *json =
		json_loadb((const char *)payload.data, payload.len,
			   JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &where);

	/* A number beyond a double is JSON all the same; what it means is the runtime's business.
	 */
	if (json || json_error_code(&where) == json_error_numeric_overflow) {
		json_decref(json);
		return 0;
	}
	if (json_error_code(&where) == json_error_out_of_memory)
		return error_set_errno(error, ENOMEM, "Cannot check the event");
	r = error_set(error, ERROR_INVALID_REQUEST_CONTENT, "payload",
		      "Could not parse request body into json: Could not parse payload into "
		      "json: %s, at [line: %d, column: %d]",
		      where.text, where.line, where.column);
	error_set_log(error, /* the text has a part of the payload */
		      "Could not parse payload into json, at [line: %d, column: %d]", where.line,
		      where.column);
	return r;
}

/* Which version runs: once per invocation, whatever becomes of alias and function meanwhile. */
static int choose_version(struct invocation *invocation, const char *tenant,
			  const struct function_reference *reference)
{
	const struct invoker *invoker = invocation->invoker;
	const char *qualifier = reference->has_qualifier ? reference->qualifier : FUNCTION_LATEST;
	const struct alias *alias =
		directory_find_alias(invoker->directory, tenant, reference->name, qualifier);
	const struct function *function;

	if (alias) {
		function_version_name(alias_choose(alias, invoker->draw(invoker->draw_arg)),
				      invocation->version_name);
		return 0;
	}
	function = directory_find_qualified(invoker->directory, tenant, reference->name, qualifier);
	if (!function)
		return directory_set_not_found(invoker->directory, tenant, reference->name,
					       qualifier, &invocation->error);
	function_version_name(function->version, invocation->version_name);
	return 0;
}

static int check_size(const struct invocation_request *request, struct error *error)
{
	bool is_event = request->type == INVOCATION_EVENT;
	int max = is_event ? INVOCATION_EVENT_MAX_BYTES : INVOCATION_PAYLOAD_MAX_BYTES;

	if (request->payload.len <= (size_t)max)
		return 0;
	return error_set(error, ERROR_REQUEST_TOO_LARGE, "payload",
			 "%zu byte payload is too large for the %s invocation type (limit %d "
			 "bytes)",
			 request->payload.len, is_event ? "Event" : "RequestResponse", max);
}

int admission_check(struct invocation *invocation)
{
	const struct invocation_request *request = &invocation->request;
	struct invoker *invoker = invocation->invoker;
	struct error *error = &invocation->error;
	struct function_reference reference;
	const char *tenant = request->tenant;
	const char *qualifier = request->qualifier ? request->qualifier : "";
	int r;

	if (!tenant || tenant[0] == '\0')
		tenant = invoker->default_tenant;
	r = function_parse_reference(request->function_name ? request->function_name : "",
				     qualifier, invoker->region, tenant, &reference, error);
	if (r < 0)
		return r;
	r = choose_version(invocation, tenant, &reference);
	if (r < 0)
		return r;
	invocation->tenant = strdup(tenant);
	invocation->function_name = strdup(reference.name);
	invocation->arn = function_arn(invoker->region, tenant, reference.name,
				       reference.has_qualifier ? reference.qualifier : NULL);
	if (!invocation->tenant || !invocation->function_name || !invocation->arn)
		return error_set_errno(error, ENOMEM, "Cannot take the invocation");
	(void)snprintf(invocation->qualifier, sizeof(invocation->qualifier), "%s",
		       reference.qualifier);
	r = check_size(request, error);
	if (r < 0)
		return r;
	r = trace_id_check(request->trace_id, error);
	return r < 0 ? r : check_client_context(request->client_context, error);
}

/* A provisioned place first, if one is free: the sandbox is bound before the loop turns. */
int admission_take(struct invocation *invocation)
{
	struct invoker *invoker = invocation->invoker;
	const struct function *function =
		directory_find_qualified(invoker->directory, invocation->tenant,
					 invocation->function_name, invocation->version_name);
	unsigned wanted = 0;
	int r = account_check_budgets(invoker->account, invocation->tenant,
				      invocation->function_name, &invocation->error);

	if (r < 0)
		return r;
	if (function && pool_has_provisioned(invoker->pool, function, &wanted))
		return concurrency_take_provisioned(invoker->concurrency, invocation->tenant,
						    invocation->function_name, clock_monotonic_us(),
						    &invocation->grant, &invocation->error);
	invocation->spilled_over = wanted > 0;
	return concurrency_take(
		invoker->concurrency, invocation->tenant, invocation->function_name,
		pool_count_sandboxes(invoker->pool, invocation->tenant, invocation->function_name),
		clock_monotonic_us(), &invocation->grant, &invocation->error);
}

int admission_find(struct invocation *invocation, const struct function **ret)
{
	struct error *error = &invocation->error;
	const struct function *function =
		directory_find_qualified(invocation->invoker->directory, invocation->tenant,
					 invocation->function_name, invocation->version_name);

	if (!function)
		return directory_set_not_found(invocation->invoker->directory, invocation->tenant,
					       invocation->function_name, invocation->version_name,
					       error);
	if (function->state != FUNCTION_ACTIVE)
		return error_set(error, ERROR_CONFLICT, NULL,
				 "The operation cannot be performed at this time. The function is "
				 "currently in the following state: %s",
				 function_state_name(function->state));
	*ret = function;
	return end_tenant_check(invocation->request.end_tenant, &function->config, error);
}
