/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/tag_options.h"

#include "cli/shorthand.h"

int tag_options_parse(const struct arguments *arguments, struct tag_options *ret, struct error *e)
{
	const char *text = argument(arguments, "tags");
	const char *key;
	json_t *value;

	if (!text)
		return 0;
	int r = shorthand_parse("tags", text, &ret->json, e);
	if (r < 0)
		return r;
	json_object_foreach(ret->json, key, value)
	{
		if (!json_is_string(value))
			return error_set(e, ERROR_INVALID_PARAMETER, "tags",
					 "the value of the tag %s is not a text", key);
	}
	ret->count = json_object_size(ret->json);
	return 0;
}

void tag_options_clear(struct tag_options *options)
{
	json_decref(options->json);
}
