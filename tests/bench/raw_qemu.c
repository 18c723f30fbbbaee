/* SPDX-License-Identifier: Apache-2.0 */

/* The benchmark's baseline: QEMU alone, started by fork and exec on an existing base template,
 * without libvirt and without the agent, through the same dialog with the guest (Restore,
 * Initialize, Invoke). What mayflyd needs on top of it is what Mayfly costs. Prints JSON.
 *
 *   mayfly-raw-qemu [--runtime NAME] [--memory-size MB] [-n COUNT] [--parallel N]
 *                   [--state-dir DIR] [--images DIR] [--package IMAGE --handler NAME]
 *                   [--payload JSON] [--tb-size MB] [--emulator PATH]
 *
 * $MAYFLY_STATE_DIR and $MAYFLY_IMAGES_DIR serve as --state-dir and --images. Without --package a
 * function that answers its event is packed for the runtime. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <jansson.h>

#include "agent/image/package.h"
#include "agent/image/scratch.h"
#include "agent/vm/channel.h"
#include "agent/vm/domain_xml.h"
#include "agent/vm/qmp.h"
#include "agent/vm/template_manifest.h"
#include "mayfly/clock.h"
#include "mayfly/frame.h"
#include "mayfly/fs.h"
#include "mayfly/id.h"

#define LIMIT_MS     60000
#define COUNT_MAX    1000
#define PARALLEL_MAX 64

typedef Mayfly__Guest__V1__HostMessage host_message;
typedef Mayfly__Guest__V1__GuestMessage guest_message;

static struct {
	const char *state_dir, *images, *package, *runtime, *handler, *payload, *emulator;
	unsigned memory, count, parallel, tb_size;
} options = {
	.state_dir = "/var/lib/mayfly",
	.runtime = "python3.13",
	.payload = "{\"length\": 6, \"width\": 7}",
	.emulator = "/usr/bin/qemu-system-x86_64",
	.memory = 128,
	.count = 10,
	.parallel = 1,
	.tb_size = 32,
};

static struct template_manifest manifest;
static char *template_folder;
static char *work_folder;
static char *command_line;

struct sample {
	double spawn_ms, load_ms, restore_ms, init_ms, invoke_ms, total_ms;
};
static struct sample samples[COUNT_MAX];
static atomic_uint next_sample;

_Noreturn static void die(const char *what, const char *detail)
{
	(void)fprintf(stderr, "mayfly-raw-qemu: %s: %s\n", what, detail);
	exit(1);
}

/* ---- one clone ---- */

struct raw {
	char *folder;
	pid_t pid;
	int monitor;
	int channel;
	struct buf lines;
	struct buf frames;
};

_printf_(1, 2) static char *text_new(const char *format, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		die("memory", "exhausted");
	va_end(arguments);
	return text;
}

