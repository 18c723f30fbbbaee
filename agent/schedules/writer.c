/* SPDX-License-Identifier: Apache-2.0 */

/* Group commit: while one transaction is under way, the next gathers. Each op holds its keys to the
 * revisions it knows, so that of two hands one has its way: should another have changed one of
 * them, the ops of that transaction are made one by one. */

#include <errno.h>

#include "agent/schedules/internal.h"

static void start(struct schedule_writer *writer);

void op_reset(struct schedule_op *op)
{
	for (unsigned i = 0; i < OP_WRITES; i++)
		buf_free(&op->values[i]);
	error_clear(&op->error);
	*op = (struct schedule_op){ 0 };
}

static void add_write(struct schedule_op *op, const char *prefix, const struct entry *entry,
		      struct registry_write write)
{
	schedule_record_key(prefix, entry->tenant, entry->name, op->keys[op->count]);
	write.key = op->keys[op->count];
	op->writes[op->count++] = write;
}

void op_put(struct schedule_op *op, const char *prefix, const struct entry *entry,
	    uint64_t revision)
{
	add_write(op, prefix, entry,
		  (struct registry_write){ .value = buf_slice(&op->values[op->count]),
					   .revision = revision });
}

void op_remove(struct schedule_op *op, const char *prefix, const struct entry *entry,
	       uint64_t revision)
{
	add_write(op, prefix, entry,
		  (struct registry_write){ .remove = true, .revision = revision });
}

void writer_init(struct schedule_writer *writer, struct registry *registry, struct loop *loop)
{
	writer->registry = registry;
	lane_init(&writer->lane, loop, 1);
}

/* -- a job's -- */

static void commit_one(struct schedule_writer *writer, struct schedule_op *op)
{
	int r = registry_commit(writer->registry, op->writes, op->count, &op->revision, &op->error);

	if (r < 0) /* an error that is set already stays */
		(void)error_set_errno(&op->error, r, "Cannot write down the change");
}

static int commit_all(struct schedule_writer *writer, struct error *error)
{
	struct registry_write writes[REGISTRY_WRITES];
	uint64_t revision = 0;
	size_t count = 0;
	int r;

	for (const struct schedule_op *op = writer->batch; op; op = op->next)
		for (unsigned i = 0; i < op->count; i++)
			writes[count++] = op->writes[i];
	r = registry_commit(writer->registry, writes, count, &revision, error);
	for (struct schedule_op *op = writer->batch; op && r == 0; op = op->next)
		op->revision = revision;
	return r;
}

static void work(struct job *job)
{
	struct schedule_writer *writer =
		container_of(container_of(job, struct lane_job, job), struct schedule_writer, job);
	_cleanup_error_ struct error error = ERROR_INIT;
	int r = commit_all(writer, &error);

	for (struct schedule_op *op = writer->batch; op && r < 0; op = op->next)
		if (error.code == ERROR_PRECONDITION_FAILED)
			commit_one(writer, op);
		else if (error_copy(&op->error, &error) < 0 || op->error.code == ERROR_NONE)
			(void)error_set_errno(&op->error, r, "Cannot write down the change");
}

/* -- the loop's -- */

static void done(struct lane_job *job)
{
	struct schedule_writer *writer = container_of(job, struct schedule_writer, job);
	struct schedule_op *batch = writer->batch, *next;

	writer->batch = NULL;
	start(writer);
	for (struct schedule_op *op = batch; op; op = next) {
		next = op->next;
		op->done(op);
	}
}

/* As many as a transaction takes. */
static void start(struct schedule_writer *writer)
{
	struct schedule_op *last = writer->first;
	unsigned count;

	if (writer->batch || !writer->first)
		return;
	count = last->count;
	while (last->next && count + last->next->count <= REGISTRY_WRITES) {
		last = last->next;
		count += last->count;
	}
	writer->batch = writer->first;
	writer->first = last->next;
	if (!writer->first)
		writer->last = NULL;
	last->next = NULL;
	writer->job.job.work = work;
	writer->job.done = done;
	lane_submit(&writer->lane, &writer->job);
}

void writer_add(struct schedule_writer *writer, struct schedule_op *op)
{
	op->next = NULL;
	if (writer->last)
		writer->last->next = op;
	else
		writer->first = op;
	writer->last = op;
	start(writer);
}
