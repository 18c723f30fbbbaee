/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The options that describe a function, shared by create and update-configuration. */

#include <jansson.h>

#include "cli/verb.h"
#include "mayfly/buf.h"

/* What the options say. Start zeroed, end with function_options_clear(). */
struct function_options {
	bool has_memory, has_timeout, has_storage, has_environment;
	uint64_t memory_mb, timeout_s, storage_mb;
	Mayfly__V1__EnvironmentVariable *variables; /* owned array; texts borrowed from json */
	Mayfly__V1__EnvironmentVariable **pointers; /* owned */
	size_t n_variables;
	bool has_snap_start, has_logging, has_tenancy, has_dead_letters;
	Mayfly__V1__SnapStart snap_start;
	Mayfly__V1__TenancyConfig tenancy; /* of create */
	Mayfly__V1__LoggingConfig logging;
	Mayfly__V1__DeadLetterConfig dead_letters;
	json_t *environment_json, *logging_json, *dead_letters_json; /* owned */
	bool has_layers;
	char **layers; /* owned */
	size_t n_layers;
	struct buf zip; /* owned */
};

#define FUNCTION_CONFIGURATION_OPTIONS                                                             \
	{ "function-name", 0, OPTION_TEXT, "NAME", "instead of the operand NAME" },                \
		{ "runtime", 0, OPTION_CHOICE, "python3.13|nodejs20.x|provided.al2023",            \
		  "language" },                                                                    \
		{ "handler", 0, OPTION_TEXT, "FILE.FUNCTION", "what to call" },                    \
		{ "memory-size", 0, OPTION_TEXT, "MB",                                             \
		  "128 to 10240; decides the CPU share too" },                                     \
		{ "timeout", 0, OPTION_TEXT, "SECONDS", "1 to 900" },                              \
		{ "description", 0, OPTION_TEXT, "TEXT", "for people" },                           \
		{ "environment", 0, OPTION_TEXT, "Variables={K=V,...}", "variables, or JSON" },    \
		{ "ephemeral-storage", 0, OPTION_TEXT, "MB",                                       \
		  "size of /tmp: 512 to 10240, or Size=MB" },                                      \
		{ "snap-start", 0, OPTION_TEXT, "ApplyOn=WHAT",                                    \
		  "None, PublishedVersions or Latest" },                                           \
		{ "layers", 0, OPTION_LIST, "ARN...",                                              \
		  "layer versions, later over earlier; [] for none" },                             \
		{ "dead-letter-config", 0, OPTION_TEXT, "TargetArn=ARN",                           \
		  "the queue for events that fail for good; empty: none" },                        \
		{ "log-format", 0, OPTION_CHOICE, "Text|JSON", "of the function's log" },          \
	{                                                                                          \
		"logging-config", 0, OPTION_TEXT, "LogFormat=...,...",                             \
			"LogFormat, LogGroup, ApplicationLogLevel, SystemLogLevel"                 \
	}

#define FUNCTION_CODE_OPTIONS                                                                      \
	{ "zip", 0, OPTION_FILE, "FILE", "the package" },                                          \
		{ "zip-file", 0, OPTION_FILE, "fileb://FILE",                                      \
		  "the same, as the aws command has it" },                                         \
	{                                                                                          \
		"dir", 0, OPTION_FILE, "FOLDER", "make the package of this folder"                 \
	}

#define FUNCTION_PUBLISH_OPTION                                                                    \
	{                                                                                          \
		"publish", 0, OPTION_FLAG, NULL, "publish a version too, and show that"            \
	}

#define FUNCTION_WAIT_OPTIONS                                                                      \
	{ "wait", 0, OPTION_FLAG, NULL, "wait until it is ready (this is the default)" },          \
	{                                                                                          \
		"no-wait", 0, OPTION_FLAG, NULL, "answer as soon as the change is durable"         \
	}

int function_options_parse(const struct arguments *arguments, struct function_options *ret,
			   struct error *e) _must_use_;

/* --tenancy-config, which create alone has. */
int function_options_parse_tenancy(const struct arguments *arguments, struct function_options *ret,
				   struct error *e) _must_use_;

/* Reads --zip, --zip-file or --dir into ret->zip; one of them must be given. */
int function_options_read_code(const struct arguments *arguments, struct function_options *ret,
			       struct error *e) _must_use_;

void function_options_clear(struct function_options *options);
#define _cleanup_function_options_ _cleanup_(function_options_clear)

/* Waits, showing progress, until the function is neither Pending nor being updated; *function
 * is replaced by the last one seen. Fails when it ended Failed. */
int function_wait(struct context *context, Mayfly__V1__Function **function) _must_use_;

/* Prints one function, as a list of fields or as JSON. */
int function_print(const struct context *context, const Mayfly__V1__Function *function) _must_use_;
