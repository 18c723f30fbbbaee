/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/vm/vm_internal.h"

#include <errno.h>
#include <string.h>

#include "mayfly/log.h"

#define PASSING_RAM_BYTES 4096

static void on_run_reply(const json_t *result, const char *error, void *arg);

static int send_run_command(struct vm *vm)
{
	vm->in_flight = true;
	return qmp_execute(vm->qmp, vm->wished ? "cont" : "stop", NULL, -1, on_run_reply, vm);
}

/* Calls those whose wish is what is now; once nothing is in flight, also those whose wish a later
 * one overtook. */
static void settle_waiters(struct vm *vm, bool all)
{
	STAILQ_HEAD(, run_waiter) due = STAILQ_HEAD_INITIALIZER(due);
	struct run_waiter *waiter;
	struct run_waiter *next;

	for (waiter = STAILQ_FIRST(&vm->waiters); waiter; waiter = next) {
		next = STAILQ_NEXT(waiter, entry);
		if (!all && waiter->wanted != vm->running)
			continue;
		STAILQ_REMOVE(&vm->waiters, waiter, run_waiter, entry);
		STAILQ_INSERT_TAIL(&due, waiter, entry);
	}
	while ((waiter = STAILQ_FIRST(&due))) {
		STAILQ_REMOVE_HEAD(&due, entry);
		if (waiter->done)
			waiter->done(waiter->arg);
		free(waiter);
	}
}

static void on_run_reply(const json_t *result _unused_, const char *error, void *arg)
{
	struct vm *vm = arg;

	vm->in_flight = false;
	if (vm->state != VM_LIVE)
		return;
	if (error) {
		vm_connection_closed(vm, error);
		return;
	}
	vm->running = !vm->running;
	if (vm->wished == vm->running) {
		settle_waiters(vm, true);
		return;
	}
	if (send_run_command(vm) < 0) {
		vm_failed(vm, "QEMU's monitor is gone", false);
		return;
	}
	settle_waiters(vm, false);
}

static void wish(struct vm *vm, bool running, loop_fn *done, void *arg)
{
	struct run_waiter *waiter;

	if (vm->state != VM_LIVE)
		return;
	if (running == vm->running && !vm->in_flight) {
		vm->wished = running;
		if (done)
			loop_post(vm->host->loop, done, arg);
		return;
	}
	if (done) {
		waiter = calloc(1, sizeof(*waiter));
		if (!waiter) {
			vm_end(vm, "out of memory");
			return;
		}
		*waiter = (struct run_waiter){ .wanted = running, .done = done, .arg = arg };
		STAILQ_INSERT_TAIL(&vm->waiters, waiter, entry);
	}
	vm->wished = running;
	if (!vm->in_flight && send_run_command(vm) < 0)
		vm_end(vm, "QEMU's monitor is gone");
}

void vm_resume(struct vm *vm, loop_fn *done, void *arg)
{
	wish(vm, true, done, arg);
}

void vm_pause(struct vm *vm, loop_fn *done, void *arg)
{
	wish(vm, false, done, arg);
}

void vm_monitor_drop_waiters(struct vm *vm)
{
	struct run_waiter *waiter;

	while ((waiter = STAILQ_FIRST(&vm->waiters))) {
		STAILQ_REMOVE_HEAD(&vm->waiters, entry);
		free(waiter);
	}
}

/* ---- device state in and out ---- */

static void finish_save(struct vm *vm, const char *error)
{
	vm_saved_fn *done = vm->on_saved;

	vm->on_saved = NULL;
	if (done)
		done(vm, error, vm->on_saved_arg);
}

static void on_migration_event(struct vm *vm, const char *status)
{
	bool completed = strcmp(status, "completed") == 0;
	bool failed = strcmp(status, "failed") == 0 || strcmp(status, "cancelled") == 0;

	if (vm->state == VM_LOADING && completed)
		vm_loaded(vm);
	else if (vm->state == VM_LOADING && failed)
		vm_failed(vm, "QEMU could not load the template's device state", true);
	else if (vm->on_saved && (completed || failed))
		finish_save(vm, completed ? NULL : "QEMU could not save the device state");
}

