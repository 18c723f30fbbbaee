/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/trace_model.h"

#include <stdlib.h>
#include <string.h>

#include "mayfly/clock.h"

enum box_state { BOX_STARTING, BOX_IDLE, BOX_BUSY };

/* A sandbox. */
struct box {
	enum box_state state;
	bool used;
	int64_t at_us; /* its next event: ready, asked whether it is wanted, or done */
	int64_t idle_since_us;
};

struct model {
	const struct model_policy *policy;
	const struct model_costs *costs;
	struct model_result *result;
	struct arrivals arrivals;
	int64_t now_us;
	struct box *boxes; /* owned */
	size_t n, capacity;
	unsigned busy, starting, idle_used, spares_ready;
	int64_t *waiting; /* owned; when each came */
	size_t first, last, waiting_capacity;
	int64_t plan_at_us;
	int64_t last_use_us; /* 0: none */
};

static void *grown(void *array, size_t *capacity, size_t size)
{
	*capacity = *capacity ? 2 * *capacity : 64;
	array = realloc(array, *capacity * size);
	if (!array)
		abort();
	return array;
}

static unsigned waiting_of(const struct model *model)
{
	return (unsigned)(model->last - model->first);
}

static void plan_of(const struct model *model, struct arrivals_plan *ret)
{
	arrivals_plan(&model->arrivals, &model->policy->bounds, model->now_us,
		      model->busy + waiting_of(model), ret);
}

/* -- what the policy says -- */

static bool is_active(const struct model *model)
{
	return model->last_use_us > 0 &&
	       model->now_us < model->last_use_us + model->policy->bounds.keep_max_us;
}

static unsigned spare_target(const struct model *model)
{
	const struct model_policy *policy = model->policy;
	unsigned least = is_active(model) ? policy->spares : 0;
	struct arrivals_plan plan;

	if (policy->kind == MODEL_NONE)
		return 0;
	if (policy->kind == MODEL_FIXED)
		return least;
	plan_of(model, &plan);
	return arrivals_spares(&plan, model->idle_used, least, policy->spares_max);
}

/* Until when an idle one lives at least; false: it ends. */
static bool keeps(const struct model *model, const struct box *box, int64_t *ret_at_us)
{
	const struct model_policy *policy = model->policy;
	struct arrivals_plan plan;

	if (policy->kind == MODEL_FIXED) {
		*ret_at_us = model->last_use_us + policy->bounds.keep_max_us;
		return !box->used && is_active(model) && model->spares_ready <= policy->spares;
	}
	if (policy->kind == MODEL_NONE)
		return false;
	plan_of(model, &plan);
	if (box->used)
		return arrivals_keeps_used(&plan, &policy->bounds, model->idle_used,
					   box->idle_since_us, model->now_us, ret_at_us);
	if (model->spares_ready > spare_target(model))
		return false;
	*ret_at_us = model->now_us + policy->bounds.keep_min_us;
	if (plan.again_us > model->now_us && plan.again_us < *ret_at_us)
		*ret_at_us = plan.again_us;
	return true;
}

static int64_t first_keep_us(const struct model *model)
{
	switch (model->policy->kind) {
	case MODEL_FIXED:
		return model->policy->bounds.keep_max_us;
	case MODEL_ADAPTIVE:
		return model->policy->bounds.keep_min_us;
	default:
		return 0;
	}
}

/* -- sandboxes -- */

static void start_one(struct model *model)
{
	if (model->n == model->capacity)
		model->boxes = grown(model->boxes, &model->capacity, sizeof(*model->boxes));
	model->boxes[model->n++] = (struct box){ .state = BOX_STARTING,
						 .at_us = model->now_us + model->costs->cold_us };
	model->starting++;
	model->result->starts++;
}

static void set_idle(struct model *model, struct box *box)
{
	box->state = BOX_IDLE;
	box->idle_since_us = model->now_us;
	box->at_us = model->now_us + first_keep_us(model);
	model->idle_used += box->used;
	model->spares_ready += !box->used;
}

static void unset_idle(struct model *model, const struct box *box)
{
	model->result->idle_us += model->now_us - box->idle_since_us;
	model->idle_used -= box->used;
	model->spares_ready -= !box->used;
}

/* The latest used, else a spare. */
static struct box *find_idle(const struct model *model)
{
	struct box *best = NULL;

