/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_invoke mayfly_base

/* Who may wait when the room is full, and who has to leave for it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "agent/invoke/waiting_room.h"

#define MIB    (1ULL << 20)
#define LARGE  (6 * MIB)
#define A      "111111111111"
#define B      "222222222222"
#define C      "333333333333"
#define D      "444444444444"
#define GUESTS 20000

/* One who came. */
struct guest {
	struct waiter waiter; /* first */
	const char *tenant;
	bool refused;
	bool displaced;
};

static struct {
	struct waiting_room *room;
	struct guest guests[GUESTS];
	unsigned count;
	unsigned weight_of_a;
	unsigned weight_of_b;
	unsigned asked; /* for weights */
	const struct guest *last_displaced;
} f;

static unsigned weight_of(const char *tenant, void *arg _unused_)
{
	f.asked++;
	return strcmp(tenant, A) == 0 ? f.weight_of_a : strcmp(tenant, B) == 0 ? f.weight_of_b : 1;
}

static void on_displaced(struct waiter *waiter, void *arg)
{
	struct guest *guest = container_of(waiter, struct guest, waiter);

	assert_ptr_equal(arg, &f);
	assert_null(waiter->tenant);
	assert_false(guest->displaced);
	guest->displaced = true;
	f.last_displaced = guest;
}

static void make(unsigned places, uint64_t bytes)
{
	const struct waiting_room_config config = {
		.max_waiting = places,
		.max_bytes = bytes,
		.tenant_weight = weight_of,
		.on_displaced = on_displaced,
		.on_displaced_arg = &f,
	};

	assert_int_equal(waiting_room_new(&config, &f.room), 0);
}

static int set_up(void **state _unused_)
{
	memset(&f, 0, sizeof(f));
	f.weight_of_a = f.weight_of_b = 1;
	return 0;
}

static struct waiting_room_gauges gauges(void)
{
	struct waiting_room_gauges gauges;

	waiting_room_gauges(f.room, &gauges);
	return gauges;
}

static int tear_down(void **state _unused_)
{
	for (unsigned i = 0; i < f.count; i++)
		waiting_room_leave(f.room, &f.guests[i].waiter);
	assert_int_equal(gauges().waiting, 0);
	assert_int_equal(gauges().bytes, 0);
	waiting_room_free(f.room);
	return 0;
}

static struct guest *come(const char *tenant, uint64_t bytes)
{
	struct guest *guest = &f.guests[f.count++];
	int r = waiting_room_enter(f.room, tenant, bytes, &guest->waiter);

	assert_true(f.count < GUESTS);
	assert_true(r == 0 || r == -EAGAIN);
	guest->tenant = tenant;
	guest->refused = r < 0;
	assert_int_equal(guest->waiter.tenant != NULL, r == 0);
	return guest;
}

/* How many of them may stay. */
static unsigned crowd(const char *tenant, unsigned count, uint64_t bytes)
{
	unsigned let_in = 0;

	while (count-- > 0)
		let_in += !come(tenant, bytes)->refused;
	return let_in;
}

static bool is_in(const struct guest *guest)
{
	return guest->waiter.tenant;
}

static unsigned waiting(const char *tenant)
{
	unsigned n = 0;

	for (unsigned i = 0; i < f.count; i++)
		n += is_in(&f.guests[i]) && f.guests[i].tenant == tenant;
	return n;
}

/* Its oldest has got a sandbox. */
static void serve(const char *tenant)
{
	for (unsigned i = 0; i < f.count; i++)
		if (is_in(&f.guests[i]) && f.guests[i].tenant == tenant) {
			waiting_room_leave(f.room, &f.guests[i].waiter);
			return;
		}
	fail_msg("none of %s waits", tenant);
}

/* -- tests -- */

static void one_may_fill_it_while_nobody_else_needs_it(void **state _unused_)
{
	make(10, 100);
	assert_int_equal(crowd(A, 12, 1), 10);
	assert_int_equal(gauges().refused, 2);
	assert_int_equal(gauges().displaced, 0);
	assert_int_equal(gauges().waiting, 10);
	assert_int_equal(gauges().bytes, 10);
	serve(A);
	assert_int_equal(crowd(A, 2, 1), 1);
	assert_int_equal(crowd(A, 1, 1000), 0);
	assert_int_equal(gauges().displaced, 0);
}

