/* SPDX-License-Identifier: Apache-2.0 */

/* The indexes of groups between reads, and the order of those who read one group. Loop thread. */

#include <errno.h>

#include "agent/logs/log_internal.h"

static uint64_t shelf_bytes(const struct log_shelf *shelf)
{
	return sizeof(*shelf) + strlen(shelf->path) + 1 + shelf->index.bytes;
}

static struct log_shelf *shelf_new(struct log_store *store, const char *path)
{
	struct log_shelf *shelf = calloc(1, sizeof(*shelf));

	if (!shelf || !(shelf->path = strdup(path))) {
		free(shelf);
		return NULL;
	}
	shelf->index.max_bytes = store->index_max_bytes;
	TAILQ_INIT(&shelf->waiting);
	HASH_ADD_KEYPTR(hh, store->shelves, shelf->path, strlen(shelf->path), shelf);
	return shelf;
}

static void shelf_wake(struct log_store *store, struct log_shelf *shelf)
{
	TAILQ_REMOVE(&store->idle, shelf, link);
	store->idle_bytes -= shelf_bytes(shelf);
}

static void shelves_trim(struct log_store *store, uint64_t max_bytes)
{
	struct log_shelf *shelf;

	while (store->idle_bytes > max_bytes && (shelf = TAILQ_FIRST(&store->idle))) {
		shelf_wake(store, shelf);
		HASH_DEL(store->shelves, shelf);
		log_index_clear(&shelf->index);
		free(shelf->path);
		free(shelf);
	}
}

int log_turn_come(struct log_store *store, const char *path, struct log_turn *turn)
{
	struct log_shelf *shelf;

	HASH_FIND_STR(store->shelves, path, shelf);
	if (shelf && shelf->references == 0)
		shelf_wake(store, shelf);
	if (!shelf && !(shelf = shelf_new(store, path)))
		return -ENOMEM;
	shelf->references++;
	turn->shelf = shelf;
	return 0;
}

bool log_turn_take(struct log_turn *turn)
{
	struct log_shelf *shelf = turn->shelf;

	if (shelf->taken) {
		TAILQ_INSERT_TAIL(&shelf->waiting, turn, link);
		return false;
	}
	shelf->taken = true;
	turn->has_index = true;
	return true;
}

static void shelf_pass_on(struct log_shelf *shelf)
{
	struct log_turn *next = TAILQ_FIRST(&shelf->waiting);

	shelf->taken = next != NULL;
	if (!next)
		return;
	TAILQ_REMOVE(&shelf->waiting, next, link);
	next->has_index = true;
	next->fn(next->arg);
}

void log_turn_leave(struct log_store *store, struct log_turn *turn)
{
	struct log_shelf *shelf = turn->shelf;

	if (turn->has_index)
		shelf_pass_on(shelf);
	if (--shelf->references > 0)
		return;
	TAILQ_INSERT_TAIL(&store->idle, shelf, link);
	store->idle_bytes += shelf_bytes(shelf);
	shelves_trim(store, store->index_max_bytes);
}

void log_shelves_clear(struct log_store *store)
{
	shelves_trim(store, 0);
}
