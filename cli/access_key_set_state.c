/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/access_key_output.h"
#include "cli/verbs.h"

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__AccessKey *key = NULL;
	Mayfly__V1__SetAccessKeyStateRequest request =
		MAYFLY__V1__SET_ACCESS_KEY_STATE_REQUEST__INIT;
	bool active = strcmp(operand(arguments, 1), "active") == 0;

	if (!active && strcmp(operand(arguments, 1), "inactive") != 0)
		return error_set(&context->error, ERROR_INVALID_PARAMETER, "state",
				 "the state is active or inactive, not '%s'",
				 operand(arguments, 1));
	request.access_key_id = (char *)operand(arguments, 0);
	request.state = active ? MAYFLY__V1__ACCESS_KEY_STATE__ACCESS_KEY_STATE_ACTIVE
			       : MAYFLY__V1__ACCESS_KEY_STATE__ACCESS_KEY_STATE_INACTIVE;
	int r = client_access_key_set_state(context->client, &request, &key, &context->error);
	return r < 0 ? r : access_key_print(context, key);
}

const struct verb verb_access_key_set_state = {
	.name = "access-key set-state",
	.operands = "ID active|inactive",
	.min = 2,
	.max = 2,
	.summary = "Take an access key out of use, or back into it",
	.help = "Example:\n"
		"  mayfly access-key set-state AKIAQWERTYUIOPASDFGH inactive\n",
	.run = run,
};