/* With the limits that the agent has by default. */
static void who_needs_little_gets_in_where_one_has_all(void **state _unused_)
{
	make(10000, 256 * MIB);
	assert_int_equal(crowd(A, 43, LARGE), 42);
	struct guest *youngest = &f.guests[41];
	assert_int_equal(crowd(A, 1, 4 * MIB), 1);
	assert_int_equal(gauges().bytes, 256 * MIB);
	struct guest *b = come(B, 100);
	assert_true(is_in(b));
	/* The youngest that is large enough, and no other. */
	assert_true(f.guests[43].displaced);
	assert_false(youngest->displaced);
	assert_int_equal(gauges().displaced, 1);
	/* The next finds room. */
	assert_int_equal(crowd(B, 100, 100), 100);
	assert_int_equal(gauges().displaced, 1);
}

static void places_go_by_weight(void **state _unused_)
{
	make(100, MIB);
	f.weight_of_a = 3;
	assert_int_equal(crowd(A, 110, 1), 100);
	assert_int_equal(crowd(B, 110, 1), 25);
	assert_int_equal(waiting(A), 75);
	/* The youngest went first. */
	for (unsigned i = 0; i < 110; i++)
		assert_int_equal(is_in(&f.guests[i]), i < 75);
	/* Neither gets more by trying. */
	for (unsigned i = 0; i < 20; i++) {
		assert_true(come(A, 1)->refused);
		assert_true(come(B, 1)->refused);
	}
	assert_int_equal(gauges().displaced, 25);
	/* Weights count as they are now. */
	f.weight_of_a = 1;
	assert_int_equal(crowd(B, 110, 1), 25);
	assert_int_equal(waiting(A), 50);
}

static void bytes_go_by_weight(void **state _unused_)
{
	make(10000, 80 * MIB);
	f.weight_of_a = 3;
	assert_int_equal(crowd(A, 100, MIB), 80);
	assert_int_equal(crowd(B, 100, MIB), 20);
	assert_int_equal(waiting(A), 60);
	assert_int_equal(gauges().bytes, 80 * MIB);
	assert_int_equal(crowd(A, 10, MIB), 0);
}

/* Shares that are no whole number: nobody chases another out and is chased in turn. */
static void three_share_without_chasing_each_other(void **state _unused_)
{
	make(10, MIB);
	assert_int_equal(crowd(A, 10, 1), 10);
	assert_int_equal(crowd(B, 10, 1), 5);
	assert_int_equal(crowd(C, 10, 1), 3);
	uint64_t displaced = gauges().displaced;
	for (unsigned i = 0; i < 50; i++) {
		come(A, 1);
		come(B, 1);
		come(C, 1);
	}
	assert_true(gauges().displaced <= displaced + 1);
	assert_int_equal(waiting(A) + waiting(B) + waiting(C), 10);
	assert_in_range(waiting(A), 3, 4);
	assert_in_range(waiting(B), 3, 4);
	assert_in_range(waiting(C), 3, 4);
}

/* 30 of weight 10 are less above than 20 of weight 1. */
static void who_is_most_above_by_weight_gives(void **state _unused_)
{
	make(50, MIB);
	f.weight_of_a = 10;
	assert_int_equal(crowd(A, 30, 1), 30);
	assert_int_equal(crowd(B, 20, 1), 20);
	assert_true(is_in(come(C, 1)));
	assert_int_equal(waiting(A), 30);
	assert_int_equal(waiting(B), 19);
	assert_ptr_equal(f.last_displaced, &f.guests[49]);
	assert_true(is_in(come(D, 1)));
	assert_int_equal(waiting(B), 18);
}

/* Together they have all, each on its own is not above: those who come have no share but a first
 * place. */
static void several_together_cannot_fill_it(void **state _unused_)
{
	make(9, MIB);
	assert_int_equal(crowd(A, 3, 1) + crowd(B, 3, 1) + crowd(C, 3, 1), 9);
	assert_true(is_in(come(D, 1)));
	assert_true(is_in(come(D, 1)));
	assert_true(come(D, 1)->refused);
	assert_int_equal(waiting(D), 2);
}

static void one_never_displaces_its_own_tenant_s(void **state _unused_)
{
	make(4, MIB);
	crowd(A, 3, 1);
	crowd(B, 1, 1);
	assert_true(come(A, 1)->refused);
	assert_int_equal(gauges().displaced, 0);
	assert_int_equal(waiting(A), 3);
	/* B has less than its half: A's youngest leaves for it. */
	assert_true(is_in(come(B, 1)));
	assert_true(f.guests[2].displaced);
}

