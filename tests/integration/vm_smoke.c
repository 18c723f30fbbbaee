/* SPDX-License-Identifier: Apache-2.0 */

/* The room agent/vm against real QEMU: makes or finds a base template, restores clones from it,
 * talks each through Restore, Initialize and Invoke, shows that they share no random number,
 * and kills one from outside to show that nothing of it is left. --storm instead kills QEMUs at
 * random from the first moment on, at every stage, until none is left.
 *
 *   vm-smoke --state-dir DIR --images DIR --package IMAGE [--user NAME] [--runtime NAME]
 *            [--handler NAME] [--memory MB] [--clones N] [--warm N] [--function-template]
 *            [--payload JSON] [--tb-size MB] [--boot] [--kill-agent] [--storm]
 *            [--share-user]
 *
 * IMAGE is named by its digest, as package_build() does it. */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "agent/vm/template.h"
#include "agent/vm/vm.h"
#include "mayfly/clock.h"
#include "mayfly/fs.h"
#include "mayfly/id.h"
#include "mayfly/log.h"

#define CLONES_MAX 512

struct options {
	const char *state_dir;
	const char *images;
	const char *package;
	const char *user;
	const char *runtime;
	const char *handler;
	const char *payload;
	unsigned memory;
	unsigned clones;
	unsigned warm;
	unsigned tb_size;
	int function_template;
	int boot;
	int kill_agent;
	int storm;
	int share_user;
};

struct clone {
	char id[HEX_ID_BYTES];
	struct vm *vm;
	pid_t pid;
	char sample[33];
	bool done;
	bool gone;
	unsigned warm_left;
	int64_t resumed_us;
	int64_t booted_us;
	int64_t restored_us;
	int64_t initialized_us;
	int64_t invoked_us;
	int64_t first_done_us;
	int64_t warm_sent_us;
	int64_t warm_total_us;
	struct buf response;
};

static struct options options = {
	.runtime = "python3.13",
	.handler = "lambda_function.lambda_handler",
	.payload = "{\"length\": 6, \"width\": 7}",
	.memory = 128,
	.clones = 2,
};
static struct loop *loop;
static struct vm_host *host;
static struct template_store *store;
static struct clone clones[CLONES_MAX];
static unsigned done_count;
static unsigned gone_count;
static unsigned failures;
static int64_t clones_began_us;

static void fail(const char *text, const char *detail)
{
	(void)fprintf(stderr, "FAILED: %s: %s\n", text, detail);
	failures++;
	loop_exit(loop, 1);
}

static double ms(int64_t from_us, int64_t to_us)
{
	return (double)(to_us - from_us) / 1000.0;
}

/* ---- messages ---- */

typedef Mayfly__Guest__V1__HostMessage host_message;

static void send_message(struct clone *clone, const host_message *message)
{
	int r = vm_send(clone->vm, message);

	if (r < 0)
		fail("vm_send", strerror(-r));
}

static void send_restore(struct clone *clone)
{
	Mayfly__Guest__V1__Restore restore = MAYFLY__GUEST__V1__RESTORE__INIT;
	host_message message = MAYFLY__GUEST__V1__HOST_MESSAGE__INIT;
	uint8_t entropy[64];

	random_bytes(entropy, sizeof(entropy));
	restore.entropy.data = entropy;
	restore.entropy.len = sizeof(entropy);
	restore.realtime_us = clock_realtime_us();
	restore.sandbox_id = clone->id;
	restore.log_stream_name = clone->id;
	message.kind_case = MAYFLY__GUEST__V1__HOST_MESSAGE__KIND_RESTORE;
	message.restore = &restore;
	send_message(clone, &message);
}

/* protobuf-c has no word for text that is only read. */
static char *text_of(const char *text)
{
	return (char *)(uintptr_t)text;
}

