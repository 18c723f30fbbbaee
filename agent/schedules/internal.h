/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of this room share. Loop thread, but for what is marked as a job's. */

#include <sys/queue.h>

/* uthash's own choice falls through switch labels, which clang does not forgive. */
#define HASH_FUNCTION HASH_FNV
#include <uthash.h>

#include "agent/core/lane.h"
#include "agent/events/event_hold.h"
#include "agent/schedules/due_heap.h"
#include "agent/schedules/occurrence.h"
#include "agent/schedules/record.h"
#include "agent/schedules/schedules.h"
#include "agent/store/registry.h"

#define OP_WRITES 2

/* One change of the registry: a schedule, its mark, or both. */
struct schedule_op {
	struct schedule_op *next; /* of the writer */
	unsigned count;
	struct registry_write writes[OP_WRITES];
	char keys[OP_WRITES][SCHEDULE_KEY_BYTES];
	struct buf values[OP_WRITES]; /* what was put */
	uint64_t revision;            /* of what was put, when it is done */
	struct error error;
	void (*done)(struct schedule_op *op); /* op->error says how it went */
};

/* All that is to be changed, in one transaction at a time. */
struct schedule_writer {
	struct registry *registry;
	struct lane lane;
	struct lane_job job;
	struct schedule_op *first, *last; /* gathered */
	struct schedule_op *batch;        /* being made */
};

enum entry_phase {
	ENTRY_WAITING, /* for its time */
	ENTRY_PUTTING, /* an occurrence becomes an event */
	ENTRY_MARKING, /* it is written down that it did, or that it passed */
	ENTRY_CHANGING,
	_ENTRY_PHASES,
};

struct change;
TAILQ_HEAD(change_list, change);
TAILQ_HEAD(change_queue, change);

/* A schedule; `schedule` is NULL while it is being created. */
struct entry {
	struct schedules *owner;
	char tenant[TENANT_ID_BYTES];
	char name[SCHEDULE_NAME_MAX + 1];
	struct schedule *schedule;
	struct timetable timetable; /* of `schedule` */
	struct schedule_mark mark;
	uint64_t revision;      /* of its record */
	uint64_t mark_revision; /* of its mark */
	int64_t next_us;        /* the first occurrence that is not dealt with; INT64_MAX: none */
	struct due_item due;
	enum entry_phase phase;
	struct change_queue changes; /* that wait until it waits */
	size_t input_bytes;          /* of what it is, or is becoming */

	/* One occurrence that fires. */
	int64_t occurrence_us;
	unsigned attempts;
	int64_t retry_us;   /* not before then */
	struct buf event;   /* while it is put */
	struct event *held; /* durable, until the mark is */

	/* How far it is next. */
	struct schedule_mark next_mark;
	unsigned passing; /* occurrences that did not fire */
	bool goes;        /* it is completed then */
	struct schedule_op op;
};

struct zone_entry {
	char name[ZONE_NAME_MAX + 1];
	struct zone *zone;
	UT_hash_handle hh;
};

struct schedules {
	struct schedules_config config; /* region is owned */
	struct entry **entries;         /* in order of tenant and name */
	size_t count, size;
	struct due_heap heap;
	struct zone_entry *zones; /* read once */
	struct schedule_writer writer;
	struct lane lane;           /* preparation of changes */
	struct change_list changes; /* all */
	sd_event_source *timer;
	sd_event_source *clock; /* says when it was set */
	int clock_fd;
	unsigned in_flight; /* that are being put or marked */
	bool stopping;
	struct schedules_gauges counters;
};

/* book.c: entries by name */
struct entry *book_find(const struct schedules *schedules, const char *tenant, const char *name);
/* The first one not before that. */
size_t book_place(const struct schedules *schedules, const char *tenant, const char *name);
int book_add(struct schedules *schedules, const char *tenant, const char *name,
	     struct entry **ret) _must_use_;
/* What it stands on is freed. */
void book_remove(struct entry *entry);
void book_clear(struct schedules *schedules);
/* One that is there and not only being created. */
struct entry *book_find_living(const struct schedules *schedules, const char *tenant,
			       const char *name);
struct schedule_view book_view(const struct entry *entry);

/* writer.c */
void writer_init(struct schedule_writer *writer, struct registry *registry, struct loop *loop);
void writer_add(struct schedule_writer *writer, struct schedule_op *op);
/* Of an op that is not under way: empty again, or gone. */
void op_reset(struct schedule_op *op);
/* `revision` is what the key must have now. */
void op_put(struct schedule_op *op, const char *prefix, const struct entry *entry,
	    uint64_t revision);
void op_remove(struct schedule_op *op, const char *prefix, const struct entry *entry,
	       uint64_t revision);

/* zones.c: NULL when it was not read yet. What is kept is there until the end. */
const struct zone *zones_find(const struct schedules *schedules, const char *name);
/* Takes the zone. NULL: no memory. */
const struct zone *zones_keep(struct schedules *schedules, const char *name, struct zone *zone);
void zones_clear(struct schedules *schedules);

/* clock.c: the wall clock, and when it is set */
int64_t schedules_now(const struct schedules *schedules);
int clock_open(struct schedules *schedules) _must_use_;
void clock_close(struct schedules *schedules);

/* fire.c */
int fire_open(struct schedules *schedules) _must_use_;
void fire_close(struct schedules *schedules);
/* Takes the schedule, as it is from now on; its zone NULL if that cannot be read. */
int fire_install(struct entry *entry, struct schedule *schedule, const struct zone *zone,
		 const struct schedule_mark *mark) _must_use_;
/* Waits for its next occurrence. Not while it fires. */
void fire_settle(struct entry *entry);
/* Whether it goes when all up to then is done: it is to be deleted with its last occurrence. */
bool fire_is_last(const struct entry *entry, int64_t done_us);
/* Nothing of it is in the heap. */
void fire_forget(struct entry *entry);

/* recover.c: blocks */
int schedules_recover(struct schedules *schedules, struct error *error) _must_use_;

/* change.c */
/* What waited until the entry waits, which it does. It may be gone afterwards. */
void change_go_on(struct entry *entry);
/* It is no more, as is durable. */
void change_forget_entry(struct entry *entry);
void changes_close(struct schedules *schedules);
