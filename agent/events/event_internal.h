/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of this room share. Loop thread. */

#include <uthash.h>
#include <utlist.h>

#include "agent/core/lane.h"
#include "agent/events/event_queue.h"
#include "agent/events/event_shelf.h"

enum event_phase {
	EVENT_CHECKED, /* by the invoker; not taken yet */
	EVENT_ADDED,   /* to be durable */
	EVENT_HELD,    /* by who took it there */
	EVENT_SHELVED,
	EVENT_FETCHED, /* its body is read */
	EVENT_RUNNING,
	EVENT_ENDED, /* what is told of it is being made */
	EVENT_NOTED, /* what became of it is to be durable */
};

struct event {
	struct event_op op; /* first: the writer knows only it */
	struct shelf_item item;
	struct event_queue *queue;
	enum event_phase phase;
	enum event_end end;
	bool is_held;                  /* until it is released */
	struct event_telling *telling; /* owned, while it is in hand */
	event_taken_fn *answer;        /* while it is being taken */
	void *answer_arg;
	const struct invocation_request *request; /* a copy, owned, while it is being taken */
	bool is_onward;                           /* comes from another one's end */
	struct event *prev, *next;                /* of all */
};

/* All that is to be changed, in one transaction at a time. */
struct event_writer {
	struct event_store *store;
	struct loop *loop;
	struct lane lane;
	struct lane_job job;
	struct event_op *first, *last; /* gathered */
	struct event_op *batch;        /* being made */
	int result;
	struct error error;
	bool failing;
	struct timer again;
	/* No `error` comes for patient ones: they are tried until they are made. */
	void (*done)(struct event_op *op, const struct error *error);
};

/* Deliveries of one manner: those within the node do not wait for those to others. */
struct delivery_line {
	struct event_queue *queue;
	struct event_shelf shelf;
	struct timer due;
	unsigned in_flight, max;
};

enum delivery_manner { DELIVERY_HERE, DELIVERY_ABROAD, _DELIVERY_MANNERS };

struct event_queue {
	struct event_queue_config config;
	struct event_writer writer;
	struct event_shelf shelf;
	struct event *events;            /* all, in order of their sequence */
	struct settings_entry *settings; /* by key */
	struct event_room *rooms;        /* by tenant */
	struct timer due;
	bool stopping;
	struct delivery_line lines[_DELIVERY_MANNERS];
	struct delivery *deliveries;
	unsigned delivery_count; /* of `count` below */
	unsigned count;          /* durable, or on the way there, deliveries included */
	unsigned in_flight;      /* fetched, running, ended or noted */
	uint64_t bytes;
	uint64_t outcome_bytes; /* stored, or expected of tries under way */
	struct lane tellings;
	struct event_gauges counters;
};

/* event_writer.c */
void event_writer_init(struct event_writer *writer, struct event_store *store, struct loop *loop);
void event_writer_end(struct event_writer *writer);
void event_writer_add(struct event_writer *writer, struct event_op *op);
/* In one transaction with those that `more` links, which may be NULL. */
void event_writer_add_all(struct event_writer *writer, struct event_op *op, struct event_op *more);

/* event_intake.c */
void event_intake_done(struct event *event, const struct error *error);
/* As event_queue_submit(), of one that ended another: it takes that one's room. */
int event_queue_submit_onward(struct event_queue *queue, const struct invocation_request *request,
			      unsigned hops, event_taken_fn *answer, void *arg) _must_use_;

/* event_room.c: `bytes` are those of the event's payload and client context. */
int event_room_check(const struct event_queue *queue, const char *tenant, uint64_t bytes,
		     struct error *error) _must_use_;
int event_room_take(struct event_queue *queue, const char *tenant, uint64_t bytes) _must_use_;
void event_room_give_back(struct event_queue *queue, const char *tenant, uint64_t bytes);
/* Of those bytes, what outcomes take that no destination has yet, and what those of tries under way
 * are expected to. The tenant has an event or a delivery at the latter two. */
bool event_room_has_outcome(const struct event_queue *queue, const char *tenant, uint64_t bytes);
void event_room_take_outcome(struct event_queue *queue, const char *tenant, uint64_t bytes);
void event_room_give_back_outcome(struct event_queue *queue, const char *tenant, uint64_t bytes);

/* event_hold.c: true when the event was one that is taken back, which it is then. */
bool event_hold_written(struct event *event);

/* event_settings.c */
int event_settings_open(struct event_queue *queue, struct error *error) _must_use_;
void event_settings_close(struct event_queue *queue);
void event_settings_written(struct event_op *op, const struct error *error);

/* event_queue.c */
struct event *event_free(struct event *event);
/* What was taken after now, by a clock that was ahead, was taken now: its age begins. */
void event_forgive_clock(struct event_record *record);
/* It is durable and waits for its time. */
void event_shelve(struct event *event);
void event_queue_go_on(struct event_queue *queue);
