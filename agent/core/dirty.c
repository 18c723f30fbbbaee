/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/core/loop.h"

static int on_dirty(sd_event_source *source _unused_, void *arg)
{
	struct dirty *dirty = arg;

	dirty->fn(dirty->arg);
	return 0;
}

int dirty_init(struct dirty *dirty, struct loop *loop, loop_fn *fn, void *arg)
{
	sd_event_source *source;
	int r;

	r = sd_event_add_defer(loop_event(loop), &source, on_dirty, dirty);
	if (r < 0)
		return r;
	r = sd_event_source_set_enabled(source, SD_EVENT_OFF);
	if (r < 0) {
		sd_event_source_disable_unref(source);
		return r;
	}
	*dirty = (struct dirty){ .source = source, .fn = fn, .arg = arg };
	return 0;
}

/* One-shot: it switches itself off before the call, so a mark made within runs it once more. */
void dirty_mark(struct dirty *dirty)
{
	if (dirty->source)
		(void)sd_event_source_set_enabled(dirty->source, SD_EVENT_ONESHOT);
}

void dirty_free(struct dirty *dirty)
{
	dirty->source = sd_event_source_disable_unref(dirty->source);
}
