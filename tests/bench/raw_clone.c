/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <jansson.h>

#include "agent/image/package_files.h"
#include "agent/image/scratch.h"
#include "agent/vm/channel.h"
#include "agent/vm/domain_xml.h"
#include "agent/vm/qmp.h"
#include "mayfly/clock.h"
#include "mayfly/frame.h"
#include "mayfly/fs.h"
#include "mayfly/id.h"
#include "tests/bench/raw_qemu.h"

/* No answer takes longer: an invocation of `bench burst` holds its sandbox for a minute at most. */
#define LIMIT_MS            120000
#define FUNCTION_TIMEOUT_MS 900000

typedef Mayfly__Guest__V1__HostMessage host_message;
typedef Mayfly__Guest__V1__GuestMessage guest_message;

struct raw {
	char *folder;
	pid_t pid;
	int monitor;
	int channel;
	struct buf lines;
	struct buf frames;
};

static Mayfly__Guest__V1__Compile *package; /* NULL: not small, mounted */
static Mayfly__Guest__V1__Compiled *bytecode;

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
		text_new(
			"microvm,acpi=on,rtc=on,isa-serial=off,pit=off,pic=off,ioapic2=off,usb=off,"
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
		text_new("virtio-serial-device,id=virtio-serial0,max_ports=2"),
		text_new("-drive"),
		text_new("if=none,id=root,format=raw,readonly=on,file=%s/runtimes/%s.erofs",
			 options.images, options.runtime),
		text_new("-device"),
		text_new("virtio-blk-device,drive=root,id=virtio-disk0,serial=root"),
		text_new("-drive"),
		text_new("if=none,id=code,format=raw,readonly=on,file=%s", package_image),
		text_new("-device"),
		text_new("virtio-blk-device,drive=code,id=virtio-disk1,serial=code"),
		text_new("-drive"),
		text_new("if=none,id=tmp,format=qcow2,cache=unsafe,discard=unmap,file=%s/scratch",
			 raw->folder),
		text_new("-device"),
		text_new("virtio-blk-device,drive=tmp,id=virtio-disk2,serial=tmp"),
		text_new("-chardev"),
		text_new("socket,id=channel,path=%s/channel", raw->folder),
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
		sigset_t none;

		(void)sigemptyset(&none);
		(void)sigprocmask(SIG_SETMASK, &none, NULL);
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (preload)
			(void)setenv("LD_PRELOAD", preload, 1);
		execv(argv[0], argv);
		_exit(127);
	}
	if (raw->pid < 0)
		die("fork", strerror(errno));
	for (size_t i = 0; argv[i]; i++)
		free(argv[i]);
}

/* QEMU's sockets appear some time after it was started: asked for twice a millisecond. */
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

/* QEMU connects to the channel when it starts. */
static int listen_for_channel(const struct raw *raw)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/channel", raw->folder);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, 1) < 0)
		die("channel", strerror(errno));
	return fd;
}

static int accept_channel(int listener)
{
	struct pollfd poller = { .fd = listener, .events = POLLIN };
	int fd = poll(&poller, 1, LIMIT_MS) > 0 ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;

	if (fd < 0)
		die("channel", "QEMU does not connect");
	(void)close(listener);
	return fd;
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
	if (message->kind_case == MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_COMPILED)
		check_outcome(message->compiled->outcome);
	if (message->kind_case == MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_INITIALIZED)
		check_outcome(message->initialized->outcome);
	if (message->kind_case == MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_INVOCATION_DONE)
		check_outcome(message->invocation_done->outcome);
}

/* Reads until a message of this kind, which the caller frees. */
static guest_message *read_from_guest(struct raw *raw,
				      Mayfly__Guest__V1__GuestMessage__KindCase kind)
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
		buf_consume(&raw->frames, consumed);
		if (found)
			return message;
		mayfly__guest__v1__guest_message__free_unpacked(message, NULL);
	}
}

