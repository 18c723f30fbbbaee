/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The tags of a function's record. Private to this room. Any thread. */

#include "agent/functions/tags.h"
#include "mayfly/store/v1/function.pb-c.h"

/* In memory of their own, but for the texts. */
struct record_tags {
	Mayfly__Store__V1__StoredVariable *tags;
	Mayfly__Store__V1__StoredVariable **pointers;
};
int record_tags_encode(const struct tag_set *from, struct record_tags *memory,
		       Mayfly__Store__V1__StoredFunction *to) _must_use_;
void record_tags_clear(struct record_tags *memory);
int record_tags_decode(const Mayfly__Store__V1__StoredFunction *from,
		       struct tag_set *to) _must_use_;
