/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_init_core

/* Compile as the agent and the shim see it: every end has one answer, with what was made until
 * then; and what Initialize brings is handed on. The package's place is not there: nothing is
 * mounted in a test. */

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest/init/guest.h"
#include "mayfly/frame.h"
#include "mayfly/log.h"

#define LINK_BYTES (4U << 20) /* of the sockets between */

typedef Mayfly__Guest__V1__Compile compile_message;
typedef Mayfly__Guest__V1__Compiled compiled_message;
typedef Mayfly__Guest__V1__Bytecode bytecode_message;

struct world {
	struct guest guest;
	int agent; /* the other end of the port */
	int shim;  /* and of the link */
	guest_message *answer;
};

static void quiet(int priority, const struct log_fields *fields, const char *text, void *user)
{
	(void)priority;
	(void)fields;
	(void)text;
	(void)user;
}

static int open_pair(int *ret_far)
{
	int fds[2], bytes = LINK_BYTES;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	(void)setsockopt(fds[0], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	*ret_far = fds[1];
	return fds[0];
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	log_set_sink(quiet, NULL);
	assert_int_equal(guest_open(&w->guest, open_pair(&w->agent)), 0);
	assert_int_equal(shim_open(&w->guest.shim, &w->guest.loop, open_pair(&w->shim),
				   &guest_shim_listener, &w->guest),
			 0);
	w->guest.shim_spoke = true;
	w->guest.runtime = RUNTIME_IDLE;
	*state = w;
	return 0;
}

static void forget_answer(struct world *w)
{
	if (w->answer)
		mayfly__guest__v1__guest_message__free_unpacked(w->answer, NULL);
	w->answer = NULL;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	forget_answer(w);
	shim_close(&w->guest.shim);
	channel_close(&w->guest.channel);
	runtime_api_close(&w->guest.api);
	event_close(&w->guest.loop, &w->guest.signals);
	event_loop_close(&w->guest.loop);
	(void)close(w->agent);
	(void)close(w->shim);
	free(w);
	return 0;
}

/* The one message that waits for the agent. */
static const guest_message *take_answer(struct world *w)
{
	static uint8_t bytes[FRAME_MAX_BYTES + FRAME_HEADER_BYTES + 1];
	size_t len = 0, consumed;
	struct slice body;

	forget_answer(w);
	while (channel_pending(&w->guest.channel) > 0 || len == 0) {
		channel_flush(&w->guest.channel);
		ssize_t n = recv(w->agent, bytes + len, sizeof(bytes) - len, MSG_DONTWAIT);
		assert_true(n > 0);
		len += (size_t)n;
	}
	for (ssize_t n; (n = recv(w->agent, bytes + len, sizeof(bytes) - len, MSG_DONTWAIT)) > 0;)
		len += (size_t)n;
	assert_int_equal(frame_parse(slice_new(bytes, len), &body, &consumed), 1);
	assert_int_equal(consumed, len);
	w->answer = mayfly__guest__v1__guest_message__unpack(NULL, body.len, body.data);
	assert_non_null(w->answer);
	return w->answer;
}

static const compiled_message *take_compiled(struct world *w, int status, size_t count)
{
	const guest_message *message = take_answer(w);

	assert_int_equal(message->kind_case, MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_COMPILED);
	assert_int_equal(message->compiled->outcome->status, status);
	assert_int_equal(message->compiled->n_bytecode, count);
	assert_int_equal(w->guest.task, TASK_NONE);
	assert_false(w->guest.logs.discard);
	assert_int_equal(w->guest.compiled.count, 0);
	return message->compiled;
}

static void begin(struct world *w)
{
	w->guest.task = TASK_COMPILE;
	w->guest.logs.discard = true;
}

/* One frame of the shim's. */
static void feed(struct world *w, uint8_t type, const char *meta, size_t data_len, char fill)
{
	size_t meta_len = strlen(meta), length = meta_len + data_len;
	uint8_t header[SHIM_HEADER_BYTES] = { (uint8_t)length,
					      (uint8_t)(length >> 8),
					      (uint8_t)(length >> 16),
					      (uint8_t)(length >> 24),
					      type,
					      0,
					      (uint8_t)meta_len,
					      0 };
	_cleanup_buf_ struct buf b = BUF_INIT;

	assert_int_equal(buf_append(&b, header, sizeof(header)), 0);
	assert_int_equal(buf_append_string(&b, meta), 0);
	assert_int_equal(buf_reserve(&b, data_len), 0);
	memset(b.data + b.len, fill, data_len);
	b.len += data_len;
	shim_feed(&w->guest.shim, buf_slice(&b));
}

static void ask(struct world *w, const host_message *message)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t len = mayfly__guest__v1__host_message__get_packed_size(message);

	bytes = malloc(len + FRAME_HEADER_BYTES);
	assert_non_null(bytes);
	frame_put_header(bytes, (uint32_t)len);
	(void)mayfly__guest__v1__host_message__pack(message, bytes + FRAME_HEADER_BYTES);
	assert_int_equal(
		channel_feed(&w->guest.channel, slice_new(bytes, len + FRAME_HEADER_BYTES)), 0);
}