static void start_qemu(struct raw *raw)
{
	char *argv[] = {
		text_new("%s", options.emulator),
		text_new("-S"),
		text_new("-nodefaults"),
		text_new("-no-user-config"),
		text_new("-display"),
		text_new("none"),
		text_new("-machine"),
		text_new("microvm,acpi=on,rtc=on,isa-serial=off,pit=off,pic=off,usb=off,"
			 "dump-guest-core=off,memory-backend=mem0"),
		text_new("-accel"),
		strcmp(manifest.accelerator, "kvm") == 0
			? text_new("kvm")
			: text_new("tcg,tb-size=%u", options.tb_size),
		text_new("-cpu"),
		text_new("%s", strcmp(manifest.accelerator, "kvm") == 0 ? "host" : "max"),
		text_new("-m"),
		text_new("%llu", (unsigned long long)(manifest.ram_bytes >> 20)),
		text_new("-smp"),
		text_new("%u", manifest.vcpus),
		text_new("-object"),
		text_new("memory-backend-file,id=mem0,size=%llu,mem-path=%s/ram,share=off",
			 (unsigned long long)manifest.ram_bytes, template_folder),
		text_new("-no-shutdown"),
		text_new("-bios"),
		text_new(GUEST_FIRMWARE),
		text_new("-kernel"),
		text_new("%s/vmlinux", options.images),
		text_new("-initrd"),
		text_new("%s/initramfs.cpio", options.images),
		text_new("-append"),
		text_new("%s", command_line),
		text_new("-device"),
		text_new("virtio-serial-device,id=virtio-serial0"),
		text_new("-drive"),
		text_new("if=none,id=root,format=raw,readonly=on,file=%s/runtimes/%s.erofs",
			 options.images, options.runtime),
		text_new("-device"),
		text_new("virtio-blk-device,drive=root,id=virtio-disk0,serial=root"),
		text_new("-drive"),
		text_new("if=none,id=code,format=raw,readonly=on,file=%s", options.package),
		text_new("-device"),
		text_new("virtio-blk-device,drive=code,id=virtio-disk1,serial=code"),
		text_new("-drive"),
		text_new("if=none,id=tmp,format=qcow2,cache=unsafe,discard=unmap,file=%s/scratch",
			 raw->folder),
		text_new("-device"),
		text_new("virtio-blk-device,drive=tmp,id=virtio-disk2,serial=tmp"),
		text_new("-chardev"),
		text_new("socket,id=channel,path=%s/channel,server=on,wait=off", raw->folder),
		text_new("-device"),
		text_new("virtserialport,bus=virtio-serial0.0,nr=1,chardev=channel,id=channel0,"
			 "name=mayfly.channel"),
		text_new("-chardev"),
		text_new("socket,id=monitor,path=%s/monitor,server=on,wait=off", raw->folder),
		text_new("-mon"),
		text_new("chardev=monitor,mode=control"),
		text_new("-incoming"),
		text_new("defer"),
		text_new("-sandbox"),
		text_new("on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"),
		NULL,
	};

	raw->pid = fork();
	if (raw->pid == 0) {
		execv(argv[0], argv);
		_exit(127);
	}
	if (raw->pid < 0)
		die("fork", strerror(errno));
	for (size_t i = 0; argv[i]; i++)
		free(argv[i]);
}

/* QEMU's sockets appear some time after it was started: asked for every millisecond. */
static int connect_when_there(const struct raw *raw, const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const struct timespec pause = { .tv_nsec = 500000 };

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", raw->folder, name);
	for (unsigned i = 0; i < 2 * LIMIT_MS; i++) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
			return fd;
		if (fd >= 0)
			(void)close(fd);
		if (waitpid(raw->pid, NULL, WNOHANG) == raw->pid)
			die("QEMU", "ended at once");
		(void)nanosleep(&pause, NULL);
	}
	die("QEMU", "does not listen");
}

static void receive(int fd, struct buf *into)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN };
	uint8_t chunk[65536];
	ssize_t n;

	if (poll(&poller, 1, LIMIT_MS) <= 0)
		die("QEMU", "says nothing");
	n = recv(fd, chunk, sizeof(chunk), 0);
	if (n <= 0 || buf_append(into, chunk, (size_t)n) < 0)
		die("QEMU", "closed a socket");
}

static void send_text(int fd, const char *text)
{
	if (fs_write_all(fd, text, strlen(text)) < 0)
		die("monitor", strerror(errno));
}

static void send_state_fd(int fd, int state)
{
	static const char text[] = "{\"execute\":\"getfd\",\"id\":3,\"arguments\":"
				   "{\"fdname\":\"state\"}}\n";
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)text, .iov_len = sizeof(text) - 1 };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &state, sizeof(int));
	if (sendmsg(fd, &message, 0) < 0)
		die("getfd", strerror(errno));
}