/* The room lacks places, and the one above its share of bytes has nothing to do with it. */
static void what_lacks_decides_who_gives(void **state _unused_)
{
	make(100, 100 * MIB);
	assert_int_equal(crowd(A, 10, 9 * MIB), 10);
	assert_int_equal(crowd(B, 90, 10), 90);
	assert_true(is_in(come(C, 1)));
	assert_int_equal(waiting(A), 10);
	assert_int_equal(waiting(B), 89);
	/* Bytes lack: the other way round. */
	assert_true(is_in(come(C, 15 * MIB)));
	assert_int_equal(waiting(A), 9);
	assert_int_equal(waiting(B), 89);
}

/* Below its share of places but not of bytes. */
static void a_claim_needs_both(void **state _unused_)
{
	make(100, 100);
	assert_int_equal(crowd(A, 50, 1), 50);
	assert_int_equal(crowd(B, 1, 50), 1);
	assert_true(come(B, 1)->refused);
	assert_int_equal(gauges().displaced, 0);
	/* The other one's bytes are all used, but the half is its own. */
	assert_true(come(A, 1)->refused);
}

static void who_does_not_fit_all_the_same_displaces_nobody(void **state _unused_)
{
	make(100, 8 * MIB);
	assert_int_equal(crowd(A, 3, MIB), 3);
	assert_int_equal(crowd(B, 1, 5 * MIB), 1);
	assert_true(come(C, 9 * MIB)->refused); /* than the whole room */
	/* Two of A's could go, its last one and B's do not. */
	assert_true(come(C, 5 * MIB)->refused);
	assert_int_equal(waiting(A), 3);
	assert_int_equal(gauges().bytes, 8 * MIB);
	assert_int_equal(gauges().displaced, 0);
	/* They are in their order all the same: the youngest goes first. */
	assert_true(is_in(come(C, MIB)));
	assert_ptr_equal(f.last_displaced, &f.guests[2]);
	assert_true(is_in(come(D, MIB)));
	assert_ptr_equal(f.last_displaced, &f.guests[1]);
	assert_true(is_in(&f.guests[0]));
}

/* A share is less than one event: each can have one all the same, and keeps it. */
static void a_first_one_has_a_claim_and_stays(void **state _unused_)
{
	make(1000, 256 * MIB);
	f.weight_of_a = 1000;
	assert_int_equal(crowd(A, 42, LARGE), 42);
	struct guest *b = come(B, LARGE);
	assert_true(is_in(b));
	assert_int_equal(waiting(A), 41);
	for (unsigned i = 0; i < 100; i++)
		assert_true(come(A, LARGE)->refused);
	assert_true(is_in(b));
	/* A second one would need a share that large. */
	assert_true(come(B, LARGE)->refused);
	assert_int_equal(gauges().displaced, 1);
	/* When it has gone, the room is for whoever comes. */
	serve(B);
	assert_true(is_in(come(A, LARGE)));
}

static void events_without_bytes_take_places(void **state _unused_)
{
	make(4, 4);
	assert_int_equal(crowd(A, 5, 0), 4);
	assert_true(is_in(come(B, 4)));
	assert_int_equal(waiting(A), 3);
	assert_int_equal(gauges().bytes, 4);
	/* They have no bytes to give, but places. */
	assert_true(come(C, 1)->refused);
	assert_true(is_in(come(C, 0)));
	assert_int_equal(waiting(A), 2);
	serve(C);
	serve(B);
	assert_true(is_in(come(C, 1)));
}

/* Few leave: the large ones, though many small ones are younger. */
static void few_leave_for_a_large_one(void **state _unused_)
{
	make(10000, 256 * MIB);
	assert_int_equal(crowd(A, 42, LARGE), 42);
	assert_int_equal(crowd(A, 9000, 400), 9000);
	assert_true(is_in(come(B, LARGE)));
	assert_int_equal(gauges().displaced, 1);
}

static void as_many_leave_as_it_takes(void **state _unused_)
{
	make(1000, 1000);
	assert_int_equal(crowd(A, 100, 10), 100);
	assert_true(is_in(come(B, 95)));
	assert_int_equal(waiting(A), 90);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(is_in(&f.guests[i]), i < 90);
}

