/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* --tags KEY=value,..., or JSON, as function create and tag take it. */

#include "cli/output.h"
#include "cli/verb.h"

struct tag_options {
	json_t *json; /* owned: an object of texts; NULL when the option was not given */
	size_t count;
};

#define TAGS_OPTION                                                                                \
	{                                                                                          \
		"tags", 0, OPTION_TEXT, "KEY=value,...", "for bills and searches, or JSON"         \
	}

int tag_options_parse(const struct arguments *arguments, struct tag_options *ret,
		      struct error *e) _must_use_;
void tag_options_clear(struct tag_options *options);
#define _cleanup_tag_options_ _cleanup_(tag_options_clear)

/* The entries of a request's map: pointers and, behind them in the same memory, what they point to;
 * NULL for lack of memory. Texts are borrowed from the options. To be freed with free(). */
#define TAG_ENTRIES(options, type, init_name)                                                      \
	({                                                                                         \
		size_t _n = (options)->count, _i = 0;                                              \
		type **_pointers = calloc(_n + 1, sizeof(type *) + sizeof(type));                  \
		type *_entries = (type *)(_pointers + _n + 1);                                     \
		const char *_key;                                                                  \
		json_t *_value;                                                                    \
		json_object_foreach((options)->json, _key, _value)                                 \
		{                                                                                  \
			if (!_pointers)                                                            \
				break;                                                             \
			init_name(&_entries[_i]);                                                  \
			_entries[_i].key = (char *)(uintptr_t)_key;                                \
			_entries[_i].value = (char *)(uintptr_t)json_string_value(_value);         \
			_pointers[_i] = &_entries[_i];                                             \
			_i++;                                                                      \
		}                                                                                  \
		_pointers;                                                                         \
	})
