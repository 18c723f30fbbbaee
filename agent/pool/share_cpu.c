/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pool/share_cpu.h"

#include <errno.h>
#include <unistd.h>

#include "agent/pool/pool_internal.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"

struct entry {
	char tenant[TENANT_ID_DIGITS + 1];
	struct share_cpu_part part; /* a copy, which comes back */
	int result;                 /* of setting the limit */
};

struct step {
	struct job job;
	struct pool *pool;
	struct share_cpu cpu;     /* a copy, which comes back */
	struct cpu_claim *claims; /* of the first entries, which run */
	size_t running;
	size_t count;
	struct entry entries[];
};

static void arm(struct pool *pool);

/* -- in the job -- */

/* Since the last step; 0 when that is not known yet. */
static uint64_t read_used(const struct pool *pool, struct entry *entry)
{
	struct share_cpu_part *part = &entry->part;
	uint64_t now_us = 0, used_us;

	if (pool->driver->read_group_cpu(pool->host, entry->tenant, &now_us) < 0) {
		part->known = false; /* its last VM has just gone, and its group with it */
		part->thousandths = 0;
		return 0;
	}
	/* A group that was made anew counts from 0, and has no limit. */
	if (now_us < part->used_us) {
		part->used_us = 0;
		part->thousandths = 0;
	}
	used_us = now_us - part->used_us;
	if (!part->known)
		used_us = 0;
	part->known = true;
	part->used_us = now_us;
	return used_us;
}

/* Not told anew when it is the same, but for rounding: the kernel would give it anew. */
static void set_limit(const struct pool *pool, struct entry *entry, uint64_t limit_us,
		      int64_t step_us)
{
	struct share_cpu_part *part = &entry->part;
	uint64_t thousandths = 0;

	if (limit_us != CPU_NO_LIMIT)
		thousandths = limit_us * 1000 / (uint64_t)step_us + 1;
	part->limit_us = limit_us;
	if (thousandths == part->thousandths ||
	    (thousandths > 0 && part->thousandths > 0 && thousandths + 1 >= part->thousandths &&
	     thousandths <= part->thousandths + 1))
		return;
	entry->result = pool->driver->limit_group_cpu(pool->host, entry->tenant, thousandths);
	part->thousandths = entry->result < 0 ? 0 : thousandths;
}

static void work(struct job *job)
{
	struct step *step = container_of(job, struct step, job);
	const struct pool *pool = step->pool;
	struct share_cpu *cpu = &step->cpu;
	int64_t now_us = clock_monotonic_us(), step_us = now_us - cpu->read_us;
	uint64_t idle_us = 0, before_us = cpu->idle_us;
	bool first = !cpu->known;

	if (pool->driver->read_idle(pool->host, &idle_us) < 0 || (!first && step_us <= 0))
		return;
	for (size_t i = 0; i < step->running; i++) {
		const struct share_cpu_part *part = &step->entries[i].part;

		step->claims[i].used_us = read_used(pool, &step->entries[i]);
		step->claims[i].limit_us = part->thousandths > 0 ? part->limit_us : CPU_NO_LIMIT;
		step->claims[i].hungry = part->hungry;
	}
	cpu->known = true;
	cpu->read_us = now_us;
	cpu->idle_us = idle_us;
	if (first)
		return;
	cpu_balance_step(&cpu->balance, step->claims, step->running,
			 (uint64_t)step_us * (uint64_t)sysconf(_SC_NPROCESSORS_ONLN),
			 idle_us > before_us ? idle_us - before_us : 0);
	for (size_t i = 0; i < step->count; i++) {
		bool runs = i < step->running;

		step->entries[i].part.hungry = runs && step->claims[i].hungry;
		set_limit(pool, &step->entries[i], runs ? step->claims[i].limit_us : CPU_NO_LIMIT,
			  step_us);
	}
}

/* -- in the loop -- */

