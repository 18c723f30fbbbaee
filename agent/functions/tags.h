/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Tags of a function: pure values and rules, no I/O. Limits and messages are Lambda's (TagResource
 * API reference). */

#include <stddef.h>

#include "mayfly/error.h"

#define TAGS_MAX      50
#define TAG_KEY_MAX   128
#define TAG_VALUE_MAX 256

struct tag {
	char *key;
	char *value;
};

/* In order of key, each once. Owns its strings. */
struct tag_set {
	struct tag *tags;
	size_t count;
};

void tag_set_clear(struct tag_set *set);
/* Into an empty set. 0 or -ENOMEM. */
int tag_set_copy(struct tag_set *to, const struct tag_set *from) _must_use_;
/* Of an equal key the later wins. 0 or -ENOMEM, after which the set may be cleared. */
int tag_set_put(struct tag_set *set, const struct tag *tags, size_t count) _must_use_;
void tag_set_remove(struct tag_set *set, const char *const *keys, size_t count);

/* Characters and lengths of what is given. */
int tags_validate(const struct tag *tags, size_t count, struct error *error) _must_use_;
/* There are not too many of them. */
int tag_set_validate(const struct tag_set *set, struct error *error) _must_use_;