static void fill_initialize(Mayfly__Guest__V1__Initialize *initialize)
{
	initialize->function_name = text_of("smoke");
	initialize->function_version = text_of("$LATEST");
	initialize->function_arn = text_of("arn:aws:lambda:us-east-1:000000000000:function:smoke");
	initialize->handler = text_of(options.handler);
	initialize->memory_mb = options.memory;
	initialize->timeout_ms = 10000;
	initialize->init_timeout_ms = 10000;
	initialize->region = text_of("us-east-1");
	initialize->account_id = text_of("000000000000");
	initialize->runtime_name = text_of(options.runtime);
	initialize->log_group_name = text_of("/aws/lambda/smoke");
	initialize->log_stream_name = text_of("smoke");
	initialize->ephemeral_storage_mb = 512;
}

static void send_initialize(struct clone *clone)
{
	Mayfly__Guest__V1__Initialize initialize = MAYFLY__GUEST__V1__INITIALIZE__INIT;
	host_message message = MAYFLY__GUEST__V1__HOST_MESSAGE__INIT;

	fill_initialize(&initialize);
	message.kind_case = MAYFLY__GUEST__V1__HOST_MESSAGE__KIND_INITIALIZE;
	message.initialize = &initialize;
	send_message(clone, &message);
}

static void send_invoke(struct clone *clone)
{
	Mayfly__Guest__V1__Invoke invoke = MAYFLY__GUEST__V1__INVOKE__INIT;
	host_message message = MAYFLY__GUEST__V1__HOST_MESSAGE__INIT;
	char request_id[UUID_BYTES];

	uuid_generate(request_id);
	invoke.request_id = request_id;
	invoke.invoked_function_arn =
		text_of("arn:aws:lambda:us-east-1:000000000000:function:smoke");
	invoke.timeout_ms = 10000;
	invoke.realtime_us = clock_realtime_us();
	invoke.payload.data = (uint8_t *)text_of(options.payload);
	invoke.payload.len = strlen(options.payload);
	invoke.payload_bytes = invoke.payload.len;
	invoke.payload_complete = 1;
	message.kind_case = MAYFLY__GUEST__V1__HOST_MESSAGE__KIND_INVOKE;
	message.invoke = &invoke;
	buf_reset(&clone->response);
	send_message(clone, &message);
}

/* ---- the clones' life ---- */

static void print_clone(const struct clone *clone)
{
	struct vm_facts facts;
	uint64_t anonymous = 0;

	vm_facts(clone->vm, &facts);
	(void)vm_read_anonymous_bytes(facts.pid, &anonymous);
	(void)printf("clone %.8s spawn %.1f load %.1f resume+restore %.1f init %.1f invoke %.1f "
		     "total %.1f ms; warm %.2f ms; random %s; anonymous %.1f MiB; response %s\n",
		     clone->id, ms(facts.requested_us, facts.spawned_us),
		     ms(facts.spawned_us, facts.loaded_us),
		     ms(clone->resumed_us, clone->restored_us),
		     ms(clone->restored_us, clone->initialized_us),
		     ms(clone->invoked_us, clone->first_done_us),
		     ms(facts.requested_us, clone->first_done_us),
		     options.warm ? (double)clone->warm_total_us / options.warm / 1000.0 : 0.0,
		     clone->sample, (double)anonymous / 1048576.0, buf_string(&clone->response));
}

static void kill_one(void *arg _unused_)
{
	(void)printf("killing QEMU %d of clone %.8s from outside\n", (int)clones[0].pid,
		     clones[0].id);
	if (kill(clones[0].pid, SIGKILL) < 0)
		fail("kill", strerror(errno));
}

static void all_done(void)
{
	(void)printf("%u clones answered in %.1f ms: %.1f per second\n", options.clones,
		     ms(clones_began_us, clock_monotonic_us()),
		     options.clones * 1e6 / (double)(clock_monotonic_us() - clones_began_us));
	for (unsigned i = 0; i < options.clones; i++) {
		print_clone(&clones[i]);
		for (unsigned j = 0; j < i; j++)
			if (strcmp(clones[i].sample, clones[j].sample) == 0)
				fail("two clones have the same random numbers", clones[i].id);
	}
	if (options.kill_agent) {
		(void)printf("killing this agent\n");
		(void)fflush(stdout);
		(void)raise(SIGKILL);
	}
	vm_pause(clones[0].vm, kill_one, NULL);
}

