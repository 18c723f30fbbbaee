/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/events/event_settings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/events/event_internal.h"
#include "mayfly/clock.h"

struct settings_entry {
	struct event_op op; /* first: the writer knows only it */
	struct event_settings_key key;
	struct event_queue *queue;
	bool is_there; /* `settings` are durable */
	struct event_settings settings;
	struct event_settings wanted; /* of the op */
	bool is_changing;             /* the op is under way */
	bool is_gone;                 /* the function was deleted meanwhile */
	event_settings_answer_fn *answer;
	void *answer_arg;
	UT_hash_handle hh;
};

static void fill_key(struct event_settings_key *key, const char *tenant, const char *function,
		     const char *qualifier)
{
	memset(key, 0, sizeof(*key)); /* it is hashed as it lies there */
	(void)snprintf(key->tenant, sizeof(key->tenant), "%s", tenant);
	(void)snprintf(key->function, sizeof(key->function), "%s", function);
	(void)snprintf(key->qualifier, sizeof(key->qualifier), "%s",
		       qualifier[0] ? qualifier : FUNCTION_LATEST);
}

static struct settings_entry *find(const struct event_queue *queue, const char *tenant,
				   const char *function, const char *qualifier)
{
	struct settings_entry *entry;
	struct event_settings_key key;

	fill_key(&key, tenant, function, qualifier);
	HASH_FIND(hh, queue->settings, &key, sizeof(key), entry);
	return entry;
}

const struct event_settings *event_settings_find(const struct event_queue *queue,
						 const char *tenant, const char *function,
						 const char *qualifier)
{
	const struct settings_entry *entry = find(queue, tenant, function, qualifier);

	return entry && entry->is_there ? &entry->settings : NULL;
}

void event_settings_each(const struct event_queue *queue, const char *tenant, const char *function,
			 event_settings_each_fn *fn, void *arg)
{
	struct settings_entry *entry, *next;

	HASH_ITER (hh, queue->settings, entry, next)
		if (entry->is_there && strcmp(entry->key.tenant, tenant) == 0 &&
		    strcmp(entry->key.function, function) == 0)
			fn(entry->key.qualifier, &entry->settings, arg);
}

static struct settings_entry *make_entry(struct event_queue *queue, const char *tenant,
					 const char *function, const char *qualifier)
{
	struct settings_entry *entry = calloc(1, sizeof(*entry));

	if (!entry)
		return NULL;
	entry->queue = queue;
	fill_key(&entry->key, tenant, function, qualifier);
	memcpy(entry->op.record.tenant, entry->key.tenant, sizeof(entry->key.tenant));
	memcpy(entry->op.record.function, entry->key.function, sizeof(entry->key.function));
	memcpy(entry->op.record.qualifier, entry->key.qualifier, sizeof(entry->key.qualifier));
	HASH_ADD(hh, queue->settings, key, sizeof(entry->key), entry);
	return entry;
}

static void free_entry(struct settings_entry *entry)
{
	HASH_DEL(entry->queue->settings, entry);
	free(entry);
}

/* -- changes -- */

/* Nobody asks how it went, so it is tried until it is made. */
static void forget(struct settings_entry *entry)
{
	entry->is_there = false;
	entry->is_changing = true;
	entry->op.change = EVENT_FORGET_SETTINGS;
	entry->op.is_patient = true;
	event_writer_add(&entry->queue->writer, &entry->op);
}

static int begin(struct settings_entry *entry, event_settings_answer_fn *answer, void *arg,
		 struct error *error)
{
	if (entry->is_changing)
		return error_set(error, ERROR_CONFLICT, NULL,
				 "The operation cannot be performed at this time. An update is in "
				 "progress for this EventInvokeConfig.");
	entry->is_changing = true;
	entry->op.is_patient = false;
	entry->answer = answer;
	entry->answer_arg = arg;
	return 0;
}

