/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For tests of agent/pool: the pool with a driver that answers as guests do, or do not, and those
 * who ask the pool for sandboxes. After <cmocka.h>. */

#include <errno.h>

#include "agent/pool/pool_internal.h"
#include "mayfly/fs.h"
#include "mayfly/log.h"
#include "tests/unit/run_until.h"

#define LIMIT_US (20 * USEC_PER_SEC)

/* -- a driver of VMs -- */

enum manner {
	MANNER_GOOD,
	MANNER_SILENT,        /* never says that it was restored */
	MANNER_DIES_LOADING,  /* gone before it is loaded */
	MANNER_NEVER_RUNS,    /* the same, and there was no process */
	MANNER_FAILS_INIT,    /* INIT ends with a function error */
	MANNER_REFUSES_CLONE, /* vm_clone() fails */
	MANNER_NO_TEMPLATE,
};

struct vm {
	struct fixture *f;
	const struct vm_events *events;
	void *user;
	bool running;
	bool ended;
	bool held; /* its resume is not confirmed */
	unsigned invokes;
	loop_fn *resumed;
	void *resumed_arg;
	unsigned pending; /* posts that refer to it */
	char reason[128];
	TAILQ_ENTRY(vm) link;
};

struct template
{
	int dummy;
};

struct fixture {
	char dir[64];
	struct loop *loop;
	struct log_store *logs;
	struct pool *pool;
	struct pool_config config;
	enum manner manner;
	bool hold_resumes;
	TAILQ_HEAD(, vm) vms;
	unsigned alive;
	unsigned starting;
	unsigned most_starting;
	unsigned cloned;
	unsigned clone_weight;  /* of the last one */
	char weighed_group[16]; /* whose weight was set last, and to what */
	unsigned weighed;
	int64_t cpu_us; /* of every VM, as the host counts now; negative: it does not */
	/* From jobs: what a tenant's VMs used so far, and what they may. */
	int (*read_group)(const char *cpu_group, uint64_t *ret_us);
	int (*limit_group)(const char *cpu_group, uint64_t thousandths);
	unsigned booted;
	unsigned warmed;
	unsigned pauses;
	unsigned damaged;
	unsigned templates_asked;
	unsigned unrefs;             /* of templates */
	char function_template[128]; /* the name last asked for */
	unsigned init_tries;         /* of the next function template; the last one's outcome: */
	Mayfly__Guest__V1__Status init_status;
	size_t template_files; /* of the package, that its Initialize had */
	size_t template_bytecode;
	uint64_t generation;
	const char *runtime;  /* of all functions */
	const char *packages; /* where their packages lie */
	/* A test's own ear: true when it has answered for the guest. */
	bool (*on_send)(struct vm *vm, const Mayfly__Guest__V1__HostMessage *message);
};

static struct template the_template;
static struct vm_host_info host_info = { .accelerator = ACCELERATOR_TCG };

/* A guest's message on its way. */
struct post {
	struct vm *vm;
	Mayfly__Guest__V1__GuestMessage__KindCase kind;
};

static void vm_put(struct vm *vm)
{
	if (--vm->pending == 0 && vm->ended)
		free(vm);
}

static void deliver(void *arg)
{
	struct post *post = arg;
	struct vm *vm = post->vm;
	Mayfly__Guest__V1__GuestMessage message = MAYFLY__GUEST__V1__GUEST_MESSAGE__INIT;
	Mayfly__Guest__V1__Outcome outcome = MAYFLY__GUEST__V1__OUTCOME__INIT;
	Mayfly__Guest__V1__Restored restored = MAYFLY__GUEST__V1__RESTORED__INIT;
	Mayfly__Guest__V1__Initialized initialized = MAYFLY__GUEST__V1__INITIALIZED__INIT;
	Mayfly__Guest__V1__Warmed warmed = MAYFLY__GUEST__V1__WARMED__INIT;
	Mayfly__Guest__V1__Prepared prepared = MAYFLY__GUEST__V1__PREPARED__INIT;
	Mayfly__Guest__V1__Booted booted = MAYFLY__GUEST__V1__BOOTED__INIT;

	outcome.status = MAYFLY__GUEST__V1__STATUS__STATUS_OK;
	restored.outcome = initialized.outcome = warmed.outcome = prepared.outcome = &outcome;
	message.kind_case = post->kind;
	switch (post->kind) {
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_BOOTED:
		message.booted = &booted;
		break;
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_PREPARED:
		message.prepared = &prepared;
		break;
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_RESTORED:
		message.restored = &restored;
		break;
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_INITIALIZED:
		message.initialized = &initialized;
		if (vm->f->manner == MANNER_FAILS_INIT)
			outcome.status = MAYFLY__GUEST__V1__STATUS__STATUS_FUNCTION_ERROR;
		vm->f->starting--;
		break;
	default:
		message.warmed = &warmed;
		break;
	}
	if (!vm->ended)
		vm->events->on_message(vm, &message, vm->user);
	free(post);
	vm_put(vm);
}

