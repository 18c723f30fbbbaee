/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Functions between the domain and the public protocol. */

#include "agent/functions/layer.h"
#include "mayfly/v1/function.pb-c.h"

/* A message with its own memory beside what it borrows from the function. Encoded in place: it
 * must not move. */
struct function_message {
	Mayfly__V1__Function message;
	Mayfly__V1__SnapStart snap_start;
	Mayfly__V1__TenancyConfig tenancy;
	Mayfly__V1__LoggingConfig logging;
	Mayfly__V1__DeadLetterConfig dead_letters;
	Mayfly__V1__EnvironmentVariable *variables;
	Mayfly__V1__EnvironmentVariable **pointers;
	Mayfly__V1__FunctionLayer layers[LAYERS_OF_FUNCTION_MAX];
	Mayfly__V1__FunctionLayer *layer_pointers[LAYERS_OF_FUNCTION_MAX];
	char *arn;
	char version[FUNCTION_VERSION_BYTES];
};

/* The ARN ends with `qualifier`, if that is not "". 0 or -ENOMEM; to be cleared after either. */
int function_message_encode(const struct function *function, const char *region,
			    const char *qualifier, struct function_message *to) _must_use_;
void function_message_clear(struct function_message *message);

/* What only the answer of Get has, in memory that the message borrows. */
struct function_tags {
	Mayfly__V1__Function__TagsEntry tags[TAGS_MAX];
	Mayfly__V1__Function__TagsEntry *pointers[TAGS_MAX];
};
void function_message_add_tags(const struct function *function, struct function_tags *memory,
			       struct function_message *to);

/* What a request gives, borrowed from it, with the values that need a place of their own. Must not
 * move once decoded. */
struct decoded_patch {
	struct function_patch patch;
	struct environment_variable *environment;
	enum snap_start snap_start;
	enum tenancy tenancy;
	enum log_format log_format;
	struct tag *tags; /* of Create */
	size_t tag_count;
};

int decode_create(const Mayfly__V1__CreateFunctionRequest *request,
		  struct decoded_patch *to) _must_use_;
int decode_update(const Mayfly__V1__UpdateFunctionConfigurationRequest *request,
		  struct decoded_patch *to) _must_use_;
void decoded_patch_clear(struct decoded_patch *patch);