/* Reads the monitor until this event with this status, or this answer. */
static void wait_for_monitor(struct raw *raw, const char *status, uint64_t id)
{
	for (;;) {
		const uint8_t *newline =
			raw->lines.len ? memchr(raw->lines.data, '\n', raw->lines.len) : NULL;
		struct qmp_line line;
		const char *now;
		bool found;

		if (!newline) {
			receive(raw->monitor, &raw->lines);
			continue;
		}
		if (qmp_line_parse(slice_new(raw->lines.data, (size_t)(newline - raw->lines.data)),
				   &line) < 0)
			die("monitor", "malformed line");
		if (line.kind == QMP_ERROR)
			die("monitor", line.text);
		now = json_string_value(json_object_get(line.data, "status"));
		if (line.kind == QMP_EVENT && now && strcmp(now, "failed") == 0)
			die("QEMU", "cannot load the template");
		found = status ? line.kind == QMP_EVENT && now && strcmp(now, status) == 0
			       : line.kind == QMP_REPLY && line.id == id;
		qmp_line_clear(&line);
		buf_consume(&raw->lines, (size_t)(newline - raw->lines.data) + 1);
		if (found)
			return;
	}
}

static void load(struct raw *raw)
{
	_cleanup_free_ char *path = text_new("%s/state", template_folder);
	_cleanup_close_ int state = open(path, O_RDONLY | O_CLOEXEC);

	if (state < 0)
		die(path, strerror(errno));
	send_text(raw->monitor, "{\"execute\":\"qmp_capabilities\",\"id\":1}\n"
				"{\"execute\":\"migrate-set-capabilities\",\"id\":2,\"arguments\":{"
				"\"capabilities\":"
				"[{\"capability\":\"x-ignore-shared\",\"state\":true},"
				"{\"capability\":\"events\",\"state\":true}]}}\n");
	send_state_fd(raw->monitor, state);
	send_text(raw->monitor, "{\"execute\":\"migrate-incoming\",\"id\":4,\"arguments\":"
				"{\"uri\":\"fd:state\"}}\n");
	wait_for_monitor(raw, "completed", 0);
}

/* ---- the dialog ---- */

static char *text_of(const char *text)
{
	return (char *)(uintptr_t)text;
}

static void send_message(struct raw *raw, const host_message *message)
{
	size_t len = mayfly__guest__v1__host_message__get_packed_size(message);
	_cleanup_free_ uint8_t *frame = malloc(FRAME_HEADER_BYTES + len);

	if (!frame)
		die("memory", "exhausted");
	frame_put_header(frame, (uint32_t)len);
	(void)mayfly__guest__v1__host_message__pack(message, frame + FRAME_HEADER_BYTES);
	if (fs_write_all(raw->channel, frame, FRAME_HEADER_BYTES + len) < 0)
		die("channel", strerror(errno));
}

static void check_outcome(const Mayfly__Guest__V1__Outcome *outcome)
{
	if (outcome->status != MAYFLY__GUEST__V1__STATUS__STATUS_OK)
		die("the guest failed", outcome->error_type);
}

static void check_message(const guest_message *message)
{
	if (message->kind_case == MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_FATAL)
		die("the guest gave up", message->fatal->message);
	if (message->kind_case == MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_RESTORED)
		check_outcome(message->restored->outcome);
	if (message->kind_case == MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_INITIALIZED)
		check_outcome(message->initialized->outcome);
	if (message->kind_case == MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_INVOCATION_DONE)
		check_outcome(message->invocation_done->outcome);
}

static void wait_for_guest(struct raw *raw, Mayfly__Guest__V1__GuestMessage__KindCase kind)
{
	for (;;) {
		guest_message *message;
		struct slice body;
		size_t consumed;
		bool found;
		int r = frame_parse(buf_slice(&raw->frames), &body, &consumed);

		if (r == 0) {
			receive(raw->channel, &raw->frames);
			continue;
		}
		if (r < 0 || guest_message_parse(body, &message) < 0)
			die("the guest", "sent a malformed message");
		check_message(message);
		found = message->kind_case == kind;
		mayfly__guest__v1__guest_message__free_unpacked(message, NULL);
		buf_consume(&raw->frames, consumed);
		if (found)
			return;
	}
}

