/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Functions between the domain and the public protocol. */

#include "agent/functions/function.h"
#include "mayfly/v1/function.pb-c.h"

/* A message with its own memory beside what it borrows from the function. Encoded in place: it
 * must not move. */
struct function_message {
	Mayfly__V1__Function message;
	Mayfly__V1__SnapStart snap_start;
	Mayfly__V1__TenancyConfig tenancy;
	Mayfly__V1__LoggingConfig logging;
	Mayfly__V1__EnvironmentVariable *variables;
	Mayfly__V1__EnvironmentVariable **pointers;
	char *arn;
	char version[FUNCTION_VERSION_BYTES];
};

/* The ARN ends with `qualifier`, if that is not "". 0 or -ENOMEM; to be cleared after either. */
int function_message_encode(const struct function *function, const char *region,
			    const char *qualifier, struct function_message *to) _must_use_;
void function_message_clear(struct function_message *message);

/* What a request gives, borrowed from it, with the values that need a place of their own. Must not
 * move once decoded. */
struct decoded_patch {
	struct function_patch patch;
	struct environment_variable *environment;
	enum snap_start snap_start;
	enum tenancy tenancy;
	enum log_format log_format;
};

int decode_create(const Mayfly__V1__CreateFunctionRequest *request,
		  struct decoded_patch *to) _must_use_;
int decode_update(const Mayfly__V1__UpdateFunctionConfigurationRequest *request,
		  struct decoded_patch *to) _must_use_;
void decoded_patch_clear(struct decoded_patch *patch);