static void _unused_ say(struct vm *vm, Mayfly__Guest__V1__GuestMessage__KindCase kind)
{
	struct post *post = calloc(1, sizeof(*post));

	*post = (struct post){ .vm = vm, .kind = kind };
	vm->pending++;
	loop_post(vm->f->loop, deliver, post);
}

static void gone(void *arg)
{
	struct vm *vm = arg;

	TAILQ_REMOVE(&vm->f->vms, vm, link);
	vm->f->alive--;
	vm->events->on_gone(vm, vm->reason, vm->user);
	vm_put(vm);
}

static void driver_end(struct vm *vm, const char *reason)
{
	if (vm->ended)
		return;
	vm->ended = true;
	(void)snprintf(vm->reason, sizeof(vm->reason), "%s", reason);
	vm->pending++;
	loop_post(vm->f->loop, gone, vm);
}

static void loaded(void *arg)
{
	struct vm *vm = arg;

	if (vm->f->manner == MANNER_DIES_LOADING || vm->f->manner == MANNER_NEVER_RUNS)
		driver_end(vm, "QEMU died");
	else if (!vm->ended)
		vm->events->on_loaded(vm, vm->user);
	vm_put(vm);
}

static int make_vm(struct vm_host *host, const struct vm_events *events, void *user,
		   struct vm **ret, struct error *error)
{
	struct fixture *f = (struct fixture *)host;
	struct vm *vm;

	if (f->manner == MANNER_REFUSES_CLONE)
		return error_set(error, ERROR_INTERNAL, NULL, "no more machines");
	vm = calloc(1, sizeof(*vm));
	vm->f = f;
	vm->events = events;
	vm->user = user;
	f->alive++;
	f->starting++;
	if (f->starting > f->most_starting)
		f->most_starting = f->starting;
	TAILQ_INSERT_TAIL(&f->vms, vm, link);
	vm->pending++;
	loop_post(f->loop, loaded, vm);
	*ret = vm;
	return 0;
}

static char *package_path(const char *digest, void *arg)
{
	char *path;

	return asprintf(&path, "%s/%s.erofs", ((struct fixture *)arg)->packages, digest) < 0 ? NULL
											     : path;
}

static int driver_clone(struct vm_host *host, const struct vm_clone_request *request,
			const struct vm_events *events, void *user, struct vm **ret,
			struct error *error)
{
	struct fixture *f = (struct fixture *)host;
	_cleanup_free_ char *package = package_path("d1", f);

	assert_ptr_equal(request->source, &the_template);
	assert_string_equal(request->package_path, package);
	f->cloned++;
	f->clone_weight = request->cpu_weight;
	return make_vm(host, events, user, ret, error);
}

static int driver_boot(struct vm_host *host, const struct vm_boot_request *request,
		       const struct vm_events *events, void *user, struct vm **ret,
		       struct error *error)
{
	int r = make_vm(host, events, user, ret, error);

	assert_string_equal(request->runtime, ((struct fixture *)host)->runtime);
	((struct fixture *)host)->booted++;
	if (r >= 0)
		say(*ret, MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_BOOTED);
	return r;
}