static void restore(struct raw *raw, const char *id)
{
	Mayfly__Guest__V1__Restore body = MAYFLY__GUEST__V1__RESTORE__INIT;
	host_message message = MAYFLY__GUEST__V1__HOST_MESSAGE__INIT;
	uint8_t entropy[64];

	random_bytes(entropy, sizeof(entropy));
	body.entropy.data = entropy;
	body.entropy.len = sizeof(entropy);
	body.realtime_us = clock_realtime_us();
	body.sandbox_id = text_of(id);
	body.log_stream_name = text_of("raw");
	message.kind_case = MAYFLY__GUEST__V1__HOST_MESSAGE__KIND_RESTORE;
	message.restore = &body;
	send_message(raw, &message);
	wait_for_guest(raw, MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_RESTORED);
}

static void initialize(struct raw *raw)
{
	Mayfly__Guest__V1__Initialize body = MAYFLY__GUEST__V1__INITIALIZE__INIT;
	host_message message = MAYFLY__GUEST__V1__HOST_MESSAGE__INIT;

	body.function_name = text_of("raw");
	body.function_version = text_of("$LATEST");
	body.function_arn = text_of("arn:aws:lambda:us-east-1:000000000000:function:raw");
	body.handler = text_of(options.handler);
	body.memory_mb = options.memory;
	body.timeout_ms = 30000;
	body.init_timeout_ms = 30000;
	body.region = text_of("us-east-1");
	body.account_id = text_of("000000000000");
	body.runtime_name = text_of(options.runtime);
	body.log_group_name = text_of("/aws/lambda/raw");
	body.log_stream_name = text_of("raw");
	body.ephemeral_storage_mb = SCRATCH_MIN_MB;
	message.kind_case = MAYFLY__GUEST__V1__HOST_MESSAGE__KIND_INITIALIZE;
	message.initialize = &body;
	send_message(raw, &message);
	wait_for_guest(raw, MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_INITIALIZED);
}

static void invoke(struct raw *raw)
{
	Mayfly__Guest__V1__Invoke body = MAYFLY__GUEST__V1__INVOKE__INIT;
	host_message message = MAYFLY__GUEST__V1__HOST_MESSAGE__INIT;
	char request_id[UUID_BYTES];

	uuid_generate(request_id);
	body.request_id = request_id;
	body.invoked_function_arn = text_of("arn:aws:lambda:us-east-1:000000000000:function:raw");
	body.timeout_ms = 30000;
	body.realtime_us = clock_realtime_us();
	body.payload.data = (uint8_t *)text_of(options.payload);
	body.payload.len = strlen(options.payload);
	body.payload_bytes = body.payload.len;
	body.payload_complete = 1;
	message.kind_case = MAYFLY__GUEST__V1__HOST_MESSAGE__KIND_INVOKE;
	message.invoke = &body;
	send_message(raw, &message);
	wait_for_guest(raw, MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_INVOCATION_DONE);
}

static double ms_since(int64_t *from_us)
{
	int64_t now = clock_monotonic_us();
	double ms = (double)(now - *from_us) / USEC_PER_MSEC;

	*from_us = now;
	return ms;
}

static void run_clone(struct sample *sample)
{
	_cleanup_free_ char *scratch_base = text_new("%s/scratch", options.state_dir);
	_cleanup_free_ char *scratch = NULL;
	_cleanup_error_ struct error error = ERROR_INIT;
	int64_t began = clock_monotonic_us();
	int64_t at = began;
	struct raw raw = { 0 };
	char id[HEX_ID_BYTES];

	hex_id_generate(id);
	raw.folder = text_new("%s/%.8s", work_folder, id);
	scratch = text_new("%s/scratch", raw.folder);
	if (mkdir(raw.folder, 0700) < 0)
		die(raw.folder, strerror(errno));
	if (scratch_create(scratch_base, SCRATCH_MIN_MB, scratch, &error) < 0)
		die("scratch disk", error_text(&error));
	start_qemu(&raw);
	raw.monitor = connect_when_there(&raw, "monitor");
	raw.channel = connect_when_there(&raw, "channel");
	sample->spawn_ms = ms_since(&at);
	load(&raw);
	sample->load_ms = ms_since(&at);
	send_text(raw.monitor, "{\"execute\":\"cont\",\"id\":5}\n");
	restore(&raw, id);
	sample->restore_ms = ms_since(&at);
	initialize(&raw);
	sample->init_ms = ms_since(&at);
	invoke(&raw);
	sample->invoke_ms = ms_since(&at);
	sample->total_ms = (double)(at - began) / USEC_PER_MSEC;

	(void)kill(raw.pid, SIGKILL);
	(void)waitpid(raw.pid, NULL, 0);
	(void)close(raw.monitor);
	(void)close(raw.channel);
	buf_free(&raw.lines);
	buf_free(&raw.frames);
	if (fs_remove_tree(raw.folder) < 0)
		die(raw.folder, "cannot be removed");
	free(raw.folder);
}