static void ask_compile(struct world *w, compile_message *compile)
{
	host_message message = MAYFLY__GUEST__V1__HOST_MESSAGE__INIT;

	message.kind_case = HOST_KIND(COMPILE);
	message.compile = compile;
	ask(w, &message);
}

/* -- what the shim made -- */

static void test_bytecode_comes_in_frames(void **state)
{
	struct world *w = *state;
	const compiled_message *compiled;

	begin(w);
	feed(w, SHIM_COMPILED, "a.py", 3, 'a');
	feed(w, SHIM_COMPILED, "lib/b.py", 0, 0);
	assert_int_equal(w->guest.task, TASK_COMPILE);
	feed(w, SHIM_COMPILED, "", 0, 0);
	compiled = take_compiled(w, STATUS(OK), 2);
	assert_string_equal(compiled->bytecode[0]->path, "a.py");
	assert_int_equal(compiled->bytecode[0]->data.len, 3);
	assert_memory_equal(compiled->bytecode[0]->data.data, "aaa", 3);
	assert_string_equal(compiled->bytecode[1]->path, "lib/b.py");
	assert_int_equal(compiled->bytecode[1]->data.len, 0);
	/* Nothing of it is left for another time, and nobody waits any more. */
	feed(w, SHIM_COMPILED, "late.py", 3, 'a');
	feed(w, SHIM_COMPILED, "", 0, 0);
	assert_int_equal(channel_pending(&w->guest.channel), 0);
	assert_int_equal(w->guest.compiled.count, 0);
}

static void test_what_does_not_fit_is_left_out(void **state)
{
	struct world *w = *state;
	const compiled_message *compiled;
	char path[16];

	begin(w);
	for (unsigned i = 0; i < GUEST_COMPILE_FILES + 1; i++) {
		(void)snprintf(path, sizeof(path), "%u.py", i);
		feed(w, SHIM_COMPILED, path, 1, 'a');
	}
	feed(w, SHIM_COMPILED, "", 0, 0);
	compiled = take_compiled(w, STATUS(OK), GUEST_COMPILE_FILES);
	assert_string_equal(compiled->bytecode[GUEST_COMPILE_FILES - 1]->path, "63.py");

	begin(w);
	feed(w, SHIM_COMPILED, "big.py", GUEST_COMPILE_BYTES - 5, 'a');
	feed(w, SHIM_COMPILED, "bit.py", GUEST_COMPILE_BYTES - 16, 'b');
	feed(w, SHIM_COMPILED, "c.py", 6, 'c');
	feed(w, SHIM_COMPILED, "d.py", 7, 'd');
	feed(w, SHIM_COMPILED, "", 0, 0);
	/* The path counts, too: to the last byte. */
	compiled = take_compiled(w, STATUS(OK), 2);
	assert_string_equal(compiled->bytecode[0]->path, "bit.py");
	assert_string_equal(compiled->bytecode[1]->path, "c.py");
}

/* -- other ends -- */

static void test_the_deadline_ends_it(void **state)
{
	struct world *w = *state;

	begin(w);
	feed(w, SHIM_COMPILED, "a.py", 3, 'a');
	tasks_on_deadline(&w->guest);
	assert_string_equal(take_compiled(w, STATUS(TIMEOUT), 1)->outcome->error_type,
			    "Sandbox.Timedout");
	assert_true(w->guest.kill_wanted);
	assert_int_equal(w->guest.runtime, RUNTIME_NONE);
}

static void test_a_dying_compiler_ends_it(void **state)
{
	struct world *w = *state;

	begin(w);
	tasks_on_exit(&w->guest, SIGSEGV);
	assert_string_equal(take_compiled(w, STATUS(EXIT), 0)->outcome->error_type,
			    "Runtime.ExitError");
}

static void test_a_broken_link_ends_it(void **state)
{
	struct world *w = *state;

	begin(w);
	feed(w, 200, "", 0, 0);
	(void)take_compiled(w, STATUS(EXIT), 0);
	assert_true(w->guest.kill_wanted);
}