static int driver_send(struct vm *vm, const Mayfly__Guest__V1__HostMessage *message)
{
	if (vm->f->on_send && vm->f->on_send(vm, message))
		return 0;
	switch (message->kind_case) {
	case MAYFLY__GUEST__V1__HOST_MESSAGE__KIND_PREPARE:
		say(vm, MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_PREPARED);
		return 0;
	case MAYFLY__GUEST__V1__HOST_MESSAGE__KIND_RESTORE:
		assert_int_equal(message->restore->entropy.len, 64);
		assert_int_equal(strlen(message->restore->sandbox_id), 32);
		if (vm->f->manner != MANNER_SILENT)
			say(vm, MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_RESTORED);
		return 0;
	case MAYFLY__GUEST__V1__HOST_MESSAGE__KIND_INITIALIZE:
		assert_string_equal(message->initialize->handler, "h.h");
		assert_string_equal(message->initialize->log_group_name, "/aws/lambda/f");
		say(vm, MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_INITIALIZED);
		return 0;
	case MAYFLY__GUEST__V1__HOST_MESSAGE__KIND_WARM:
		vm->f->warmed++;
		say(vm, MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_WARMED);
		return 0;
	default:
		vm->invokes++;
		return 0;
	}
}

static void confirm_resume(void *arg)
{
	struct vm *vm = arg;

	if (vm->resumed && !vm->ended)
		vm->resumed(vm->resumed_arg);
	vm_put(vm);
}

static void driver_resume(struct vm *vm, loop_fn *done, void *arg)
{
	vm->running = true;
	vm->resumed = done;
	vm->resumed_arg = arg;
	if (vm->f->hold_resumes)
		return;
	vm->pending++;
	loop_post(vm->f->loop, confirm_resume, vm);
}

static void driver_pause(struct vm *vm, loop_fn *done _unused_, void *arg _unused_)
{
	vm->running = false;
	vm->f->pauses++;
}

static void driver_facts(const struct vm *vm, struct vm_facts *ret)
{
	*ret = (struct vm_facts){ .pid = vm->f->manner != MANNER_NEVER_RUNS,
				  .running = vm->running,
				  .vcpus = 1,
				  .cpu_us = vm->ended ? vm->f->cpu_us : -1 };
}

/* From a job, too. */
static int driver_read_cpu(const struct vm_host *host, const char *cpu_group,
			   const char *sandbox_id, uint64_t *ret_us)
{
	const struct fixture *f = (const struct fixture *)host;

	assert_int_equal(strlen(cpu_group), TENANT_ID_DIGITS);
	assert_int_equal(strlen(sandbox_id), HEX_ID_BYTES - 1);
	if (f->cpu_us < 0)
		return -ENOENT;
	*ret_us = (uint64_t)f->cpu_us;
	return 0;
}

static void driver_set_cpu_weight(struct vm_host *host, const char *cpu_group, unsigned weight)
{
	struct fixture *f = (struct fixture *)host;

	(void)snprintf(f->weighed_group, sizeof(f->weighed_group), "%s", cpu_group);
	f->weighed = weight;
}

static int driver_read_group_cpu(const struct vm_host *host, const char *cpu_group,
				 uint64_t *ret_us)
{
	const struct fixture *f = (const struct fixture *)host;

	return f->read_group ? f->read_group(cpu_group, ret_us) : -ENOENT;
}

static int driver_limit_group_cpu(const struct vm_host *host, const char *cpu_group,
				  uint64_t thousandths)
{
	const struct fixture *f = (const struct fixture *)host;

	return f->limit_group ? f->limit_group(cpu_group, thousandths) : -ENOENT;
}

static int driver_read_idle(const struct vm_host *host _unused_, uint64_t *ret_us)
{
	*ret_us = 0;
	return 0;
}

static const struct vm_host_info *driver_host_info(const struct vm_host *host _unused_)
{
	return &host_info;
}

struct template_answer {
	struct fixture *f;
	template_ready_fn *ready;
	void *arg;
	const struct template_init_events *init_events;
	void *init_arg;
};

