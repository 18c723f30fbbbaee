/* SPDX-License-Identifier: Apache-2.0 */

/* A server of lib/rpc for clients that are not ours: FunctionService.Get gives the name back,
 * or fails for the name "missing". Prints its addresses, ends when standard input does. Callers
 * with an "authorization" are known. Arguments are limits: connections=16. */

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

static int greet(struct rpc_call *call, void *user _unused_, struct error *e _unused_)
{
	if (rpc_call_metadata(call, "authorization").data)
		rpc_call_vouch(call, rpc_call_metadata(call, "authorization"));
	return 0;
}

static void set_limit(struct rpc_limits *limits, const char *argument)
{
	const struct {
		const char *name;
		unsigned *value;
	} all[] = {
		{ "connections=", &limits->connections },
		{ "connections_per_address=", &limits->connections_per_address },
		{ "idle_s=", &limits->idle_s },
		{ "calls=", &limits->calls },
		{ "receiving_mb=", &limits->receiving_mb },
		{ "receive_s=", &limits->receive_s },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (strncmp(argument, all[i].name, strlen(all[i].name)) == 0)
			*all[i].value = (unsigned)strtoul(strchr(argument, '=') + 1, NULL, 10);
}

int main(int argc, char **argv)
{
	struct rpc_server_options options = { .greet = greet };
	void *state = NULL;

	for (int i = 1; i < argc; i++)
		set_limit(&options.limits, argv[i]);
	(void)harness_setup_with(&state, &options);
	struct harness *h = state;
	harness_set(h, answer, 0);
	(void)printf("%s %s\n", h->address, h->tcp);
	(void)fflush(stdout);
	while (getchar() != EOF)
		;
	(void)harness_teardown(&state);
	return 0;
}
