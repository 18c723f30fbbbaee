/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Events that were taken and have not ended: durable, in a file of their own. What is changed, is
 * changed for many events in one transaction. Every call blocks: in jobs, or before the loop runs;
 * one at a time. */

#include <stdbool.h>
#include <stdint.h>

#include "mayfly/buf.h"
#include "mayfly/cleanup.h"
#include "mayfly/error.h"
#include "mayfly/id.h"

#define EVENT_TENANT_BYTES    33 /* with NUL, as the next two */
#define EVENT_FUNCTION_BYTES  65
#define EVENT_QUALIFIER_BYTES 129
#define EVENT_TARGET_BYTES    1025 /* of a destination's ARN or URL, with NUL */
#define EVENT_CONDITION_BYTES 32

/* All but what it carries. Times are Unix times: they outlive the machine's start. */
struct event_record {
	uint64_t sequence; /* given when it is added; never used again */
	char request_id[UUID_BYTES];
	char tenant[EVENT_TENANT_BYTES];
	char function[EVENT_FUNCTION_BYTES];
	char qualifier[EVENT_QUALIFIER_BYTES]; /* "": none was given */
	int64_t received_us;
	int64_t due_us;
	unsigned errors; /* tries that ended with a function error */
	unsigned delays; /* since then, tries in a row that no function ran for */
	unsigned hops;  /* events that led to this one by way of destinations; read with the body */
	uint64_t bytes; /* of payload and client context */
};

struct event_body {
	struct slice payload;
	struct slice client_context;
	const char *trace_id;   /* "": none was given */
	const char *end_tenant; /* in whose name; "": nobody's */
};

/* How events of a function, a version or an alias are tried, where it is not as on the node. */
struct event_settings {
	bool has_max_retries;
	unsigned max_retries;
	bool has_max_age;
	unsigned max_age_s;
	char on_success[EVENT_TARGET_BYTES]; /* "": nowhere, as the next */
	char on_failure[EVENT_TARGET_BYTES];
	int64_t modified_us;
};

/* The outcome of an event on its way to one of its destinations: beside a record with the event's
 * names, in which received_us is when it ended, errors counts tries to deliver, and the payload is
 * what is delivered. */
struct event_delivery {
	char id[UUID_BYTES]; /* of the message that it becomes; the same at each try */
	char *target;        /* owned: the destination as it was set */
	bool is_dead_letter;
	char condition[EVENT_CONDITION_BYTES];
	const char *error_message; /* borrowed; read with the body */
	uint64_t event_at;         /* where in the payload the event itself lies */
	uint64_t event_bytes;
};

enum event_change {
	EVENT_ADD,    /* record and body, which are borrowed */
	EVENT_UPDATE, /* due_us, errors, delays */
	EVENT_DELETE,
	EVENT_READ,            /* the body, into `memory`; one that is not there leaves that NULL */
	EVENT_SET_SETTINGS,    /* of the record's tenant, function and qualifier */
	EVENT_FORGET_SETTINGS, /* likewise */
	EVENT_ADD_DELIVERY,    /* record, body and delivery */
	EVENT_UPDATE_DELIVERY, /* due_us, errors */
	EVENT_DELETE_DELIVERY,
	EVENT_READ_DELIVERY, /* as EVENT_READ, with the delivery's error_message */
};

/* One change, of `record`; `next` is for who gathers them. */
struct event_op {
	struct event_op *next;
	enum event_change change;
	bool is_patient; /* of its user */
	struct event_record record;
	struct event_body body;
	const struct event_settings *settings; /* borrowed */
	struct event_delivery *delivery;       /* borrowed */
	void *memory;                          /* owned: what a body that was read lies in */
};
void event_op_forget_body(struct event_op *op);

struct event_store;

/* Opens or makes the file PATH (its folder exists). `full`: what was added survives the loss of
 * power, else only the end of this process. */
int event_store_open(const char *path, bool full, struct event_store **ret,
		     struct error *error) _must_use_;
/* Copes with NULL. */
struct event_store *event_store_close(struct event_store *store);
DEFINE_CLEANUP(struct event_store, event_store_close)

/* All from `first` on, or none. */
int event_store_apply(struct event_store *store, struct event_op *first,
		      struct error *error) _must_use_;

/* Every event, in order of sequence. Borrowed during the call; a negative result ends it and is
 * returned. */
typedef int event_record_fn(const struct event_record *record, void *arg);
int event_store_each(struct event_store *store, event_record_fn *fn, void *arg,
		     struct error *error) _must_use_;

/* All settings, likewise: `key` has tenant, function and qualifier. */
typedef int event_settings_fn(const struct event_record *key, const struct event_settings *settings,
			      void *arg);
int event_store_each_settings(struct event_store *store, event_settings_fn *fn, void *arg,
			      struct error *error) _must_use_;

/* All deliveries, likewise, in order of sequence; what they carry is not read. */
typedef int event_delivery_fn(const struct event_record *record,
			      const struct event_delivery *delivery, void *arg);
int event_store_each_delivery(struct event_store *store, event_delivery_fn *fn, void *arg,
			      struct error *error) _must_use_;