	for (size_t i = 0; i < model->n; i++) {
		struct box *box = &model->boxes[i];

		if (box->state != BOX_IDLE)
			continue;
		if (!best || box->used > best->used ||
		    (box->used == best->used && box->idle_since_us > best->idle_since_us))
			best = box;
	}
	return best;
}

static void add_slowdown(struct model_result *result, double slowdown)
{
	if (result->invocations == result->capacity)
		result->slowdowns =
			grown(result->slowdowns, &result->capacity, sizeof(*result->slowdowns));
	result->slowdowns[result->invocations++] =
		slowdown < 4e6 ? (uint32_t)(slowdown * 1000) : UINT32_MAX;
}

static void bind(struct model *model, struct box *box, int64_t came_us)
{
	const struct model_costs *costs = model->costs;
	bool waited = came_us < model->now_us;
	int64_t extra_us = box->used ? costs->warm_us : costs->spare_us;

	unset_idle(model, box);
	model->result->cold += !box->used && waited;
	model->result->spare += !box->used && !waited;
	box->used = true;
	box->state = BOX_BUSY;
	box->at_us = model->now_us + extra_us + costs->duration_us;
	model->busy++;
	add_slowdown(model->result, (double)(box->at_us - came_us) / (double)(costs->duration_us));
}

static void converge(struct model *model)
{
	struct box *box;

	while (model->first < model->last && (box = find_idle(model)))
		bind(model, box, model->waiting[model->first++]);
	if (model->first == model->last)
		model->first = model->last = 0;
	while (waiting_of(model) > model->starting)
		start_one(model);
	while (waiting_of(model) == 0 &&
	       spare_target(model) > model->spares_ready + model->starting)
		start_one(model);
	if (model->policy->kind == MODEL_ADAPTIVE) {
		struct arrivals_plan plan;

		plan_of(model, &plan);
		model->plan_at_us = plan.again_us;
	}
}

/* -- events -- */

static void arrive(struct model *model)
{
	struct box *box = model->first == model->last ? find_idle(model) : NULL;

	arrivals_begin(&model->arrivals, &model->policy->bounds, model->now_us,
		       model->busy + waiting_of(model) + 1);
	model->last_use_us = model->now_us;
	if (box) {
		bind(model, box, model->now_us);
		return;
	}
	if (model->last == model->waiting_capacity)
		model->waiting =
			grown(model->waiting, &model->waiting_capacity, sizeof(*model->waiting));
	model->waiting[model->last++] = model->now_us;
}

static void box_event(struct model *model, size_t i)
{
	struct box *box = &model->boxes[i];

	switch (box->state) {
	case BOX_STARTING:
		model->starting--;
		set_idle(model, box);
		return;
	case BOX_BUSY:
		model->busy--;
		arrivals_end(&model->arrivals, model->now_us);
		model->last_use_us = model->now_us;
		set_idle(model, box);
		return;
	case BOX_IDLE:
		if (keeps(model, box, &box->at_us))
			return;
		unset_idle(model, box);
		model->boxes[i] = model->boxes[--model->n];
		return;
	}
}

/* The event before `until_us` that comes first, or false. */
static bool step(struct model *model, int64_t until_us)
{
	int64_t at_us = until_us;
	size_t which = SIZE_MAX;

	for (size_t i = 0; i < model->n; i++)
		if (model->boxes[i].at_us < at_us) {
			at_us = model->boxes[i].at_us;
			which = i;
		}
	if (model->plan_at_us > model->now_us && model->plan_at_us < at_us) {
		model->now_us = model->plan_at_us;
		converge(model);
		return true;
	}
	if (which == SIZE_MAX)
		return false;
	if (at_us > model->now_us)
		model->now_us = at_us;
	box_event(model, which);
	converge(model);
	return true;
}

void model_run(const struct model_policy *policy, const struct model_costs *costs,
	       const int64_t *begins_us, size_t n, int64_t end_us, struct model_result *result)
{
	struct model model = { .policy = policy, .costs = costs, .result = result };

	for (size_t i = 0; i < n; i++) {
		while (step(&model, begins_us[i]))
			;
		model.now_us = begins_us[i];
		arrive(&model);
		converge(&model);
	}
	while (step(&model, end_us))
		;
	model.now_us = end_us;
	for (size_t i = 0; i < model.n; i++)
		if (model.boxes[i].state == BOX_IDLE)
			result->idle_us += end_us - model.boxes[i].idle_since_us;
	free(model.boxes);
	free(model.waiting);
}

void model_result_free(struct model_result *result)
{
	free(result->slowdowns);
	*result = (struct model_result){ 0 };
}
