/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the verbs of aliases share: FUNCTION and NAME, the weights, and how an alias is printed. */

#include <jansson.h>

#include "cli/verb.h"

#define ALIAS_NAME_OPTIONS                                                                         \
	{ "function-name", 0, OPTION_TEXT, "FUNCTION", "instead of the operand FUNCTION" },        \
	{                                                                                          \
		"name", 0, OPTION_TEXT, "NAME", "instead of the operand NAME"                      \
	}

#define ALIAS_SETTING_OPTIONS                                                                      \
	{ "function-version", 0, OPTION_TEXT, "VERSION", "a number or $LATEST" },                  \
		{ "description", 0, OPTION_TEXT, "TEXT", "for people" },                           \
	{                                                                                          \
		"routing-config", 0, OPTION_TEXT, "AdditionalVersionWeights={N=W}",                \
			"version N runs with probability W; empty clears it"                       \
	}

/* The alias's name: second operand or --name. */
int alias_name(const struct arguments *arguments, char **ret, struct error *e) _must_use_;

/* Start zeroed, end with alias_routing_clear(). Its message refers to it: must not move. */
struct alias_routing {
	Mayfly__V1__AliasRoutingConfiguration message;
	Mayfly__V1__AliasRoutingConfiguration__AdditionalVersionWeightsEntry *weights;
	Mayfly__V1__AliasRoutingConfiguration__AdditionalVersionWeightsEntry **pointers;
	json_t *json; /* owns the texts */
};

/* *ret_message is NULL when --routing-config was not given. */
int alias_routing_parse(const struct arguments *arguments, struct alias_routing *routing,
			Mayfly__V1__AliasRoutingConfiguration **ret_message,
			struct error *e) _must_use_;
void alias_routing_clear(struct alias_routing *routing);
#define _cleanup_alias_routing_ _cleanup_(alias_routing_clear)

/* "2=0.1", or "" of an alias without a second version. */
const char *alias_routing_text(const Mayfly__V1__Alias *alias, char *out, size_t bytes);

/* Prints one alias, as a list of fields or as JSON. */
int alias_print(const struct context *context, const Mayfly__V1__Alias *alias) _must_use_;