static void test_frames_that_mean_nothing_now(void **state)
{
	static const uint8_t types[] = { SHIM_HELLO,        SHIM_READY,      SHIM_INIT_ERROR,
					 SHIM_PONG,         SHIM_RESPONSE,   SHIM_ERROR,
					 SHIM_STREAM_START, SHIM_STREAM_END, SHIM_HOOKS_DONE };
	struct world *w = *state;

	begin(w);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		feed(w, types[i], "x", 1, 'x');
		assert_int_equal(w->guest.task, TASK_COMPILE);
	}
	feed(w, SHIM_COMPILED, "", 0, 0);
	(void)take_compiled(w, STATUS(OK), 0);
}

static void test_what_cannot_be_placed_is_the_guests_failure(void **state)
{
	struct world *w = *state;
	Mayfly__Guest__V1__PackageFile file = MAYFLY__GUEST__V1__PACKAGE_FILE__INIT;
	Mayfly__Guest__V1__PackageFile *files[] = { &file };
	compile_message compile = MAYFLY__GUEST__V1__COMPILE__INIT;
	char path[] = "../out";
	const compiled_message *compiled;

	file.path = path;
	compile.files = files;
	compile.n_files = 1;
	ask_compile(w, &compile);
	compiled = take_compiled(w, STATUS(GUEST_FAILURE), 0);
	assert_string_equal(compiled->outcome->error_type, "Sandbox.Failure");
	assert_non_null(memmem(compiled->outcome->error_body.data,
			       compiled->outcome->error_body.len,
			       "package file ../out: Invalid argument", 37));
	assert_false(w->guest.placed);
}

static void test_it_comes_before_the_function_and_once(void **state)
{
	struct world *w = *state;
	compile_message compile = MAYFLY__GUEST__V1__COMPILE__INIT;
	const guest_message *message;

	w->guest.placed = true;
	ask_compile(w, &compile);
	message = take_answer(w);
	assert_int_equal(message->kind_case, MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_FATAL);
	assert_string_equal(message->fatal->message, "Compile came too late");
	assert_true(w->guest.loop.stop);
}

/* -- what Initialize brings -- */

static void test_bytecode_is_handed_on(void **state)
{
	struct world *w = *state;
	initialize_message initialize = MAYFLY__GUEST__V1__INITIALIZE__INIT;
	Mayfly__Guest__V1__EnvironmentVariable variable =
		MAYFLY__GUEST__V1__ENVIRONMENT_VARIABLE__INIT;
	Mayfly__Guest__V1__EnvironmentVariable *variables[] = { &variable };
	bytecode_message file = MAYFLY__GUEST__V1__BYTECODE__INIT;
	bytecode_message *files[] = { &file };
	char path[] = "a.py", key[] = "PYTHONPATH";
	uint8_t bytes[64], data[] = { 1, 2, 0 };

	file.path = path;
	file.data.data = data;
	file.data.len = sizeof(data);
	initialize.bytecode = files;
	initialize.n_bytecode = 1;
	compile_deliver(&w->guest, &initialize);
	assert_int_equal(recv(w->shim, bytes, sizeof(bytes), MSG_DONTWAIT),
			 SHIM_HEADER_BYTES + 4 + sizeof(data));
	assert_int_equal(bytes[4], SHIM_BYTECODE);
	assert_int_equal(bytes[6], 4);
	assert_memory_equal(bytes + SHIM_HEADER_BYTES, "a.py\1\2\0", 7);
	/* Neither to a process that is started anew for its environment or its layers' libraries,
	 * nor to one that is not there. */
	variable.key = key;
	initialize.environment = variables;
	initialize.n_environment = 1;
	compile_deliver(&w->guest, &initialize);
	initialize.n_environment = 0;
	w->guest.has_libraries = true;
	compile_deliver(&w->guest, &initialize);
	w->guest.has_libraries = false;
	w->guest.runtime = RUNTIME_NONE;
	compile_deliver(&w->guest, &initialize);
	assert_int_equal(recv(w->shim, bytes, sizeof(bytes), MSG_DONTWAIT), -1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_bytecode_comes_in_frames),
		TEST(test_what_does_not_fit_is_left_out),
		TEST(test_the_deadline_ends_it),
		TEST(test_a_dying_compiler_ends_it),
		TEST(test_a_broken_link_ends_it),
		TEST(test_frames_that_mean_nothing_now),
		TEST(test_what_cannot_be_placed_is_the_guests_failure),
		TEST(test_it_comes_before_the_function_and_once),
		TEST(test_bytecode_is_handed_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