/* ---- the storm ---- */

#define STORM_STEP_US (40 * USEC_PER_MSEC)

static struct timer storm_timer;
static unsigned storm_kills;

/* The pid that QEMU itself wrote, so that even one that libvirt still starts is hit. */
static pid_t read_pid(const struct clone *clone)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/libvirt/run/qemu/mayfly-%s.pid", options.state_dir,
		       clone->id);
	if (fs_read_file(path, 64, &text) < 0)
		return 0;
	return (pid_t)strtol(buf_string(&text), NULL, 10);
}

static void storm(void *arg _unused_)
{
	uint32_t at;

	random_bytes(&at, sizeof(at));
	for (unsigned i = 0; i < options.clones; i++) {
		struct clone *clone = &clones[(at + i) % options.clones];
		pid_t pid = clone->gone ? 0 : read_pid(clone);

		if (pid <= 1)
			continue;
		clone->pid = pid;
		if (kill(pid, SIGKILL) == 0)
			storm_kills++;
		break;
	}
	if (timer_arm(&storm_timer, loop, clock_monotonic_us() + STORM_STEP_US, storm, NULL) < 0)
		fail("timer", "cannot be armed");
}

static void clone_finished(struct clone *clone)
{
	if (clone->done)
		return;
	clone->done = true;
	if (options.storm)
		return;
	if (++done_count == options.clones)
		all_done();
}

static void on_loaded(struct vm *vm, void *user)
{
	struct clone *clone = user;
	struct vm_facts facts;

	vm_facts(vm, &facts);
	clone->pid = facts.pid;
	clone->resumed_us = clock_monotonic_us();
	vm_resume(vm, NULL, NULL);
	if (!options.boot)
		send_restore(clone);
}

static void check_outcome(const char *step, const Mayfly__Guest__V1__Outcome *outcome)
{
	char text[512];

	if (outcome->status == MAYFLY__GUEST__V1__STATUS__STATUS_OK)
		return;
	(void)snprintf(text, sizeof(text), "status %d %s %.*s", outcome->status,
		       outcome->error_type, (int)outcome->error_body.len,
		       (const char *)outcome->error_body.data);
	fail(step, text);
}

static void on_invocation_done(struct clone *clone)
{
	int64_t now = clock_monotonic_us();

	if (!clone->first_done_us) {
		clone->first_done_us = now;
		clone->warm_left = options.warm;
	} else {
		clone->warm_total_us += now - clone->warm_sent_us;
		clone->warm_left--;
	}
	if (clone->warm_left == 0) {
		clone_finished(clone);
		return;
	}
	clone->warm_sent_us = clock_monotonic_us();
	send_invoke(clone);
}

static void on_restored(struct clone *clone, const Mayfly__Guest__V1__Restored *restored)
{
	check_outcome("restore", restored->outcome);
	hex_encode(restored->random_sample.data,
		   restored->random_sample.len > 16 ? 16 : restored->random_sample.len,
		   clone->sample);
	clone->restored_us = clock_monotonic_us();
	if (options.function_template) {
		clone->initialized_us = clone->invoked_us = clone->restored_us;
		send_invoke(clone);
	} else {
		send_initialize(clone);
	}
}

static void on_message(struct vm *vm _unused_, const Mayfly__Guest__V1__GuestMessage *m, void *user)
{
	struct clone *clone = user;

	switch (m->kind_case) {
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_BOOTED:
		send_restore(clone);
		break;
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_RESTORED:
		on_restored(clone, m->restored);
		break;
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_INITIALIZED:
		check_outcome("initialize", m->initialized->outcome);
		clone->initialized_us = clone->invoked_us = clock_monotonic_us();
		send_invoke(clone);
		break;
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_RESPONSE_CHUNK:
		(void)!buf_append(&clone->response, m->response_chunk->data.data,
				  m->response_chunk->data.len);
		break;
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_INVOCATION_DONE:
		check_outcome("invoke", m->invocation_done->outcome);
		on_invocation_done(clone);
		break;
	case MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_FATAL:
		fail("guest", m->fatal->message);
		break;
	default:
		break;
	}
}

