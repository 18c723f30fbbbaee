/* SPDX-License-Identifier: Apache-2.0 */

#include "mayfly/function_error.h"

#include "mayfly/cleanup.h"

#define OF_ID "RequestId: ID Error: "

static const struct function_error_kind kinds[] = {
	/* The platform's. */
	{ "Sandbox.Timedout", OF_ID "Task timed out after 3.00 seconds",
	  "The function, or its INIT repeated within the invocation, ran for longer than its "
	  "timeout." },
	{ "Sandbox.Failure", OF_ID "The sandbox ended before the function's response was complete",
	  "The microVM ended or failed with the event in it. The function may have run." },
	{ "Runtime.ExitError", OF_ID "Runtime exited with error: exit status 1",
	  "The runtime process ended; also `signal: killed`, as when memory ran out, and `Runtime "
	  "exited without providing a reason`." },
	{ "Runtime.InvalidEntrypoint", "",
	  "There is no executable `bootstrap`, or the runtime cannot be started." },
	{ "Runtime.TruncatedResponse", "Truncated response",
	  "The runtime ended its request to the Runtime API in the midst of a response." },
	{ "Runtime.InvalidResponseModeHeader", "Invalid function response mode",
	  "`Lambda-Runtime-Function-Response-Mode` is neither `buffered` nor `streaming`." },
	{ "Function.ResponseSizeTooLarge",
	  "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
	  "The response is over its limit; 209715200 bytes when it is streamed." },
	{ "Runtime.Unknown", "",
	  "In logs and at the end of streams, for a type that is none of Lambda's." },
	{ "Function.Unknown", "", "The same, for a type that begins with `Function.`." },
	/* The runtimes'. */
	{ "Runtime.ImportModuleError", "", "The handler's module, or what it needs, is missing." },
	{ "Runtime.UserCodeSyntaxError", "", "The handler's module cannot be parsed." },
	{ "Runtime.MalformedHandlerName", "",
	  "The handler setting is not of the form `FILE.NAME`." },
	{ "Runtime.HandlerNotFound", "", "The module has no such handler, or it is no function." },
	{ "Runtime.UnmarshalError", "", "The runtime cannot read the event." },
	{ "Runtime.MarshalError", "", "The handler's result cannot be made JSON." },
	{ "Runtime.UnhandledPromiseRejection", "", "Node.js: nobody handled a rejected promise." },
	{ "Runtime.MalformedStreamingHandler", "", "Node.js: `streamifyResponse` of no function." },
	{ "Runtime.InvalidStreamingOperation", "",
	  "Node.js: a streamed response used out of turn." },
	{ "Runtime.BeforeSnapshotError", "", "SnapStart: a hook before the snapshot failed." },
	{ "Runtime.AfterRestoreError", "", "SnapStart: a hook after the restore failed." },
};

const struct function_error_kind *function_error_kind(size_t index)
{
	return index < ARRAY_SIZE(kinds) ? &kinds[index] : NULL;
}