/* One VM that does INIT: all but the last end amidst it. */
static void do_init(const struct template_answer *answer, unsigned try, bool last)
{
	Mayfly__Guest__V1__Outcome outcome = MAYFLY__GUEST__V1__OUTCOME__INIT;
	Mayfly__Guest__V1__LogRecord record = MAYFLY__GUEST__V1__LOG_RECORD__INIT;
	Mayfly__Guest__V1__LogRecord *records[] = { &record };
	Mayfly__Guest__V1__LogRecords logs = MAYFLY__GUEST__V1__LOG_RECORDS__INIT;
	char id[33], text[32];

	(void)snprintf(id, sizeof(id), "%032u", try);
	(void)snprintf(text, sizeof(text), "try %u", try);
	record.data.data = (uint8_t *)text;
	record.data.len = strlen(text);
	logs.records = records;
	logs.n_records = 1;
	logs.dropped_records = last ? 2 : 0;
	outcome.status = answer->f->init_status;
	outcome.error_type = (char *)(uintptr_t) "ValueError";
	answer->init_events->on_begin(id, answer->init_arg);
	record.time_us = clock_realtime_us();
	answer->init_events->on_logs(&logs, answer->init_arg);
	answer->init_events->on_end(last ? &outcome : NULL, 1234567, answer->init_arg);
}

static void template_answered(void *arg)
{
	struct template_answer *answer = arg;
	_cleanup_error_ struct error error = ERROR_INIT;

	(void)error_set(&error, ERROR_INTERNAL, NULL, "no kernel");
	for (unsigned i = 1; answer->init_events && i <= answer->f->init_tries; i++)
		do_init(answer, i, i == answer->f->init_tries);
	if (answer->f->manner == MANNER_NO_TEMPLATE)
		answer->ready(NULL, &error, answer->arg);
	else
		answer->ready(&the_template, NULL, answer->arg);
	free(answer);
}

static void answer_later(struct template_store *store, const char *runtime, unsigned memory_mb,
			 const struct template_answer *from)
{
	struct template_answer *answer = calloc(1, sizeof(*answer));

	assert_string_equal(runtime, ((struct fixture *)store)->runtime);
	assert_int_equal(memory_mb, 128);
	*answer = *from;
	answer->f = (struct fixture *)store;
	answer->f->templates_asked++;
	loop_post(answer->f->loop, template_answered, answer);
}

static void driver_get_base(struct template_store *store, const char *runtime, unsigned memory_mb,
			    template_ready_fn *ready, void *arg)
{
	answer_later(store, runtime, memory_mb,
		     &(struct template_answer){ .ready = ready, .arg = arg });
}

static void driver_get_function(struct template_store *store,
				const struct template_function_request *request,
				template_ready_fn *ready, void *arg)
{
	struct fixture *f = (struct fixture *)store;

	assert_non_null(strstr(request->id, "-f-"));
	(void)snprintf(f->function_template, sizeof(f->function_template), "%s", request->id);
	f->template_files = request->initialize->n_files;
	f->template_bytecode = request->initialize->n_bytecode;
	answer_later(store, request->runtime, request->memory_mb,
		     &(struct template_answer){ .ready = ready,
						.arg = arg,
						.init_events = request->init_events,
						.init_arg = request->init_arg });
}

static struct template *driver_ref(struct template *template)
{
	return template;
}

static struct fixture *current;

static struct template *driver_unref(struct template *template _unused_)
{
	current->unrefs++;
	return NULL;
}

static void driver_mark_damaged(struct template *template _unused_, const char *reason _unused_)
{
	current->damaged++;
}

static enum template_kind the_kind;

static bool the_template_is_dropped;

static void driver_template_facts(const struct template *template _unused_,
				  struct template_facts *ret)
{
	*ret = (struct template_facts){ .id = "base",
					.kind = the_kind,
					.state = TEMPLATE_READY,
					.listed = !the_template_is_dropped };
}

/* Templates that the store has: what was asked for, and what a test adds. */
#define LISTED 8
static struct {
	char id[128];
	const char *function_name; /* NULL: a base */
	const char *version;
	unsigned memory_mb;
	unsigned clones;
	int64_t used_us;
	enum template_state state;
	bool dropped;
} listed[LISTED];
static unsigned listed_count;

static void _unused_ list_template(const char *id, const char *function_name)
{
	assert_true(listed_count < LISTED);
	(void)snprintf(listed[listed_count].id, sizeof(listed[0].id), "%s", id);
	listed[listed_count].function_name = function_name;
	listed[listed_count].version = function_name ? FUNCTION_LATEST : NULL;
	listed[listed_count].state = TEMPLATE_READY;
	listed[listed_count++].dropped = false;
}

