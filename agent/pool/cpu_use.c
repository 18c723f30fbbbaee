/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pool/cpu_use.h"

#include <errno.h>

#include "agent/pool/pool_internal.h"

struct reading {
	char id[HEX_ID_BYTES];
	char tenant[TENANT_ID_DIGITS + 1];
	int result;
	uint64_t cpu_us;
};

struct read_job {
	struct job job;
	struct pool *pool;
	cpu_use_fn *fn;
	void *arg;
	struct reading *readings; /* by id */
	size_t count;
};

/* -- sums -- */

struct cpu_use_sum *cpu_use_get(struct pool *pool, const struct version *version)
{
	struct cpu_use_sum *sum;

	HASH_FIND_STR(pool->cpu_uses, version->key, sum);
	if (sum)
		return sum;
	sum = calloc(1, sizeof(*sum));
	if (!sum)
		return NULL;
	sum->key = strdup(version->key);
	if (!sum->key) {
		free(sum);
		return NULL;
	}
	(void)snprintf(sum->use.tenant, sizeof(sum->use.tenant), "%s", version->tenant);
	(void)snprintf(sum->use.function_name, sizeof(sum->use.function_name), "%s",
		       version->function_name);
	memcpy(sum->use.version, version->number_name, sizeof(sum->use.version));
	HASH_ADD_KEYPTR(hh, pool->cpu_uses, sum->key, strlen(sum->key), sum);
	return sum;
}

void cpu_use_free(struct pool *pool)
{
	struct cpu_use_sum *sum, *next;

	HASH_ITER (hh, pool->cpu_uses, sum, next) {
		HASH_DEL(pool->cpu_uses, sum);
		free(sum->key);
		free(sum);
	}
}

/* `cpu_us` negative: not known. */
static void add(struct cpu_use *use, const struct cpu_use_part *part, unsigned vcpus,
		int64_t cpu_us, uint64_t idle_us)
{
	unsigned cpus = vcpus + 1;
	uint64_t all_us = cpu_us > 0 ? (uint64_t)cpu_us : 0;
	uint64_t start_us = part->was_ready ? part->start_us : all_us;

	use->sandboxes++;
	use->uncounted += cpu_us < 0 || part->uncounted;
	if (cpus > use->cpus)
		use->cpus = cpus;
	use->beside_us += CPU_USE_SANDBOX_US + idle_us * cpus;
	if (cpu_us < 0 || part->uncounted)
		return;
	use->start_us += start_us;
	use->serve_us += all_us > start_us ? all_us - start_us : 0;
}

/* -- a sandbox -- */

void cpu_use_ready(struct sandbox *sandbox)
{
	struct pool *pool = sandbox->pool;
	struct cpu_use_part *part = &sandbox->cpu;

	part->was_ready = true;
	/* A file of the kernel's, read in microseconds: no disk is waited for. */
	part->uncounted = pool->driver->read_cpu(pool->host, sandbox->version->tenant, sandbox->id,
						 &part->start_us) < 0;
}

void cpu_use_step(struct sandbox *sandbox, int64_t now_us)
{
	struct cpu_use_part *part = &sandbox->cpu;

	if (sandbox->state == SANDBOX_READY)
		part->idle_us += (uint64_t)(now_us - part->since_us);
	part->since_us = now_us;
}

void cpu_use_gone(struct sandbox *sandbox, const struct vm *vm)
{
	struct vm_facts facts = { 0 };

	sandbox->pool->driver->facts(vm, &facts);
	if (facts.pid > 0)
		add(&sandbox->version->cpu_use->use, &sandbox->cpu, facts.vcpus, facts.cpu_us,
		    sandbox->cpu.idle_us);
}

/* -- reading -- */

static void work(struct job *inner)
{
	struct read_job *job = container_of(inner, struct read_job, job);
	const struct pool *pool = job->pool;

	for (size_t i = 0; i < job->count; i++) {
		struct reading *reading = &job->readings[i];

		reading->result = pool->driver->read_cpu(pool->host, reading->tenant, reading->id,
							 &reading->cpu_us);
	}
}

static int compare_ids(const void *a, const void *b)
{
	return strcmp(((const struct reading *)a)->id, ((const struct reading *)b)->id);
}

/* One that began meanwhile is left out: what it served is no less billed. */
static void add_living(const struct read_job *job, const struct sandbox *sandbox,
		       struct cpu_use *rows, int64_t now_us)
{
	const struct cpu_use_part *part = &sandbox->cpu;
	struct vm_facts facts = { 0 };
	struct reading key;
	const struct reading *reading;
	uint64_t idle_us = part->idle_us;

	memcpy(key.id, sandbox->id, sizeof(key.id));
	reading = bsearch(&key, job->readings, job->count, sizeof(key), compare_ids);
	if (!reading)
		return;
	job->pool->driver->facts(sandbox->vm, &facts);
	/* What it serves now is billed when it has ended. */
	if (sandbox->state == SANDBOX_READY || sandbox->state == SANDBOX_BUSY)
		idle_us += (uint64_t)(now_us - part->since_us);
	add(&rows[sandbox->version->cpu_use->row], part, facts.vcpus,
	    reading->result < 0 ? -1 : (int64_t)reading->cpu_us, idle_us);
}

static void done(struct job *inner)
{
	struct read_job *job = container_of(inner, struct read_job, job);
	struct pool *pool = job->pool;
	size_t count = HASH_COUNT(pool->cpu_uses), row = 0;
	_cleanup_free_ struct cpu_use *rows = calloc(count + 1, sizeof(*rows));
	int64_t now_us = clock_monotonic_us();
	const struct version *version;
	const struct sandbox *sandbox;

	if (rows) {
		for (struct cpu_use_sum *sum = pool->cpu_uses; sum; sum = sum->hh.next) {
			sum->row = row;
			rows[row++] = sum->use;
		}
		TAILQ_FOREACH (version, &pool->all, link)
			TAILQ_FOREACH (sandbox, &version->sandboxes, link)
				add_living(job, sandbox, rows, now_us);
	}
	job->fn(rows, rows ? count : 0, rows ? 0 : -ENOMEM, job->arg);
	free(job->readings);
	free(job);
}

int pool_read_cpu_use(struct pool *pool, cpu_use_fn *fn, void *arg)
{
	struct read_job *job = calloc(1, sizeof(*job));
	const struct version *version;
	const struct sandbox *sandbox;

	if (!job)
		return -ENOMEM;
	job->readings = calloc(pool->sandbox_count + 1, sizeof(*job->readings));
	if (!job->readings) {
		free(job);
		return -ENOMEM;
	}
	job->job = (struct job){ .work = work, .done = done };
	job->pool = pool;
	job->fn = fn;
	job->arg = arg;
	TAILQ_FOREACH (version, &pool->all, link)
		TAILQ_FOREACH (sandbox, &version->sandboxes, link) {
			struct reading *reading = &job->readings[job->count++];

			memcpy(reading->id, sandbox->id, sizeof(reading->id));
			(void)snprintf(reading->tenant, sizeof(reading->tenant), "%s",
				       version->tenant);
		}
	qsort(job->readings, job->count, sizeof(*job->readings), compare_ids);
	loop_submit(pool->loop, &job->job);
	return 0;
}
