/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/invoke/phases.h"

#include <stdio.h>

enum invocation_start phases_start_kind(const struct sandbox_facts *sandbox, int64_t queued_us)
{
	if (sandbox->invocations > 1)
		return INVOCATION_START_WARM;
	if (sandbox->ready_us <= queued_us)
		return INVOCATION_START_SPARE;
	switch (sandbox->origin) {
	case SANDBOX_FROM_BOOT:
		return INVOCATION_START_BOOT;
	case SANDBOX_FROM_SNAPSHOT:
		return INVOCATION_START_SNAP_START;
	default:
		return INVOCATION_START_RESTORE;
	}
}

/* The part of [from, to] that the invocation waited through; 0 for a step that did not happen. */
static uint64_t waited(const struct phase_stamps *stamps, int64_t from_us, int64_t to_us)
{
	if (from_us == 0 || to_us == 0)
		return 0;
	if (from_us < stamps->queued_us)
		from_us = stamps->queued_us;
	if (to_us > stamps->bound_us)
		to_us = stamps->bound_us;
	return to_us > from_us ? (uint64_t)(to_us - from_us) : 0;
}

static uint64_t span(int64_t from_us, int64_t to_us)
{
	return from_us > 0 && to_us > from_us ? (uint64_t)(to_us - from_us) : 0;
}

void phases_fill(const struct phase_stamps *stamps, const struct sandbox_facts *sandbox,
		 struct invocation_phases *ret)
{
	uint64_t wait_us = span(stamps->queued_us, stamps->bound_us);
	uint64_t explained_us;

	ret->admit_us = span(stamps->received_us, stamps->queued_us);
	ret->guest_us = stamps->guest_us;
	ret->handler_us = span(stamps->sent_us, stamps->complete_us);
	ret->complete_at_us = stamps->complete_us;
	if (!sandbox) {
		ret->place_us = wait_us;
		return;
	}
	ret->start = phases_start_kind(sandbox, stamps->queued_us);
	(void)snprintf(ret->sandbox_id, sizeof(ret->sandbox_id), "%s", sandbox->id);
	ret->spawn_us = waited(stamps, sandbox->requested_us, sandbox->spawned_us);
	ret->load_us = waited(stamps, sandbox->spawned_us, sandbox->loaded_us);
	ret->resume_us = waited(stamps, sandbox->loaded_us, sandbox->restored_us);
	ret->init_us = waited(stamps, sandbox->init_sent_us, sandbox->init_done_us);
	explained_us = ret->spawn_us + ret->load_us + ret->resume_us + ret->init_us;
	ret->place_us = wait_us > explained_us ? wait_us - explained_us : 0;
	/* A frozen one was thawed for it. */
	ret->resume_us += span(stamps->bound_us, stamps->sent_us);
}
