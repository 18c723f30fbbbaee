/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/functions/tags.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "agent/functions/text.h"

#define RESERVED_PREFIX "aws:"

void tag_set_clear(struct tag_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		free(set->tags[i].key);
		free(set->tags[i].value);
	}
	free(set->tags);
	*set = (struct tag_set){ 0 };
}

int tag_set_copy(struct tag_set *to, const struct tag_set *from)
{
	int r = tag_set_put(to, from->tags, from->count);

	if (r < 0)
		tag_set_clear(to);
	return r;
}

static int insert(struct tag_set *set, size_t at, const struct tag *tag)
{
	struct tag *grown = reallocarray(set->tags, set->count + 1, sizeof(*grown));
	struct tag copy = { strdup(tag->key), strdup(tag->value) };

	if (grown)
		set->tags = grown;
	if (!grown || !copy.key || !copy.value) {
		free(copy.key);
		free(copy.value);
		return -ENOMEM;
	}
	memmove(&grown[at + 1], &grown[at], (set->count - at) * sizeof(*grown));
	grown[at] = copy;
	set->count++;
	return 0;
}

static int replace(struct tag *tag, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(tag->value);
	tag->value = copy;
	return 0;
}

int tag_set_put(struct tag_set *set, const struct tag *tags, size_t count)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++) {
		size_t at = 0;
		while (at < set->count && strcmp(set->tags[at].key, tags[i].key) < 0)
			at++;
		if (at < set->count && strcmp(set->tags[at].key, tags[i].key) == 0)
			r = replace(&set->tags[at], tags[i].value);
		else
			r = insert(set, at, &tags[i]);
	}
	return r;
}

static void remove_key(struct tag_set *set, const char *key)
{
	for (size_t i = 0; i < set->count; i++) {
		if (strcmp(set->tags[i].key, key) != 0)
			continue;
		free(set->tags[i].key);
		free(set->tags[i].value);
		set->count--;
		memmove(&set->tags[i], &set->tags[i + 1], (set->count - i) * sizeof(set->tags[0]));
		return;
	}
}

void tag_set_remove(struct tag_set *set, const char *const *keys, size_t count)
{
	for (size_t i = 0; i < count; i++)
		remove_key(set, keys[i]);
}

static size_t count_characters(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static int refuse(struct error *error, const char *key, const char *what, const char *constraint)
{
	return error_set(error, ERROR_INVALID_PARAMETER, "tags",
			 "1 validation error detected: Value '{%.*s%s=...}' at 'tags' failed to "
			 "satisfy constraint: Map %s must satisfy constraint: [%s]",
			 shown_length(key, SHOWN_BYTES), key, shown_rest(key, SHOWN_BYTES), what,
			 constraint);
}

static int check_tag(const struct tag *tag, struct error *error)
{
	if (!tag->key[0])
		return refuse(error, tag->key, "keys",
			      "Member must have length greater than or equal to 1");
	if (count_characters(tag->key) > TAG_KEY_MAX)
		return refuse(error, tag->key, "keys",
			      "Member must have length less than or equal to 128");
	if (count_characters(tag->value) > TAG_VALUE_MAX)
		return refuse(error, tag->key, "value",
			      "Member must have length less than or equal to 256");
	if (strncasecmp(tag->key, RESERVED_PREFIX, strlen(RESERVED_PREFIX)) == 0)
		return error_set(error, ERROR_INVALID_PARAMETER, "tags",
				 "aws: prefixed tag key names are not allowed for external use.");
	return 0;
}

int tags_validate(const struct tag *tags, size_t count, struct error *error)
{
	for (size_t i = 0; i < count; i++) {
		int r = check_tag(&tags[i], error);
		if (r < 0)
			return r;
	}
	return 0;
}

int tag_set_validate(const struct tag_set *set, struct error *error)
{
	if (set->count <= TAGS_MAX)
		return 0;
	return error_set(error, ERROR_INVALID_PARAMETER, "tags",
			 "Number of tags exceeds resource tag limit.");
}