/* They count as all do. */
static void who_is_pinned_does_not_leave(void **state _unused_)
{
	make(4, MIB);
	crowd(A, 4, 1);
	waiting_room_pin(&f.guests[0].waiter);
	waiting_room_pin(&f.guests[3].waiter);
	assert_true(is_in(come(B, 1)));
	assert_ptr_equal(f.last_displaced, &f.guests[2]);
	/* The share of A is two. */
	assert_true(come(A, 1)->refused);
	waiting_room_unpin(f.room, &f.guests[0].waiter);
	assert_true(is_in(come(B, 1)));
	assert_ptr_equal(f.last_displaced, &f.guests[0]);
	waiting_room_pin(&f.guests[1].waiter);
	/* All that A has is pinned, and B's other one goes for a first. */
	assert_true(is_in(come(C, 1)));
	assert_int_equal(waiting(B), 1);
	assert_true(come(D, 1)->refused);
	waiting_room_leave(f.room, &f.guests[3].waiter);
	assert_true(is_in(come(D, 1)));
}

/* The one with most has little that could leave; another's one is enough. */
static void nobody_leaves_in_vain(void **state _unused_)
{
	make(100, 100);
	struct guest *large = come(A, 57);
	assert_int_equal(crowd(A, 3, 1), 3);
	assert_int_equal(crowd(B, 4, 10), 4);
	waiting_room_pin(&large->waiter);
	assert_true(is_in(come(C, 8)));
	assert_int_equal(waiting(A), 4);
	assert_int_equal(waiting(B), 3);
	assert_int_equal(gauges().displaced, 1);
	/* They are in their order. */
	assert_true(is_in(come(C, 3)));
	assert_ptr_equal(f.last_displaced, &f.guests[3]);
	assert_true(is_in(&f.guests[1]) && is_in(&f.guests[2]));
}

/* It asks for weights only when it must, and for each tenant once. */
static void a_decision_costs_a_step_for_each_tenant(void **state _unused_)
{
	make(9000, MIB);
	crowd(A, 8000, 1);
	crowd(B, 1000, 1);
	assert_int_equal(f.asked, 0);
	assert_true(come(A, 1)->refused);
	assert_int_equal(f.asked, 2);
	assert_true(is_in(come(B, 1)));
	assert_int_equal(f.asked, 4);
}

/* Whatever comes and goes: never too much, who comes costs its own tenant nothing, and all leave
 * for something. */
static void any_order_keeps_the_rules(void **state _unused_)
{
	static const char *const tenants[] = { A, B, C, D };
	unsigned seed = 7;

	make(40, 4000);
	f.weight_of_a = 4;
	f.weight_of_b = 2;
	for (unsigned i = 0; i < 4000; i++) {
		/* In floods, of one after the other. */
		unsigned whose =
			(unsigned)rand_r(&seed) % 4 ? i / 100 % 4 : (unsigned)rand_r(&seed) % 4;
		const char *tenant = tenants[whose];
		unsigned before = waiting(tenant);
		uint64_t displaced = gauges().displaced;
		const struct guest *guest = come(tenant, (uint64_t)rand_r(&seed) % 200);

		assert_true(gauges().waiting <= 40 && gauges().bytes <= 4000);
		assert_int_equal(waiting(tenant), before + is_in(guest));
		assert_true(is_in(guest) || gauges().displaced == displaced);
		whose = (unsigned)rand_r(&seed) % 4;
		if (i % 3 == 0 && waiting(tenants[whose]) > 0)
			serve(tenants[whose]);
	}
	assert_true(gauges().displaced > 100);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_may_fill_it_while_nobody_else_needs_it),
		TEST(who_needs_little_gets_in_where_one_has_all),
		TEST(places_go_by_weight),
		TEST(bytes_go_by_weight),
		TEST(three_share_without_chasing_each_other),
		TEST(who_is_most_above_by_weight_gives),
		TEST(several_together_cannot_fill_it),
		TEST(one_never_displaces_its_own_tenant_s),
		TEST(what_lacks_decides_who_gives),
		TEST(a_claim_needs_both),
		TEST(who_does_not_fit_all_the_same_displaces_nobody),
		TEST(a_first_one_has_a_claim_and_stays),
		TEST(events_without_bytes_take_places),
		TEST(few_leave_for_a_large_one),
		TEST(as_many_leave_as_it_takes),
		TEST(who_is_pinned_does_not_leave),
		TEST(nobody_leaves_in_vain),
		TEST(a_decision_costs_a_step_for_each_tenant),
		TEST(any_order_keeps_the_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