static unsigned _unused_ list_base(unsigned memory_mb, int64_t used_s_ago)
{
	char id[32];

	(void)snprintf(id, sizeof(id), "base-python3.13-%u", memory_mb);
	list_template(id, NULL);
	listed[listed_count - 1].memory_mb = memory_mb;
	listed[listed_count - 1].clones = 0;
	listed[listed_count - 1].used_us = clock_realtime_us() - used_s_ago * USEC_PER_SEC;
	return listed_count - 1;
}

static void driver_template_each(struct template_store *store _unused_,
				 void (*fn)(const struct template_facts *facts, void *arg),
				 void *arg)
{
	for (unsigned i = 0; i < listed_count; i++) {
		struct template_facts facts = {
			.id = listed[i].id,
			.kind = listed[i].function_name ? TEMPLATE_FUNCTION : TEMPLATE_BASE,
			.state = listed[i].state,
			.listed = true,
			.runtime = "python3.13",
			.memory_mb = listed[i].memory_mb,
			.clones = listed[i].clones,
			.used_us = listed[i].used_us,
			.tenant = listed[i].function_name ? "123456789012" : NULL,
			.function_name = listed[i].function_name,
			.version = listed[i].version,
		};

		if (!listed[i].dropped)
			fn(&facts, arg);
	}
}

static int driver_template_drop(struct template_store *store _unused_, const char *id,
				struct error *error _unused_)
{
	for (unsigned i = 0; i < listed_count; i++) {
		if (strcmp(listed[i].id, id) != 0)
			continue;
		assert_false(listed[i].dropped);
		listed[i].dropped = true;
		return 0;
	}
	return -ENOENT;
}

static const struct vm_driver driver = {
	.clone = driver_clone,
	.boot = driver_boot,
	.send = driver_send,
	.resume = driver_resume,
	.pause = driver_pause,
	.end = driver_end,
	.facts = driver_facts,
	.set_cpu_weight = driver_set_cpu_weight,
	.read_cpu = driver_read_cpu,
	.read_group_cpu = driver_read_group_cpu,
	.limit_group_cpu = driver_limit_group_cpu,
	.read_idle = driver_read_idle,
	.host_info = driver_host_info,
	.template_get_base = driver_get_base,
	.template_get_function = driver_get_function,
	.template_ref = driver_ref,
	.template_unref = driver_unref,
	.template_mark_damaged = driver_mark_damaged,
	.template_get_facts = driver_template_facts,
	.template_each = driver_template_each,
	.template_drop = driver_template_drop,
};

/* -- the fixture -- */

static void quiet(int priority _unused_, const struct log_fields *fields _unused_,
		  const char *text _unused_, void *user _unused_)
{
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	log_set_sink(quiet, NULL);
	TAILQ_INIT(&f->vms);
	f->generation = 1;
	f->runtime = "python3.13";
	f->packages = "/package";
	the_kind = TEMPLATE_BASE;
	the_template_is_dropped = false;
	current = f;
	listed_count = 0;
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/mayfly-pool-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(loop_new(1, &f->loop), 0);
	struct log_store_config logs = { .directory = f->dir };
	assert_int_equal(log_store_open(&logs, f->loop, &f->logs, NULL), 0);
	f->config = (struct pool_config){
		.region = "us-east-1",
		.package_path = package_path,
		.package_path_arg = f,
		.max_starts = 2,
		.memory_reserve_bytes = 1,
		.sandbox_overhead_mb = 100,
		.memory_commit_percent = 1,
		.memory_budget_bytes = 64ULL << 30,
		.freeze_after_us = 1000,
	};
	*state = f;
	return 0;
}

static void make_pool(struct fixture *f)
{
	assert_int_equal(pool_new_with_driver(&f->config, f->loop, &driver, (struct vm_host *)f,
					      (struct template_store *)f, f->logs, &f->pool, NULL),
			 0);
}

static void _unused_ turn(struct fixture *f)
{
	assert_true(sd_event_run(loop_event(f->loop), 10000) >= 0);
}

/* Until the loop has nothing more to do at once. */
static void _unused_ settle(struct fixture *f)
{
	while (sd_event_run(loop_event(f->loop), 0) > 0)
		;
}