static void *run_worker(void *arg _unused_)
{
	unsigned i;

	while ((i = atomic_fetch_add(&next_sample, 1)) < options.count)
		run_clone(&samples[i]);
	return NULL;
}

/* ---- around it ---- */

static const struct source {
	const char *runtime, *file, *handler, *text;
} sources[] = {
	{ "python", "lambda_function.py", "lambda_function.handler",
	  "def handler(event, context):\n\treturn event\n" },
	{ "nodejs", "index.js", "index.handler", "exports.handler = async (event) => event;\n" },
};

static void run_mkfs(const char *image, const char *folder)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		(void)dup2(null, STDOUT_FILENO);
		(void)execlp("mkfs.erofs", "mkfs.erofs", image, folder, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status))
		die("mkfs.erofs", "failed");
}

static void make_package(void)
{
	_cleanup_free_ char *folder = text_new("%s/code", work_folder);
	_cleanup_free_ char *path = NULL;
	const struct source *source = NULL;
	char *image;

	for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
		if (strncmp(options.runtime, sources[i].runtime, strlen(sources[i].runtime)) == 0)
			source = &sources[i];
	if (!source)
		die(options.runtime, "needs --package and --handler");
	path = text_new("%s/%s", folder, source->file);
	image = text_new("%s/code.erofs", work_folder);
	if (mkdir(folder, 0755) < 0 ||
	    fs_write_file_atomic(path, slice_from_string(source->text), 0644) < 0)
		die(path, "cannot be written");
	run_mkfs(image, folder);
	if (truncate(image, PACKAGE_DEVICE_BYTES) < 0)
		die(image, strerror(errno));
	options.package = image;
	options.handler = source->handler;
}

static void find_template(void)
{
	_cleanup_free_ char *folder = text_new("%s/templates", options.state_dir);
	_cleanup_free_ char *id = text_new("base-%s-%u", options.runtime, options.memory);
	const struct dirent *entry;
	DIR *dir = opendir(folder);

	while (dir && !template_folder && (entry = readdir(dir))) {
		_cleanup_free_ char *path = text_new("%s/%s/manifest.json", folder, entry->d_name);
		_cleanup_buf_ struct buf text = BUF_INIT;

		if (fs_read_file(path, MANIFEST_MAX_BYTES, &text) >= 0 &&
		    template_manifest_parse(buf_slice(&text), &manifest, NULL) >= 0 &&
		    strcmp(manifest.id, id) == 0)
			template_folder = text_new("%s/%s", folder, entry->d_name);
	}
	if (dir)
		(void)closedir(dir);
	if (!template_folder)
		die("no such base template yet", id);
}

static int compare_totals(const void *a, const void *b)
{
	const struct sample *left = a;
	const struct sample *right = b;

	return (left->total_ms > right->total_ms) - (left->total_ms < right->total_ms);
}

