/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What is due, the earliest first. Private to this room; loop thread. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mayfly/cleanup.h"

/* Embedded; zero-initialised it is in no heap. */
struct due_item {
	int64_t due_us;
	size_t place; /* from 1 on; 0: not there */
};

struct due_heap {
	struct due_item **items;
	size_t count, size;
};

/* Items are not its own. */
void due_heap_free(struct due_heap *heap);
/* Room for so many; 0 or -ENOMEM. */
int due_heap_reserve(struct due_heap *heap, size_t count) _must_use_;
/* There is room. One that is there already is moved. */
void due_heap_put(struct due_heap *heap, struct due_item *item, int64_t due_us);
/* Copes with one that is not there. */
void due_heap_remove(struct due_heap *heap, struct due_item *item);
/* NULL: there is none. */
struct due_item *due_heap_first(const struct due_heap *heap);
