/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of this room share. Thread of a field: the loop, unless it says "writer", which is
 * the flush job under way (there is at most one) and nobody else. */

#include <limits.h>
#include <stdbool.h>
#include <sys/queue.h>
#include <uthash.h>

#include "agent/logs/log_index.h"
#include "agent/logs/log_lines.h"
#include "agent/logs/log_store.h"

struct log_tail {
	struct log_group *group; /* referenced */
	log_tail_fn *fn;
	void *arg;
	bool stopped;
	TAILQ_ENTRY(log_tail) link;
};

/* What a file or a folder takes beyond its bytes, so that many small ones are bounded, too. */
#define LOG_FILE_COST_BYTES 4096

struct log_tenant {
	UT_hash_handle hh;
	struct log_store *store;
	char *path;     /* key; its folder, of group folders */
	bool measured;  /* writer */
	uint64_t bytes; /* writer; of all files of all groups, and LOG_FILE_COST_BYTES for each */
	uint64_t waiting_bytes; /* of its streams, of the store's */
};

struct log_group {
	UT_hash_handle hh;
	struct log_store *store;
	struct log_tenant *tenant; /* the store's */
	char *path;                /* key; its folder */
	unsigned references;
	TAILQ_HEAD(, log_tail) tails;
	unsigned delivering; /* tails are not unlinked while the list is walked */
	bool measured;       /* writer */
	uint64_t bytes;      /* writer; of all files of the folder */
};

struct log_stream {
	struct log_store *store;
	struct log_group *group; /* referenced */
	char *name;
	unsigned references; /* the owner, and the batch it is in */
	bool dirty;
	TAILQ_ENTRY(log_stream) link; /* of the dirty ones */
	struct buf waiting;           /* records */
	uint64_t waiting_records;
	uint64_t dropped_records; /* not yet said in the stream */
	uint64_t dropped_bytes;
	struct line_style style; /* of the line that says it */
	int64_t last_time_us;    /* of the event written last */
	struct buf captured;
	size_t capture_max;  /* 0: not capturing */
	int fd;              /* writer; the part written to, -1: none */
	unsigned part;       /* writer; its number */
	uint64_t part_bytes; /* writer */
};

/* What one flush writes of one stream. */
struct log_batch_item {
	struct log_stream *stream; /* referenced */
	struct buf records;
	uint64_t count;
	int result; /* of the writer: 0 or a negative errno, then nothing of it was kept */
};

struct log_batch {
	struct job job;
	struct log_store *store;
	struct log_batch_item *items;
	size_t count;
};

/* Somebody who waits for a flush to be done. */
struct log_waiter {
	uint64_t needs; /* number of the flush */
	loop_fn *fn;
	void *arg;
	TAILQ_ENTRY(log_waiter) link;
};

/* A group's index and those who wait for it: reads of one group take turns, so that the index is
 * made once and needs no lock. */
struct log_shelf {
	UT_hash_handle hh;
	char *path;             /* key; of the group's folder */
	struct log_index index; /* of the read job whose turn it is, else the loop's */
	unsigned references;    /* turns */
	bool taken;
	TAILQ_HEAD(, log_turn) waiting;
	TAILQ_ENTRY(log_shelf) link; /* of the idle ones */
};

/* Embedded in a read. */
struct log_turn {
	struct log_shelf *shelf; /* referenced */
	loop_fn *fn;
	void *arg;
	bool has_index;
	TAILQ_ENTRY(log_turn) link;
};

struct log_store {
	struct loop *loop;
	char *directory;
	uint64_t part_max_bytes;
	uint64_t group_max_bytes;
	uint64_t tenant_max_bytes;
	uint64_t waiting_max_bytes;
	uint64_t index_max_bytes;
	int64_t flush_after_us;

	struct log_group *groups;   /* by path */
	struct log_tenant *tenants; /* likewise; they stay */
	TAILQ_HEAD(, log_stream) dirty;
	uint64_t waiting_bytes;
	struct timer flush_timer;
	bool flush_planned;
	struct log_batch *batch; /* under way */
	uint64_t flushes_started;
	uint64_t flushes_done;
	TAILQ_HEAD(, log_waiter) waiters;
	struct log_shelf *shelves;    /* by path */
	TAILQ_HEAD(, log_shelf) idle; /* the one unused for longest first */
	uint64_t idle_bytes;
	int64_t last_ingestion_us;
	struct log_store_counters counters;
	bool dropping; /* said in the log already */
};

/* log_writer.c: the flush job. Runs on a worker. */
void log_batch_write(struct job *job);

/* log_trim.c: what a group or a tenant has, counted once. */
void log_group_measure(struct log_group *group);
void log_tenant_measure(struct log_tenant *tenant);
/* The oldest files go, those of groups that nobody writes to any more among them, and folders that
 * become empty. `keep`, a path, is written to now; a stream whose file goes begins a new part. */
void log_group_trim(struct log_group *group, const char *keep);
void log_tenant_trim(struct log_tenant *tenant, const char *keep);

/* log_shelf.c: a read comes when it is asked for, gets the index (true: now; false: fn(arg) comes
 * once it is free), and leaves when it is done. Which indexes stay then is a question of memory. */
int log_turn_come(struct log_store *store, const char *path, struct log_turn *turn) _must_use_;
bool log_turn_take(struct log_turn *turn) _must_use_;
void log_turn_leave(struct log_store *store, struct log_turn *turn);
/* When no read is left. */
void log_shelves_clear(struct log_store *store);

/* log_room.c: `bytes` of a tenant's records wait to be written, or do no more. */
bool log_room_has(const struct log_tenant *tenant, uint64_t bytes);
void log_room_take(struct log_tenant *tenant, uint64_t bytes);
void log_room_give_back(struct log_tenant *tenant, uint64_t bytes);

/* log_store.c: calls fn(arg) once all that was written so far is in the files. */
int log_store_wait(struct log_store *store, struct log_waiter *waiter);

/* log_group.c. */
/* STATE/logs/TENANT/GROUP; the caller frees. NULL: no memory. */
char *log_group_path(const struct log_store *store, const char *tenant, const char *group);
/* Referenced until it is put. */
int log_group_get(struct log_store *store, const char *tenant, const char *name,
		  struct log_group **ret) _must_use_;
void log_group_put(struct log_group *group);
/* When no group is left. */
void log_tenants_clear(struct log_store *store);