static void say_failure(const struct entry *entry)
{
	static bool said;

	if (entry->result >= 0 || entry->result == -ENOENT || said)
		return;
	said = true;
	log_warning("cannot limit the CPU time of tenant %s: %s; its share is left to weights",
		    entry->tenant, strerror(-entry->result));
}

static bool is_wanted(const struct pool *pool)
{
	if (pool->cpu.tenants >= 2)
		return true;
	for (const struct pool_tenant *tenant = pool->tenants; tenant; tenant = tenant->hh.next)
		if (tenant->cpu.thousandths > 0)
			return true;
	return false;
}

static void done(struct job *job)
{
	_cleanup_free_ struct step *step = container_of(job, struct step, job);
	_cleanup_free_ struct cpu_claim *claims _unused_ = step->claims;
	struct pool *pool = step->pool;

	pool->cpu.known = step->cpu.known;
	pool->cpu.read_us = step->cpu.read_us;
	pool->cpu.idle_us = step->cpu.idle_us;
	pool->cpu.balance = step->cpu.balance;
	for (size_t i = 0; i < step->count; i++) {
		const struct entry *entry = &step->entries[i];
		struct pool_tenant *tenant;
		unsigned running;

		say_failure(entry);
		HASH_FIND_STR(pool->tenants, entry->tenant, tenant);
		if (!tenant)
			continue;
		running = tenant->cpu.running;
		tenant->cpu = entry->part;
		tenant->cpu.running = running;
	}
	pool->cpu.under_way = false;
	if (is_wanted(pool))
		arm(pool);
}

static void add_entries(struct step *step, bool running)
{
	for (struct pool_tenant *tenant = step->pool->tenants; tenant; tenant = tenant->hh.next) {
		struct entry *entry = &step->entries[step->count];

		if ((tenant->cpu.running > 0) != running ||
		    (!running && tenant->cpu.thousandths == 0))
			continue;
		*entry = (struct entry){ .part = tenant->cpu };
		memcpy(entry->tenant, tenant->id, sizeof(entry->tenant));
		if (running) {
			step->claims[step->count].weight = share_weight(tenant, step->pool);
			step->running++;
		}
		step->count++;
	}
}

static void on_timer(void *arg)
{
	struct pool *pool = arg;
	size_t tenants = HASH_COUNT(pool->tenants);
	struct step *step = calloc(1, sizeof(*step) + tenants * sizeof(step->entries[0]));

	pool->cpu.under_way = false;
	if (step)
		step->claims = calloc(tenants + 1, sizeof(*step->claims));
	if (!step || !step->claims) {
		free(step);
		arm(pool);
		return;
	}
	step->job = (struct job){ .work = work, .done = done };
	step->pool = pool;
	step->cpu = pool->cpu;
	add_entries(step, true);
	add_entries(step, false);
	pool->cpu.under_way = true;
	loop_submit_urgent(pool->loop, &step->job);
}

static void arm(struct pool *pool)
{
	if (pool->cpu.under_way)
		return;
	pool->cpu.under_way =
		timer_arm(&pool->cpu.timer, pool->loop, clock_monotonic_us() + SHARE_CPU_STEP_US,
			  on_timer, pool) >= 0;
}

/* What was read the last time may be long ago. */
static void begin(struct pool *pool)
{
	const char *mode = pool->driver->host_info(pool->host)->cgroup_mode;

	if (pool->cpu.under_way || !mode || strcmp(mode, "none") == 0)
		return;
	pool->cpu.known = false;
	for (struct pool_tenant *tenant = pool->tenants; tenant; tenant = tenant->hh.next)
		tenant->cpu.known = false;
	arm(pool);
}

void share_cpu_begin(struct pool *pool, struct pool_tenant *tenant)
{
	if (tenant->cpu.running++ > 0)
		return;
	if (++pool->cpu.tenants == 2)
		begin(pool);
}

void share_cpu_end(struct pool *pool, struct pool_tenant *tenant)
{
	if (--tenant->cpu.running == 0)
		pool->cpu.tenants--;
}

void share_cpu_stop(struct pool *pool)
{
	timer_disarm(&pool->cpu.timer);
}
