/* SPDX-License-Identifier: Apache-2.0 */

/* What a function says in its INIT goes to who asked for the template. */

#include "agent/vm/template_internal.h"

#include "mayfly/clock.h"

static const struct template_waiter *find_hearer(const struct template *template)
{
	const struct template_waiter *waiter;

	STAILQ_FOREACH (waiter, &template->waiters, entry)
		if (waiter->init_events)
			return waiter;
	return NULL;
}

void template_init_begin(struct template_init *init, const struct template *template,
			 const char *sandbox_id)
{
	*init = (struct template_init){ .hearer = find_hearer(template), .under_way = true };
	if (init->hearer)
		init->hearer->init_events->on_begin(sandbox_id, init->hearer->init_arg);
	template_init_run(init);
}

void template_init_run(struct template_init *init)
{
	init->since_us = clock_monotonic_us();
}

void template_init_rest(struct template_init *init)
{
	if (init->since_us > 0)
		init->spent_us += clock_monotonic_us() - init->since_us;
	init->since_us = 0;
}

void template_init_logs(const struct template_init *init, const Mayfly__Guest__V1__LogRecords *logs)
{
	if (init->hearer)
		init->hearer->init_events->on_logs(logs, init->hearer->init_arg);
}

void template_init_end(struct template_init *init, const Mayfly__Guest__V1__Outcome *outcome)
{
	if (!init->under_way)
		return;
	init->under_way = false;
	template_init_rest(init);
	if (init->hearer)
		init->hearer->init_events->on_end(outcome, init->spent_us, init->hearer->init_arg);
}
