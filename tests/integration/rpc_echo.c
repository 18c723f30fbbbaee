/* SPDX-License-Identifier: Apache-2.0 */

/* A server of lib/rpc for clients that are not ours: FunctionService.Get gives the name back,
 * or fails for the name "missing". Prints its addresses, ends when standard input does. */

#include "../unit/rpc_harness.h"

static void answer(struct harness *h, struct rpc_call *call,
		   const Mayfly__V1__GetFunctionRequest *request)
{
	_cleanup_error_ struct error e = ERROR_INIT;

	if (strcmp(request->function_name, "missing") != 0) {
		harness_echo(h, call, request);
		return;
	}
	(void)error_set(&e, ERROR_NOT_FOUND, "function_name", "Function not found: %s",
			request->function_name);
	rpc_call_fail(call, &e);
}

int main(void)
{
	void *state = NULL;

	(void)harness_setup(&state);
	struct harness *h = state;
	harness_set(h, answer, 0);
	(void)printf("%s %s\n", h->address, h->tcp);
	(void)fflush(stdout);
	while (getchar() != EOF)
		;
	(void)harness_teardown(&state);
	return 0;
}
