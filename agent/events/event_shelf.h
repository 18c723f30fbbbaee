/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Events that wait: first for their time, then for their tenant's turn. Of those whose time has
 * come, tenants have one each in turn, the oldest first. Loop thread. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/store/event_store.h"
#include "mayfly/cleanup.h"

struct shelf_tenant;

/* Embedded in an event, which is on the shelf or not. */
struct shelf_item {
	const char *tenant; /* borrowed while it is on the shelf */
	int64_t due_us;     /* monotonic */
	struct shelf_item *next;
};

struct event_shelf {
	struct shelf_item **heap; /* the earliest first */
	size_t count, size;
	struct shelf_tenant *tenants;                /* with items whose time has come, by name */
	struct shelf_tenant *turn_first, *turn_last; /* whose turn is next */
};

/* Copes with a zero-initialised one. Items are not its own. */
void event_shelf_free(struct event_shelf *shelf);
/* 0 or -ENOMEM. */
int event_shelf_reserve(struct event_shelf *shelf, size_t items) _must_use_;
/* There is room: event_shelf_reserve() said so. */
void event_shelf_put(struct event_shelf *shelf, struct shelf_item *item);
/* The next one to be run, or NULL when the time of none has come. */
struct shelf_item *event_shelf_take(struct event_shelf *shelf, int64_t now_us);
/* When event_shelf_take() has one next; INT64_MAX: when there is a new one. */
int64_t event_shelf_next_us(const struct event_shelf *shelf);