int event_settings_put(struct event_queue *queue, const struct event_settings_key *key,
		       const struct event_settings *settings, event_settings_answer_fn *answer,
		       void *arg, struct error *error)
{
	struct settings_entry *entry = find(queue, key->tenant, key->function, key->qualifier);
	int r;

	if (!entry)
		entry = make_entry(queue, key->tenant, key->function, key->qualifier);
	if (!entry)
		return error_set_errno(error, ENOMEM, "Cannot take the settings");
	r = begin(entry, answer, arg, error);
	if (r < 0)
		return r;
	entry->op.change = EVENT_SET_SETTINGS;
	entry->wanted = *settings;
	entry->wanted.modified_us = clock_realtime_us();
	entry->op.settings = &entry->wanted;
	event_writer_add(&queue->writer, &entry->op);
	return 0;
}

int event_settings_delete(struct event_queue *queue, const struct event_settings_key *key,
			  event_settings_answer_fn *answer, void *arg, struct error *error)
{
	struct settings_entry *entry = find(queue, key->tenant, key->function, key->qualifier);
	int r = entry ? begin(entry, answer, arg, error)
		      : error_set(error, ERROR_NOT_FOUND, NULL, "There is no EventInvokeConfig.");

	if (r < 0)
		return r;
	entry->op.change = EVENT_FORGET_SETTINGS;
	event_writer_add(&queue->writer, &entry->op);
	return 0;
}

void event_settings_written(struct event_op *op, const struct error *error)
{
	struct settings_entry *entry = container_of(op, struct settings_entry, op);
	event_settings_answer_fn *answer = entry->answer;
	bool is_set = op->change == EVENT_SET_SETTINGS;

	entry->is_changing = false;
	entry->answer = NULL;
	if (!error) {
		entry->is_there = is_set;
		entry->settings = entry->wanted;
	}
	if (answer)
		answer(!error && is_set ? &entry->settings : NULL, error, entry->answer_arg);
	if (entry->is_gone && entry->is_there)
		forget(entry);
	else if (!entry->is_there)
		free_entry(entry);
	else
		entry->is_gone = false;
}

/* -- with the functions -- */

static void on_directory(const struct function *function, enum directory_event event, void *arg)
{
	struct event_queue *queue = arg;
	struct settings_entry *entry, *next;
	char version[FUNCTION_VERSION_BYTES];

	if (event != DIRECTORY_DELETED)
		return;
	function_version_name(function->version, version);
	HASH_ITER (hh, queue->settings, entry, next) {
		if (strcmp(entry->key.tenant, function->tenant) != 0 ||
		    strcmp(entry->key.function, function->name) != 0)
			continue;
		if (function->version > 0 && strcmp(entry->key.qualifier, version) != 0)
			continue;
		if (entry->is_changing)
			entry->is_gone = true;
		else
			forget(entry);
	}
}

static int take_up(const struct event_record *key, const struct event_settings *settings, void *arg)
{
	struct event_queue *queue = arg;
	struct settings_entry *entry =
		make_entry(queue, key->tenant, key->function, key->qualifier);

	if (!entry)
		return -ENOMEM;
	entry->is_there = true;
	entry->settings = *settings;
	/* Deleted while no agent could write that down here. */
	if (!directory_find_qualified(queue->config.directory, key->tenant, key->function,
				      key->qualifier))
		forget(entry);
	return 0;
}

int event_settings_open(struct event_queue *queue, struct error *error)
{
	int r = event_store_each_settings(queue->config.store, take_up, queue, error);

	if (r < 0)
		return r;
	r = directory_add_listener(queue->config.directory, on_directory, queue);
	return r < 0 ? error_set_errno(error, r, "Cannot hear of functions") : 0;
}

void event_settings_close(struct event_queue *queue)
{
	struct settings_entry *entry, *next;

	HASH_ITER (hh, queue->settings, entry, next)
		free_entry(entry);
}
