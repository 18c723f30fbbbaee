/* SPDX-License-Identifier: Apache-2.0 */

/* Group commit: while one transaction is under way, the next gathers. */

#include "agent/events/event_internal.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"

#define AGAIN_US USEC_PER_SEC

static void start(struct event_writer *writer);

void event_writer_init(struct event_writer *writer, struct event_store *store, struct loop *loop)
{
	writer->store = store;
	writer->loop = loop;
	lane_init(&writer->lane, loop, 1);
}

void event_writer_end(struct event_writer *writer)
{
	timer_disarm(&writer->again);
	error_clear(&writer->error);
}

static void gather(struct event_writer *writer, struct event_op *op)
{
	op->next = NULL;
	if (writer->last)
		writer->last->next = op;
	else
		writer->first = op;
	writer->last = op;
}

static void work(struct job *job)
{
	struct event_writer *writer =
		container_of(container_of(job, struct lane_job, job), struct event_writer, job);

	writer->result = event_store_apply(writer->store, writer->batch, &writer->error);
}

static void on_again(void *arg)
{
	struct event_writer *writer = arg;

	writer->failing = false;
	start(writer);
}

/* Nothing was changed. Who waits for an answer has it; the rest is tried again. */
static void on_failure(struct event_writer *writer, struct event_op *batch)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct event_op *next;

	error_move(&error, &writer->error);
	log_error("Events cannot be written: %s", error_log_text(&error));
	writer->failing = timer_arm(&writer->again, writer->loop, clock_monotonic_us() + AGAIN_US,
				    on_again, writer) >= 0;
	for (struct event_op *op = batch; op; op = next) {
		next = op->next;
		if (op->is_patient)
			gather(writer, op);
		else
			writer->done(op, &error);
	}
}

static void done(struct lane_job *job)
{
	struct event_writer *writer = container_of(job, struct event_writer, job);
	struct event_op *batch = writer->batch, *next;

	writer->batch = NULL;
	if (writer->result < 0) {
		on_failure(writer, batch);
		return;
	}
	start(writer);
	for (struct event_op *op = batch; op; op = next) {
		next = op->next;
		writer->done(op, NULL);
	}
}

static void start(struct event_writer *writer)
{
	if (writer->batch || writer->failing || !writer->first)
		return;
	writer->batch = writer->first;
	writer->first = writer->last = NULL;
	writer->job.job.work = work;
	writer->job.done = done;
	lane_submit(&writer->lane, &writer->job);
}

void event_writer_add_all(struct event_writer *writer, struct event_op *op, struct event_op *more)
{
	struct event_op *next;

	gather(writer, op);
	for (; more; more = next) {
		next = more->next;
		gather(writer, more);
	}
	start(writer);
}

void event_writer_add(struct event_writer *writer, struct event_op *op)
{
	event_writer_add_all(writer, op, NULL);
}