static void on_step_reply(const json_t *result _unused_, const char *error, void *arg)
{
	struct vm *vm = arg;

	if (!error || vm->state >= VM_ENDING)
		return;
	if (vm->on_saved)
		finish_save(vm, error);
	else
		vm_connection_closed(vm, error);
}

/* RAM stays out of the stream: it is in its file already. */
static int send_capabilities(struct vm *vm)
{
	json_t *arguments;

	arguments = json_pack("{s:[{s:s, s:b}, {s:s, s:b}]}", "capabilities", "capability",
			      "x-ignore-shared", "state", 1, "capability", "events", "state", 1);
	if (!arguments)
		return -ENOMEM;
	return qmp_execute(vm->qmp, "migrate-set-capabilities", arguments, -1, on_step_reply, vm);
}

static int send_stream(struct vm *vm, const char *command, int fd)
{
	json_t *name;
	json_t *uri;
	int r;

	r = send_capabilities(vm);
	if (r < 0)
		return r;
	name = json_pack("{s:s}", "fdname", "state");
	uri = json_pack("{s:s}", "uri", "fd:state");
	if (!name || !uri) {
		json_decref(name);
		json_decref(uri);
		return -ENOMEM;
	}
	r = qmp_execute(vm->qmp, "getfd", name, fd, on_step_reply, vm);
	if (r < 0) {
		json_decref(uri);
		return r;
	}
	return qmp_execute(vm->qmp, command, uri, -1, on_step_reply, vm);
}

/* Some 2 MiB of what libvirt's questions took of QEMU's heap would stay with it: it hands free
 * pages back only after it has put off the release of something until no thread can see it any
 * more, which a clone need not do again. RAM that comes and goes is such a thing. */
static int return_free_memory(struct vm *vm)
{
	json_t *add = json_pack("{s:s, s:s, s:i}", "qom-type", "memory-backend-ram", "id",
				"passing", "size", PASSING_RAM_BYTES);
	json_t *del = json_pack("{s:s}", "id", "passing");
	int r;

	if (!add || !del) {
		json_decref(add);
		json_decref(del);
		return -ENOMEM;
	}
	r = qmp_execute(vm->qmp, "object-add", add, -1, on_step_reply, vm);
	if (r < 0) {
		json_decref(del);
		return r;
	}
	return qmp_execute(vm->qmp, "object-del", del, -1, on_step_reply, vm);
}

int vm_monitor_load(struct vm *vm)
{
	int r = return_free_memory(vm);

	if (r < 0)
		return r;
	return send_stream(vm, "migrate-incoming", vm->spawn.state_fd);
}

int vm_save(struct vm *vm, int fd, vm_saved_fn *done, void *arg)
{
	int r;

	if (vm->state != VM_LIVE || vm->running || vm->in_flight || vm->on_saved)
		return -EBUSY;
	vm->on_saved = done;
	vm->on_saved_arg = arg;
	r = send_stream(vm, "migrate", fd);
	if (r < 0)
		vm->on_saved = NULL;
	return r;
}

/* ---- the connection ---- */

static void on_event(const char *event, const json_t *data, void *user)
{
	struct vm *vm = user;
	const char *status;

	if (strcmp(event, "MIGRATION") != 0)
		return;
	status = json_string_value(json_object_get(data, "status"));
	if (status)
		on_migration_event(vm, status);
}

static void on_closed(const char *reason, void *user)
{
	vm_connection_closed(user, reason);
}

static const struct qmp_events qmp_events = { .on_event = on_event, .on_closed = on_closed };

int vm_monitor_open(struct vm *vm)
{
	return qmp_new(vm->host->loop, TAKE_FD(vm->spawn.monitor_fd), &qmp_events, vm, &vm->qmp);
}
