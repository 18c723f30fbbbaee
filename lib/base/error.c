/* SPDX-License-Identifier: Apache-2.0 */

#include "mayfly/error.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

/* google.rpc.Code numbers, as in google/rpc/code.proto. */
enum {
	GRPC_CANCELLED = 1,
	GRPC_INVALID_ARGUMENT = 3,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_NOT_FOUND = 5,
	GRPC_ABORTED = 10, /* the state forbids it now */
	GRPC_PERMISSION_DENIED = 7,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_FAILED_PRECONDITION = 9,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_INTERNAL = 13,
	GRPC_UNAVAILABLE = 14,
	GRPC_UNAUTHENTICATED = 16,
};

static const struct error_kind kinds[_ERROR_CODE_MAX] = {
	[ERROR_NONE] = { "None", 0, 200, "", 0, 0, "No error." },
	[ERROR_INVALID_PARAMETER] = { "InvalidParameterValueException", GRPC_INVALID_ARGUMENT, 400,
				      "User", EINVAL, 2, "A field of the request breaks a rule." },
	[ERROR_INVALID_REQUEST_CONTENT] = { "InvalidRequestContentException", GRPC_INVALID_ARGUMENT,
					    400, "User", EBADMSG, 2,
					    "The event is not valid JSON." },
	[ERROR_REQUEST_TOO_LARGE] = { "RequestTooLargeException", GRPC_INVALID_ARGUMENT, 413,
				      "User", E2BIG, 2,
				      "The event or the package is over its limit." },
	[ERROR_NOT_FOUND] = { "ResourceNotFoundException", GRPC_NOT_FOUND, 404, "User", ENOENT, 3,
			      "No such tenant, function, template, log group or stream." },
	[ERROR_PROVISIONED_NOT_FOUND] = { "ProvisionedConcurrencyConfigNotFoundException",
					  GRPC_NOT_FOUND, 404, "User", ENODATA, 3,
					  "The version or alias has no provisioned concurrency." },
	[ERROR_CONFLICT] = { "ResourceConflictException", GRPC_ABORTED, 409, "User", EEXIST, 4,
			     "It exists already, or its state forbids the operation now." },
	[ERROR_PRECONDITION_FAILED] = { "PreconditionFailedException", GRPC_FAILED_PRECONDITION,
					412, "User", ESTALE, 4,
					"The revision id given is not the current one." },
	[ERROR_CODE_STORAGE_EXCEEDED] = { "CodeStorageExceededException", GRPC_RESOURCE_EXHAUSTED,
					  400, "User", EDQUOT, 2,
					  "The tenant's storage for code is full." },
	[ERROR_POLICY_LENGTH_EXCEEDED] = { "PolicyLengthExceededException", GRPC_RESOURCE_EXHAUSTED,
					   400, "User", EFBIG, 2,
					   "The function's policy would be over 20 KiB." },
	[ERROR_INVALID_ZIP] = { "InvalidZipFileException", GRPC_INVALID_ARGUMENT, 400, "User",
				EILSEQ, 2, "The package cannot be unpacked safely." },
	[ERROR_TOO_MANY_REQUESTS] = { "TooManyRequestsException", GRPC_RESOURCE_EXHAUSTED, 429,
				      "User", EAGAIN, 5,
				      "A limit of concurrency, rate or open streams, a budget "
				      "that is used up, or too much that waits." },
	[ERROR_RESOURCE_NOT_READY] = { "ResourceNotReadyException", GRPC_UNAVAILABLE, 502,
				       "Service", EBUSY, 6,
				       "The function cannot be started at this time." },
	[ERROR_SNAPSTART_FAILED] = { "SnapStartException", GRPC_FAILED_PRECONDITION, 400, "User",
				     EPROTO, 6, "The function's snapshot could not be made." },
	[ERROR_SNAPSTART_NOT_READY] = { "SnapStartNotReadyException", GRPC_ABORTED, 409, "User",
					EALREADY, 4, "The function's snapshot is being made." },
	[ERROR_ACCESS_DENIED] = { "AccessDeniedException", GRPC_PERMISSION_DENIED, 403, "User",
				  EACCES, 7, "The caller may not do this." },
	[ERROR_UNAUTHENTICATED] = { "UnrecognizedClientException", GRPC_UNAUTHENTICATED, 403,
				    "User", EPERM, 7, "The caller is not known." },
	[ERROR_UNIMPLEMENTED] = { "UnknownOperationException", GRPC_UNIMPLEMENTED, 404, "User",
				  ENOSYS, 2, "No such method." },
	[ERROR_UNAVAILABLE] = { "ServiceUnavailableException", GRPC_UNAVAILABLE, 503, "Service",
				ECONNREFUSED, 6, "The node cannot serve now; try again." },
	[ERROR_DEADLINE_EXCEEDED] = { "DeadlineExceededException", GRPC_DEADLINE_EXCEEDED, 504,
				      "Service", ETIMEDOUT, 6,
				      "The caller's deadline passed before an answer." },
	[ERROR_CANCELLED] = { "RequestCancelledException", GRPC_CANCELLED, 499, "User", ECANCELED,
			      130, "The caller went away." },
	[ERROR_INTERNAL] = { "ServiceException", GRPC_INTERNAL, 500, "Service", EIO, 1,
			     "The node failed; its log says more." },
};

