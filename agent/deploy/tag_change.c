/* SPDX-License-Identifier: Apache-2.0 */

/* Tags are the function's, whatever its state and its versions: they change neither its revision
 * nor when it was modified, as in Lambda. */

#include <errno.h>

#include "agent/deploy/change.h"
#include "agent/deploy/tag_directory.h"

static int retag(struct change *change, struct tag_set *set)
{
	if (change->untag_keys) {
		tag_set_remove(set, change->untag_keys, change->tag_count);
		return 0;
	}
	return tag_set_put(set, change->tags, change->tag_count);
}

static int tag_begin(struct change *change)
{
	_cleanup_(function_free_p) struct function *next = NULL;
	int r;

	if (!change->entry->function)
		return directory_set_not_found(change->directory, change->tenant, change->name,
					       NULL, &change->error);
	if (function_copy(change->entry->function, &next) < 0 || retag(change, &next->tags) < 0)
		return error_set_errno(&change->error, ENOMEM, "Cannot change the tags");
	r = change->untag_keys ? 0 : tag_set_validate(&next->tags, &change->error);
	if (r < 0)
		return r;
	/* The record is written whole: what is still to be built stays in it. */
	copy_id(change->upload_id, change->entry->upload_id);
	change->next = TAKE_PTR(next);
	return 0;
}

static void tag_committed(struct change *change)
{
	(void)change;
}

static const struct change_kind tag_kind = {
	.begin = tag_begin,
	.committed = tag_committed,
};

void directory_tag(struct directory *directory, const struct directory_tag_request *request,
		   directory_answer_fn *answer, void *arg)
{
	struct change *change = change_new(&tag_kind, request->tenant, request->name, answer, arg);

	change->tags = request->tags;
	change->untag_keys = request->untag_keys;
	change->tag_count = request->count;
	change_ask(change, directory);
}
