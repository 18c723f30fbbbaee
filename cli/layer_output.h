/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Layer versions as verbs show them. */

#include "cli/output.h"
#include "cli/verb.h"

json_t *json_from_layer_version(const Mayfly__V1__LayerVersion *version);

/* Prints one, as a list of fields or as JSON. */
int layer_print(const struct context *context, const Mayfly__V1__LayerVersion *version) _must_use_;

/* "a, b"; "" of none. */
const char *layer_join(char *const *texts, size_t count, char *out, size_t bytes);

/* A list of pages: rows for people, `member` for JSON. */
struct layer_listing {
	struct table table;
	json_t *items; /* owned */
	uint64_t left; /* how many more are wanted */
	char marker[512];
};
int layer_listing_begin(const struct arguments *arguments, struct layer_listing *listing,
			struct error *e) _must_use_;
int layer_listing_next(struct layer_listing *listing, const char *marker,
		       struct error *e) _must_use_;
int layer_listing_print(const struct context *context, struct layer_listing *listing,
			const char *member) _must_use_;
void layer_listing_clear(struct layer_listing *listing);
#define _cleanup_layer_listing_ _cleanup_(layer_listing_clear)

/* Of one answer. */
#define LAYER_PAGE              50U

#define LAYER_LIST_OPTIONS                                                                         \
	{ "compatible-runtime", 0, OPTION_TEXT, "RUNTIME", "only what says it is for it" },        \
		{ "compatible-architecture", 0, OPTION_CHOICE, "x86_64|arm64", "the same" },       \
		{ "max-items", 0, OPTION_TEXT, "N", "no more than N; all by default" },            \
	{                                                                                          \
		"marker", 0, OPTION_TEXT, "MARKER",                                                \
			"go on from the NextMarker of an earlier answer"                           \
	}
