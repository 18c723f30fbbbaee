/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/deploy/record_tags.h"

#include <errno.h>

int record_tags_encode(const struct tag_set *from, struct record_tags *memory,
		       Mayfly__Store__V1__StoredFunction *to)
{
	if (!from->count)
		return 0;
	memory->tags = calloc(from->count, sizeof(*memory->tags));
	memory->pointers = calloc(from->count, sizeof(*memory->pointers));
	if (!memory->tags || !memory->pointers)
		return -ENOMEM;
	for (size_t i = 0; i < from->count; i++) {
		mayfly__store__v1__stored_variable__init(&memory->tags[i]);
		memory->tags[i].key = from->tags[i].key;
		memory->tags[i].value = from->tags[i].value;
		memory->pointers[i] = &memory->tags[i];
	}
	to->tags = memory->pointers;
	to->n_tags = from->count;
	return 0;
}

void record_tags_clear(struct record_tags *memory)
{
	free(memory->tags);
	free(memory->pointers);
}

int record_tags_decode(const Mayfly__Store__V1__StoredFunction *from, struct tag_set *to)
{
	for (size_t i = 0; i < from->n_tags; i++) {
		const struct tag tag = { from->tags[i]->key, from->tags[i]->value };
		int r = tag_set_put(to, &tag, 1);
		if (r < 0)
			return r;
	}
	return 0;
}