static void _unused_ set_done(void *arg)
{
	*(bool *)arg = true;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	bool drained = false;
	bool flushed = false;

	pool_drain(f->pool, 0, set_done, &drained);
	RUN_UNTIL(f, drained);
	assert_int_equal(f->alive, 0);
	log_store_flush(f->logs, set_done, &flushed);
	RUN_UNTIL(f, flushed);
	settle(f);
	/* A job may still read a package for a version of the pool. */
	loop_exit_when_idle(f->loop, 0);
	assert_int_equal(loop_run(f->loop), 0);
	f->pool = pool_free(f->pool);
	(void)log_store_close(f->logs);
	(void)loop_free(f->loop);
	assert_int_equal(fs_remove_tree(f->dir), 0);
	free(f);
	return 0;
}

static struct function function_make(struct fixture *f, const char *name)
{
	return (struct function){
		.tenant = (char *)(uintptr_t) "123456789012",
		.name = (char *)(uintptr_t)name,
		.config = { .runtime = (char *)(uintptr_t)f->runtime,
			    .handler = (char *)(uintptr_t) "h.h",
			    .log_group = (char *)(uintptr_t) "/aws/lambda/f",
			    .memory_size_mb = 128,
			    .timeout_seconds = 3,
			    .ephemeral_storage_mb = 512,
			    .package_digest = (char *)(uintptr_t) "d1" },
		.state = FUNCTION_ACTIVE,
		.generation = f->generation,
	};
}

/* -- demands -- */

struct asker {
	struct demand demand;
	struct sandbox *sandbox;
	unsigned bound;
	unsigned failed;
	unsigned lost;
	unsigned overdue;
	unsigned messages;
	unsigned told_delivered;
	bool delivered;
	enum error_code code;
};

static void on_bound(struct demand *demand, struct sandbox *sandbox)
{
	struct asker *asker = container_of(demand, struct asker, demand);

	asker->bound++;
	asker->sandbox = sandbox;
}

static void on_failed(struct demand *demand, const struct error *error)
{
	struct asker *asker = container_of(demand, struct asker, demand);

	asker->failed++;
	asker->code = error->code;
}

static void on_message(struct demand *demand, const Mayfly__Guest__V1__GuestMessage *message)
{
	(void)message;
	container_of(demand, struct asker, demand)->messages++;
}

static void on_delivered(struct demand *demand)
{
	container_of(demand, struct asker, demand)->told_delivered++;
}

static void on_lost(struct demand *demand, const char *reason, bool delivered)
{
	struct asker *asker = container_of(demand, struct asker, demand);

	assert_non_null(reason);
	asker->lost++;
	asker->delivered = delivered;
	asker->sandbox = NULL;
}

static void on_overdue(struct demand *demand)
{
	container_of(demand, struct asker, demand)->overdue++;
}

static const struct demand_events events = {
	.on_bound = on_bound,
	.on_failed = on_failed,
	.on_delivered = on_delivered,
	.on_message = on_message,
	.on_lost = on_lost,
	.on_overdue = on_overdue,
};

static int _unused_ ask(struct fixture *f, struct asker *asker, const char *name)
{
	struct function function = function_make(f, name);
	int r;

	*asker = (struct asker){ .demand.events = &events };
	r = pool_acquire(f->pool, &function, &asker->demand, &asker->sandbox, NULL);
	asker->bound = r > 0;
	return r;
}

static void release(struct asker *asker)
{
	struct sandbox *sandbox = asker->sandbox;

	asker->sandbox = NULL;
	sandbox_release(sandbox, NULL);
}

/* One invocation, from demand to release. */
static struct sandbox _unused_ *use(struct fixture *f, const struct function *function)
{
	struct asker a = { .demand.events = &events };
	struct sandbox *sandbox;

	a.bound = pool_acquire(f->pool, function, &a.demand, &a.sandbox, NULL) > 0;
	RUN_UNTIL(f, a.bound == 1);
	sandbox = a.sandbox;
	release(&a);
	return sandbox;
}

static struct pool_gauges _unused_ gauges(struct fixture *f)
{
	struct pool_gauges g;

	pool_gauges(f->pool, &g);
	return g;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