static void check_gone(const struct clone *clone)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/run/vm/%s", options.state_dir, clone->id);
	if (fs_exists(path))
		fail("folder is left", path);
	(void)snprintf(path, sizeof(path), "%s/libvirt/run/qemu/mayfly-%s.pid", options.state_dir,
		       clone->id);
	if (fs_exists(path))
		fail("pid file is left", path);
	if (clone->pid > 0 && kill(clone->pid, 0) == 0)
		fail("process is left", clone->id);
}

static void on_gone(struct vm *vm _unused_, const char *reason, void *user)
{
	struct clone *clone = user;

	clone->gone = true;
	clone->vm = NULL;
	gone_count++;
	if (options.storm)
		(void)printf("clone %.8s is gone%s: %s\n", clone->id,
			     clone->done ? " after it answered" : "", reason);
	else if (!clone->done)
		fail("a clone ended early", reason);
	check_gone(clone);
	if (clone == &clones[0] && !options.storm) {
		(void)printf("clone %.8s is gone: %s\n", clone->id, reason);
		for (unsigned i = 1; i < options.clones; i++)
			vm_end(clones[i].vm, "the test is over");
	}
	if (gone_count == options.clones) {
		timer_disarm(&storm_timer);
		(void)printf("all %u clones are gone, nothing is left\n", gone_count);
		loop_exit(loop, failures ? 1 : 0);
	}
}

static const struct vm_events events = {
	.on_loaded = on_loaded,
	.on_message = on_message,
	.on_gone = on_gone,
};

static void start_clones(struct template *template)
{
	struct error error = ERROR_INIT;
	int r;

	clones_began_us = clock_monotonic_us();
	if (options.storm)
		storm(NULL);
	for (unsigned i = 0; i < options.clones; i++) {
		struct clone *clone = &clones[i];

		hex_id_generate(clone->id);
		if (template) {
			const struct vm_clone_request request = {
				.source = template,
				.sandbox_id = clone->id,
				.package_path = options.package,
				.memory_mb = options.memory,
				.ephemeral_storage_mb = 512,
			};
			r = vm_clone(host, &request, &events, clone, &clone->vm, &error);
		} else {
			const struct vm_boot_request request = {
				.runtime = options.runtime,
				.sandbox_id = clone->id,
				.package_path = options.package,
				.memory_mb = options.memory,
				.ephemeral_storage_mb = 512,
			};
			r = vm_boot(host, &request, &events, clone, &clone->vm, &error);
		}
		if (r < 0) {
			fail("cannot start a VM", error_text(&error));
			return;
		}
	}
}

static void on_template(struct template *template, const struct error *error, void *arg)
{
	const int64_t *began = arg;
	struct template_facts facts;

	if (!template) {
		fail("template", error_text(error));
		return;
	}
	template_get_facts(template, &facts);
	(void)printf("template %s ready in %.1f ms (built in %.1f s)\n", facts.id,
		     ms(*began, clock_monotonic_us()), (double)facts.build_us / 1e6);
	start_clones(template);
}

static void get_template(int64_t *began)
{
	Mayfly__Guest__V1__Initialize initialize = MAYFLY__GUEST__V1__INITIALIZE__INIT;
	const struct template_function_request request = {
		.id = "000000000000-smoke",
		.tenant = "000000000000",
		.function_name = "smoke",
		.version = "$LATEST",
		.runtime = options.runtime,
		.memory_mb = options.memory,
		.ephemeral_storage_mb = 512,
		.package_path = options.package,
		.package_digest = options.package,
		.initialize = &initialize,
	};

	*began = clock_monotonic_us();
	fill_initialize(&initialize);
	initialize.initialization_type =
		MAYFLY__GUEST__V1__INITIALIZATION_TYPE__INITIALIZATION_TYPE_SNAP_START;
	if (options.function_template)
		template_store_get_function(store, &request, on_template, began);
	else
		template_store_get_base(store, options.runtime, options.memory, on_template, began);
}

