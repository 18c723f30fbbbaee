/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pool/cpu_balance.h"

/* So much more than its share, or the sum could never grow again when there is more to share. */
static uint64_t with_headroom(uint64_t limit_us)
{
	limit_us += limit_us / 64;
	return limit_us < CPU_LIMIT_MIN_US ? CPU_LIMIT_MIN_US : limit_us;
}

static void release(struct cpu_balance *balance, struct cpu_claim *claims, size_t count)
{
	*balance = (struct cpu_balance){ 0 };
	for (size_t i = 0; i < count; i++) {
		claims[i].limit_us = CPU_NO_LIMIT;
		claims[i].hungry = false;
	}
}

static bool is_at_limit(const struct cpu_claim *claim)
{
	return claim->limit_us != CPU_NO_LIMIT && claim->used_us >= claim->limit_us / 10 * 9;
}

/* Whether limits are needed from now on. */
static bool shall_limit(struct cpu_balance *balance, const struct cpu_claim *claims, size_t count,
			uint64_t all_us, uint64_t idle_us)
{
	bool reached = false;

	if (count < 2)
		return false;
	if (!balance->limiting)
		return idle_us < all_us / 20;
	for (size_t i = 0; i < count; i++)
		reached = reached || is_at_limit(&claims[i]);
	balance->calm = reached ? 0 : balance->calm + 1;
	return balance->calm < CPU_BALANCE_CALM;
}

/* By what it did in the step that ends now. */
static void judge(const struct cpu_balance *balance, struct cpu_claim *claim, uint64_t share_us)
{
	bool was_probe = balance->steps % CPU_BALANCE_PROBES == 1;

	if (was_probe || claim->limit_us == CPU_NO_LIMIT)
		claim->hungry = claim->used_us >= share_us / 4 * 3;
	else if (is_at_limit(claim))
		claim->hungry = true;
}

/* Of a share that is not used in full, so much is kept for a little more. */
static uint64_t kept_us(const struct cpu_claim *claim, uint64_t share_us)
{
	uint64_t kept = claim->used_us + claim->used_us / 4 + share_us / 16;

	return kept < share_us ? kept : share_us;
}

/* Of the step that ends now: what was used, and what nobody wanted. */
static uint64_t part_of_all(const struct cpu_claim *claims, size_t count, uint64_t all_us,
			    uint64_t idle_us)
{
	uint64_t had_us = idle_us;

	for (size_t i = 0; i < count; i++)
		had_us += claims[i].used_us;
	return had_us < all_us ? had_us * CPU_WHOLE / all_us : CPU_WHOLE;
}

static void hold(struct cpu_balance *balance, uint64_t part)
{
	uint64_t off;

	balance->lately = balance->steps > 0 ? (balance->lately * 3 + part) / 4 : part;
	off = balance->lately > balance->held ? balance->lately - balance->held
					      : balance->held - balance->lately;
	if (balance->steps == 0 || off > balance->held / 32)
		balance->held = balance->lately;
}

void cpu_balance_step(struct cpu_balance *balance, struct cpu_claim *claims, size_t count,
		      uint64_t all_us, uint64_t idle_us)
{
	uint64_t capacity_us, weights = 0, hungry_weights = 0, spare_us = 0;
	bool probe;

	if (all_us == 0 || !shall_limit(balance, claims, count, all_us, idle_us)) {
		release(balance, claims, count);
		return;
	}
	balance->limiting = true;
	probe = balance->steps % CPU_BALANCE_PROBES == 0;
	hold(balance, part_of_all(claims, count, all_us, idle_us));
	capacity_us = all_us * balance->held / CPU_WHOLE;
	for (size_t i = 0; i < count; i++)
		weights += claims[i].weight;
	for (size_t i = 0; i < count; i++) {
		uint64_t share_us = capacity_us * claims[i].weight / weights;

		judge(balance, &claims[i], share_us);
		if (claims[i].hungry)
			hungry_weights += claims[i].weight;
		else
			spare_us += share_us - kept_us(&claims[i], share_us);
	}
	for (size_t i = 0; i < count; i++) {
		uint64_t limit_us = capacity_us * claims[i].weight / weights;

		if (claims[i].hungry && !probe)
			limit_us += spare_us * claims[i].weight / hungry_weights;
		claims[i].limit_us = with_headroom(limit_us);
	}
	balance->steps++;
}