static void print_results(double seconds)
{
	json_t *list = json_array();
	json_t *root;

	for (unsigned i = 0; i < options.count; i++)
		(void)json_array_append_new(
			list, json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "spawn",
					samples[i].spawn_ms, "load", samples[i].load_ms, "restore",
					samples[i].restore_ms, "init", samples[i].init_ms, "invoke",
					samples[i].invoke_ms, "total", samples[i].total_ms));
	qsort(samples, options.count, sizeof(samples[0]), compare_totals);
	root = json_pack("{s:i, s:i, s:f, s:f, s:f, s:f, s:s, s:o}", "n", (int)options.count,
			 "parallel", (int)options.parallel, "restores_per_second",
			 options.count / seconds, "p50_ms", samples[options.count / 2].total_ms,
			 "p90_ms", samples[options.count * 9 / 10].total_ms, "max_ms",
			 samples[options.count - 1].total_ms, "accelerator", manifest.accelerator,
			 "samples_ms", list);
	if (!root || json_dumpf(root, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) < 0)
		die("JSON", "cannot be written");
	(void)printf("\n");
	json_decref(root);
}

static void parse_options(int argc, char **argv)
{
	static const struct option names[] = {
		{ "state-dir", required_argument, NULL, 's' },
		{ "images", required_argument, NULL, 'i' },
		{ "package", required_argument, NULL, 'p' },
		{ "runtime", required_argument, NULL, 'r' },
		{ "handler", required_argument, NULL, 'h' },
		{ "payload", required_argument, NULL, 'j' },
		{ "emulator", required_argument, NULL, 'e' },
		{ "memory-size", required_argument, NULL, 'm' },
		{ "count", required_argument, NULL, 'n' },
		{ "parallel", required_argument, NULL, 'P' },
		{ "tb-size", required_argument, NULL, 't' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "n:", names, NULL)) >= 0) {
		unsigned number = optarg ? (unsigned)strtoul(optarg, NULL, 10) : 0;

		switch (c) {
		case 's':
			options.state_dir = optarg;
			break;
		case 'i':
			options.images = optarg;
			break;
		case 'p':
			options.package = optarg;
			break;
		case 'r':
			options.runtime = optarg;
			break;
		case 'h':
			options.handler = optarg;
			break;
		case 'j':
			options.payload = optarg;
			break;
		case 'e':
			options.emulator = optarg;
			break;
		case 'm':
			options.memory = number;
			break;
		case 'n':
			options.count = number;
			break;
		case 'P':
			options.parallel = number;
			break;
		case 't':
			options.tb_size = number;
			break;
		default:
			exit(2);
		}
	}
	if (!options.images)
		options.images = text_new("%s/images", options.state_dir);
	if (!options.count || options.count > COUNT_MAX || !options.parallel ||
	    options.parallel > PARALLEL_MAX)
		die("usage", "-n is 1 to 1000, --parallel 1 to 64");
}

int main(int argc, char **argv)
{
	pthread_t workers[PARALLEL_MAX];
	int64_t began;

	if (getenv("MAYFLY_STATE_DIR"))
		options.state_dir = getenv("MAYFLY_STATE_DIR");
	if (getenv("MAYFLY_IMAGES_DIR"))
		options.images = getenv("MAYFLY_IMAGES_DIR");
	parse_options(argc, argv);
	find_template();
	if (kernel_command_line_build(manifest.tsc_khz, &command_line) < 0)
		die("memory", "exhausted");
	work_folder = text_new("/tmp/mayfly-raw-XXXXXX");
	if (!mkdtemp(work_folder))
		die(work_folder, strerror(errno));
	if (!options.package)
		make_package();
	if (!options.handler)
		die("usage", "--package goes with --handler");
	began = clock_monotonic_us();
	for (unsigned i = 0; i < options.parallel; i++)
		if (pthread_create(&workers[i], NULL, run_worker, NULL) != 0)
			die("threads", "cannot be started");
	for (unsigned i = 0; i < options.parallel; i++)
		(void)pthread_join(workers[i], NULL);
	print_results((double)(clock_monotonic_us() - began) / (double)USEC_PER_SEC);
	if (fs_remove_tree(work_folder) < 0)
		die(work_folder, "cannot be removed");
	free(work_folder);
	free(command_line);
	free(template_folder);
	return 0;
}