const struct error_kind *error_kind(enum error_code code)
{
	if (code < 0 || code >= _ERROR_CODE_MAX)
		return &kinds[ERROR_INTERNAL];
	return &kinds[code];
}

enum error_code error_code_from_name(const char *name)
{
	for (unsigned i = 1; name && i < _ERROR_CODE_MAX; i++)
		if (strcmp(kinds[i].name, name) == 0)
			return (enum error_code)i;
	return ERROR_INTERNAL;
}

int error_set(struct error *e, enum error_code code, const char *field, const char *format, ...)
{
	int r = -error_kind(code)->errno_value;
	if (!e || e->code != ERROR_NONE)
		return r;

	va_list ap;
	va_start(ap, format);
	char *message = NULL;
	if (vasprintf(&message, format, ap) < 0)
		message = NULL; /* error_text() has a constant text for this */
	va_end(ap);

	*e = (struct error){ .code = code,
			     .field = field ? strdup(field) : NULL,
			     .message = message };
	return r;
}

int error_set_errno(struct error *e, int errno_value, const char *format, ...)
{
	int number = abs(errno_value);
	if (!e || e->code != ERROR_NONE)
		return -number;

	va_list ap;
	va_start(ap, format);
	_cleanup_free_ char *text = NULL;
	if (vasprintf(&text, format, ap) < 0)
		text = NULL;
	va_end(ap);

	char reason[128];
	(void)error_set(e, ERROR_INTERNAL, NULL, "%s: %s", text ? text : "out of memory",
			strerror_r(number, reason, sizeof(reason)));
	return -number;
}

void error_set_reason(struct error *e, const char *reason)
{
	if (!e || e->code == ERROR_NONE)
		return;
	free(e->reason);
	e->reason = strdup(reason);
}

void error_set_log(struct error *e, const char *format, ...)
{
	if (!e || e->code == ERROR_NONE)
		return;
	free(e->log);

	va_list ap;
	va_start(ap, format);
	if (vasprintf(&e->log, format, ap) < 0)
		e->log = strdup(""); /* rather than the message */
	va_end(ap);
}

/* Frees *text, which stays when memory is short. */
static void put_before(const char *context, char **text, const char *shown)
{
	char *longer = NULL;

	if (asprintf(&longer, "%s: %s", context, shown) < 0)
		return;
	free(*text);
	*text = longer;
}

void error_wrap(struct error *e, const char *format, ...)
{
	if (!e || e->code == ERROR_NONE)
		return;

	va_list ap;
	va_start(ap, format);
	_cleanup_free_ char *context = NULL;
	if (vasprintf(&context, format, ap) < 0)
		context = NULL;
	va_end(ap);

	if (!context)
		return;
	put_before(context, &e->message, error_text(e));
	if (e->log)
		put_before(context, &e->log, e->log);
}

void error_move(struct error *to, struct error *from)
{
	if (to) {
		error_clear(to);
		*to = *from;
	} else {
		error_clear(from);
	}
	*from = ERROR_INIT;
}

static int copy_text(char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return from && !*to ? -ENOMEM : 0;
}

int error_copy(struct error *to, const struct error *from)
{
	struct error copy = { .code = from->code };

	if (copy_text(&copy.field, from->field) < 0 ||
	    copy_text(&copy.message, from->message) < 0 ||
	    copy_text(&copy.reason, from->reason) < 0 || copy_text(&copy.log, from->log) < 0) {
		error_clear(&copy);
		return -ENOMEM;
	}
	*to = copy;
	return 0;
}

const char *error_text(const struct error *e)
{
	if (!e || e->code == ERROR_NONE)
		return "no error";
	return e->message ? e->message : error_kind(e->code)->help;
}

const char *error_log_text(const struct error *e)
{
	return e && e->log ? e->log : error_text(e);
}

void error_clear(struct error *e)
{
	if (!e)
		return;
	free(e->field);
	free(e->message);
	free(e->reason);
	free(e->log);
	*e = ERROR_INIT;
}