static void wait_for_guest(struct raw *raw, Mayfly__Guest__V1__GuestMessage__KindCase kind)
{
	mayfly__guest__v1__guest_message__free_unpacked(read_from_guest(raw, kind), NULL);
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
	body.timeout_ms = FUNCTION_TIMEOUT_MS;
	body.init_timeout_ms = FUNCTION_TIMEOUT_MS;
	body.region = text_of("us-east-1");
	body.account_id = text_of("000000000000");
	body.runtime_name = text_of(options.runtime);
	body.log_group_name = text_of("/aws/lambda/raw");
	body.log_stream_name = text_of("raw");
	body.ephemeral_storage_mb = SCRATCH_MIN_MB;
	if (package) {
		body.files = package->files;
		body.n_files = package->n_files;
	}
	if (bytecode) {
		body.bytecode = bytecode->bytecode;
		body.n_bytecode = bytecode->n_bytecode;
	}
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
	body.timeout_ms = FUNCTION_TIMEOUT_MS;
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

/* A clone that has loaded the template and runs; `id` gets its name. */
static void begin_clone(struct raw *raw, char id[HEX_ID_BYTES], struct raw_sample *sample,
			int64_t *at)
{
	_cleanup_free_ char *scratch_base = text_new("%s/scratch", options.state_dir);
	_cleanup_free_ char *scratch = NULL;
	_cleanup_error_ struct error error = ERROR_INIT;
	int listener;

	hex_id_generate(id);
	raw->folder = text_new("%s/%.8s", work_folder, id);
	scratch = text_new("%s/scratch", raw->folder);
	if (mkdir(raw->folder, 0700) < 0)
		die(raw->folder, strerror(errno));
	if (scratch_create(scratch_base, SCRATCH_MIN_MB, scratch, &error) < 0)
		die("scratch disk", error_text(&error));
	listener = listen_for_channel(raw);
	start_qemu(raw);
	raw->monitor = connect_when_there(raw, "monitor");
	raw->channel = accept_channel(listener);
	sample->spawn_ms = ms_since(at);
	load(raw);
	sample->load_ms = ms_since(at);
	send_text(raw->monitor, "{\"execute\":\"cont\",\"id\":5}\n");
	restore(raw, id);
	sample->restore_ms = ms_since(at);
}

static void end_clone(struct raw *raw)
{
	(void)kill(raw->pid, SIGKILL);
	(void)waitpid(raw->pid, NULL, 0);
	(void)close(raw->monitor);
	(void)close(raw->channel);
	buf_free(&raw->lines);
	buf_free(&raw->frames);
	if (fs_remove_tree(raw->folder) < 0)
		die(raw->folder, "cannot be removed");
	free(raw->folder);
}

void prepare_code(void)
{
	host_message message = MAYFLY__GUEST__V1__HOST_MESSAGE__INIT;
	struct raw_sample sample;
	struct raw raw = { 0 };
	guest_message *answer;
	char id[HEX_ID_BYTES];
	int64_t at = clock_monotonic_us();

	if (package_files_load(package_image, &package) < 0)
		die("the package's files", "cannot be read");
	if (!package || package->n_sources == 0 || strncmp(options.runtime, "python", 6) != 0)
		return;
	begin_clone(&raw, id, &sample, &at);
	message.kind_case = MAYFLY__GUEST__V1__HOST_MESSAGE__KIND_COMPILE;
	message.compile = package;
	send_message(&raw, &message);
	answer = read_from_guest(&raw, MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_COMPILED);
	bytecode = answer->compiled;
	answer->compiled = NULL;
	answer->kind_case = MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND__NOT_SET;
	mayfly__guest__v1__guest_message__free_unpacked(answer, NULL);
	end_clone(&raw);
}

void run_clone(struct raw_sample *sample)
{
	struct raw raw = { 0 };
	char id[HEX_ID_BYTES];
	int64_t began, at;

	while (sem_wait(&starting) < 0)
		;
	began = at = clock_monotonic_us();
	begin_clone(&raw, id, sample, &at);
	initialize(&raw);
	sample->init_ms = ms_since(&at);
	sample->ready_us = at - begun_us;
	(void)sem_post(&starting);
	invoke(&raw);
	sample->invoke_ms = ms_since(&at);
	sample->total_ms = (double)(at - began) / USEC_PER_MSEC;
	end_clone(&raw);
}
