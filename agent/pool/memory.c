/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pool/memory.h"

#include <fcntl.h>

#include "agent/pool/pool_internal.h"

#define EVICTION_CHOICE 64

uint64_t memory_total_bytes(void)
{
	long pages = sysconf(_SC_PHYS_PAGES);
	long page_bytes = sysconf(_SC_PAGESIZE);

	return pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : 0;
}

/* MemAvailable of /proc/meminfo; UINT64_MAX when it cannot be read: then the budget decides alone.
 */
static uint64_t memory_available_bytes(void)
{
	_cleanup_close_ int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
	unsigned long long kilobytes;
	char text[1024];
	const char *line;
	ssize_t n;

	n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	if (n <= 0)
		return UINT64_MAX;
	text[n] = '\0';
	line = strstr(text, "MemAvailable:");
	if (!line || sscanf(line, "MemAvailable: %llu", &kilobytes) != 1)
		return UINT64_MAX;
	return (uint64_t)kilobytes << 10;
}

/* Once what STOPPING sandboxes hold is given back. */
bool memory_will_fit(const struct pool *pool, uint64_t cost_bytes)
{
	return pool->committed_bytes - pool->freeing_bytes + cost_bytes <=
		       pool->config.memory_budget_bytes &&
	       pool->sandbox_count - pool->by_state[SANDBOX_STOPPING] < pool->config.max_sandboxes;
}

static bool fits(const struct pool *pool, uint64_t cost_bytes)
{
	return pool->committed_bytes + cost_bytes <= pool->config.memory_budget_bytes &&
	       pool->sandbox_count < pool->config.max_sandboxes;
}

/* Of the longest idle ones that may go for it, the one that is worth the least. */
static bool evict_one(const struct version *version)
{
	struct pool *pool = version->pool;
	struct sandbox *sandbox, *least = NULL;
	int64_t least_worth = 0;
	unsigned seen = 0;

	TAILQ_FOREACH (sandbox, &pool->lru, lru_link) {
		int64_t worth;

		if (!share_may_evict(sandbox, version))
			continue;
		worth = scaling_worth(sandbox);
		if (!least || worth < least_worth) {
			least = sandbox;
			least_worth = worth;
		}
		if (++seen == EVICTION_CHOICE)
			break;
	}
	if (!least)
		return false;
	pool->evictions++;
	sandbox_stop(least, "evicted: another function needs the memory");
	return true;
}

int memory_make_room(struct version *version, bool for_demand, struct error *error)
{
	struct pool *pool = version->pool;
	uint64_t cost_bytes = version->cost_bytes;
	bool short_of_memory;

	if (cost_bytes > pool->config.memory_budget_bytes)
		return error_set(error, ERROR_RESOURCE_NOT_READY, NULL,
				 "The function needs more memory than this node may give to "
				 "sandboxes.");
	if (!fits(pool, cost_bytes)) {
		while (for_demand && !memory_will_fit(pool, cost_bytes) && evict_one(version))
			;
		return 0;
	}
	short_of_memory = memory_available_bytes() < pool->config.memory_reserve_bytes + cost_bytes;
	if (!short_of_memory)
		return 1;
	if (for_demand && pool->freeing_bytes == 0 && !evict_one(version) &&
	    pool->sandbox_count == 0)
		return error_set(error, ERROR_UNAVAILABLE, NULL,
				 "The node has no memory left for a sandbox.");
	return 0;
}