static void parse_options(int argc, char **argv)
{
	static const struct option names[] = {
		{ "state-dir", required_argument, NULL, 's' },
		{ "images", required_argument, NULL, 'i' },
		{ "package", required_argument, NULL, 'p' },
		{ "user", required_argument, NULL, 'u' },
		{ "runtime", required_argument, NULL, 'r' },
		{ "handler", required_argument, NULL, 'h' },
		{ "payload", required_argument, NULL, 'j' },
		{ "memory", required_argument, NULL, 'm' },
		{ "clones", required_argument, NULL, 'c' },
		{ "warm", required_argument, NULL, 'w' },
		{ "tb-size", required_argument, NULL, 't' },
		{ "function-template", no_argument, &options.function_template, 1 },
		{ "boot", no_argument, &options.boot, 1 },
		{ "kill-agent", no_argument, &options.kill_agent, 1 },
		{ "storm", no_argument, &options.storm, 1 },
		{ "share-user", no_argument, &options.share_user, 1 },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) >= 0) {
		const char **text = c == 's'   ? &options.state_dir
				    : c == 'i' ? &options.images
				    : c == 'p' ? &options.package
				    : c == 'u' ? &options.user
				    : c == 'r' ? &options.runtime
				    : c == 'h' ? &options.handler
				    : c == 'j' ? &options.payload
					       : NULL;
		unsigned *number = c == 'm'   ? &options.memory
				   : c == 'c' ? &options.clones
				   : c == 'w' ? &options.warm
				   : c == 't' ? &options.tb_size
					      : NULL;

		if (c == '?')
			exit(2);
		if (text)
			*text = optarg;
		if (number)
			*number = (unsigned)strtoul(optarg, NULL, 10);
	}
	if (!options.state_dir || !options.images || options.clones < 1 ||
	    options.clones > CLONES_MAX) {
		(void)fprintf(stderr, "usage: vm-smoke --state-dir DIR --images DIR …\n");
		exit(2);
	}
}

int main(int argc, char **argv)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct vm_host_config config;
	const struct vm_host_info *info;
	int64_t began;
	int r;

	parse_options(argc, argv);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	config = (struct vm_host_config){
		.state_dir = options.state_dir,
		.images_dir = options.images,
		.vm_user = options.user,
		.uid_first = 1900000000,
		.uid_count = options.share_user ? 0 : 65536,
		.tb_size_mb = options.tb_size,
	};
	began = clock_monotonic_us();
	if (loop_new(0, &loop) < 0)
		return 1;
	r = vm_host_open(&config, loop, &host, &error);
	if (r >= 0)
		r = template_store_open(host, loop, &store, &error);
	if (r < 0) {
		(void)fprintf(stderr, "FAILED: %s\n", error_text(&error));
		return 1;
	}
	info = vm_host_info(host);
	(void)printf("host opened in %.1f ms: QEMU %s, libvirt %s, cgroups %s, guest kernel %s\n",
		     ms(began, clock_monotonic_us()), info->qemu_version, info->libvirt_version,
		     info->cgroup_mode, info->guest_kernel);
	if (options.boot)
		start_clones(NULL);
	else
		get_template(&began);
	r = loop_run(loop);
	for (unsigned i = 0; i < options.clones; i++)
		buf_free(&clones[i].response);
	loop_end_jobs(loop);
	(void)template_store_close(store);
	(void)vm_host_close(host);
	(void)loop_free(loop);
	(void)printf("%s\n", r == 0 && !failures ? "passed" : "failed");
	return r == 0 && !failures ? 0 : 1;
}
