/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_pool mayfly_logs mayfly_functions mayfly_image mayfly_core mayfly_base

/* Which sandbox gets a small package's files, who compiles them, and who gets the bytecode. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/image/package_files.h"
#include "tests/unit/pool_harness.h"

#define FILES         3 /* a.py, b.py, data.txt */
#define SOURCES       2
#define SANDBOXES     8
#define PYTHON_DIGEST "1111111111111111111111111111111111111111111111111111111111111111"
#define OTHER_DIGEST  "2222222222222222222222222222222222222222222222222222222222222222"
#define KEPT_BYTECODE "d1.1111111111111111.bytecode"
#define HOST_KIND(n)  MAYFLY__GUEST__V1__HOST_MESSAGE__KIND_##n
#define GUEST_KIND(n) MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_##n
#define STATUS(n)     MAYFLY__GUEST__V1__STATUS__STATUS_##n
#define IMAGE(n, k, d)                                                                             \
	"{\"name\":\"" n "\",\"kind\":\"" k "\",\"version\":\"1\",\"packages_sha256\":\"" d        \
	"\"," FILE(d) "}"
#define FILE(d) "\"file\":\"f\",\"sha256\":\"" d "\",\"size\":1"

typedef Mayfly__Guest__V1__HostMessage host_message;
typedef Mayfly__Guest__V1__GuestMessage guest_message;
typedef Mayfly__Guest__V1__Bytecode bytecode_message;

static const char images_json[] = "{\"format\":1,\"kernel\":{\"release\":\"6\"," FILE(
	OTHER_DIGEST) "},"
		      "\"initramfs\":{" FILE(OTHER_DIGEST) "},\"runtimes\":[" IMAGE(
			      "python3.13", "python",
			      PYTHON_DIGEST) "," IMAGE("nodejs20.x", "nodejs",
						       OTHER_DIGEST) "," IMAGE("provided.al2023",
									       "provided",
									       OTHER_DIGEST) "]}";

/* -- guests that compile -- */

/* What a sandbox was told, in order of their Restore. */
static struct heard {
	struct vm *vm;
	unsigned compiles;
	unsigned initializes;
	size_t files; /* of Initialize, as all that follows */
	size_t bytecode;
	uint8_t first_byte; /* of all bytecode */
} heard[SANDBOXES];
static unsigned heard_count;

/* How they answer Compile. */
static struct {
	enum { ANSWERS, HOLDS, DIES } manner;
	int status;
	const char *paths[SOURCES + 1];
	size_t count;
	size_t bytes; /* of each */
} compiler;

static void send_compiled(void *arg)
{
	struct vm *vm = arg;
	guest_message message = MAYFLY__GUEST__V1__GUEST_MESSAGE__INIT;
	Mayfly__Guest__V1__Compiled compiled = MAYFLY__GUEST__V1__COMPILED__INIT;
	Mayfly__Guest__V1__Outcome outcome = MAYFLY__GUEST__V1__OUTCOME__INIT;
	bytecode_message files[SOURCES + 1], *pointers[SOURCES + 1];
	_cleanup_free_ uint8_t *data = malloc(compiler.bytes);

	assert_non_null(data);
	memset(data, 'b', compiler.bytes);
	for (size_t i = 0; i < compiler.count; i++) {
		mayfly__guest__v1__bytecode__init(&files[i]);
		files[i].path = (char *)(uintptr_t)compiler.paths[i];
		files[i].data.data = data;
		files[i].data.len = compiler.bytes;
		pointers[i] = &files[i];
	}
	outcome.status = compiler.status;
	compiled.outcome = &outcome;
	compiled.bytecode = pointers;
	compiled.n_bytecode = compiler.count;
	message.kind_case = GUEST_KIND(COMPILED);
	message.compiled = &compiled;
	if (!vm->ended)
		vm->events->on_message(vm, &message, vm->user);
	vm_put(vm);
}

static void answer_compile(struct vm *vm)
{
	vm->pending++;
	loop_post(vm->f->loop, send_compiled, vm);
}

static struct heard *heard_of(const struct vm *vm)
{
	for (unsigned i = heard_count; i-- > 0;)
		if (heard[i].vm == vm)
			return &heard[i];
	fail_msg("no Restore came before");
	return NULL;
}

static void hear_compile(struct vm *vm, const Mayfly__Guest__V1__Compile *compile)
{
	struct heard *h = heard_of(vm);

	assert_int_equal(h->initializes, 0);
	assert_int_equal(compile->n_files, FILES);
	assert_string_equal(compile->files[2]->path, "data.txt");
	assert_int_equal(compile->n_sources, SOURCES);
	assert_string_equal(compile->sources[0], "a.py");
	assert_string_equal(compile->sources[1], "b.py");
	h->compiles++;
	if (compiler.manner == ANSWERS)
		answer_compile(vm);
	if (compiler.manner == DIES)
		driver_end(vm, "the compiler brought it down");
}

static void hear_initialize(struct vm *vm, const Mayfly__Guest__V1__Initialize *initialize)
{
	struct heard *h = heard_of(vm);

	h->initializes++;
	h->files = initialize->n_files;
	h->bytecode = initialize->n_bytecode;
	if (initialize->n_files > 0)
		assert_string_equal(initialize->files[0]->path, "a.py");
	if (initialize->n_bytecode > 0) {
		assert_string_equal(initialize->bytecode[0]->path, "a.py");
		h->first_byte = initialize->bytecode[0]->data.data[0];
	}
}

static bool on_send(struct vm *vm, const host_message *message)
{
	switch (message->kind_case) {
	case HOST_KIND(RESTORE):
		assert_true(heard_count < SANDBOXES);
		heard[heard_count++] = (struct heard){ .vm = vm };
		return false;
	case HOST_KIND(COMPILE):
		hear_compile(vm, message->compile);
		return true;
	case HOST_KIND(INITIALIZE):
		hear_initialize(vm, message->initialize);
		return false;
	default:
		return false;
	}
}

/* -- packages -- */

static char packages[96];
static struct runtime_catalogue *catalogue;

static void in_packages(const char *name, char ret[256])
{
	(void)snprintf(ret, 256, "%s/%s", packages, name);
}

static bool is_kept(const char *name)
{
	char path[256];

	in_packages(name, path);
	return fs_exists(path);
}

/* As package_build() leaves them beside an image, which nobody here opens. */
static void save_files(const char *const *names, size_t count)
{
	_cleanup_(zip_tree_clear) struct zip_tree tree = { .count = (uint32_t)count };
	char path[256];

	for (size_t i = 0; i < count; i++) {
		struct zip_node *node = calloc(1, sizeof(*node));

		*node = (struct zip_node){ .path = strdup(names[i]), .mode = 0644, .mtime = 1 };
		HASH_ADD_KEYPTR(hh, tree.nodes, node->path, strlen(node->path), node);
		in_packages(names[i], path);
		assert_int_equal(fs_write_file_atomic(path, slice_from_string("x"), 0600), 0);
	}
	in_packages("d1.files", path);
	assert_int_equal(package_files_save(&tree, packages, path), 0);
}

static void make_code_pool(struct fixture *f)
{
	static const char *const names[FILES] = { "a.py", "b.py", "data.txt" };

	save_files(names, FILES);
	make_pool(f);
}

static int set_up_code(void **state)
{
	int r = set_up(state);
	struct fixture *f = *state;

	(void)snprintf(packages, sizeof(packages), "%s/packages", f->dir);
	assert_int_equal(fs_make_directories(packages, 0700), 0);
	assert_int_equal(runtime_catalogue_parse(slice_from_string(images_json), "/images",
						 &catalogue, NULL),
			 0);
	f->packages = packages;
	f->config.catalogue = catalogue;
	f->on_send = on_send;
	heard_count = 0;
	compiler.manner = ANSWERS;
	compiler.status = STATUS(OK);
	compiler.paths[0] = "a.py";
	compiler.paths[1] = "b.py";
	compiler.paths[2] = "a.py";
	compiler.count = SOURCES;
	compiler.bytes = 10;
	return r;
}

static int tear_down_code(void **state)
{
	int r = tear_down(state);

	catalogue = runtime_catalogue_free(catalogue);
	return r;
}

/* Serves a demand by a sandbox of its own, which ends with it. */
static void serve_once(struct fixture *f)
{
	struct asker a;

	assert_int_equal(ask(f, &a, "f"), 0);
	RUN_UNTIL(f, a.bound == 1);
	sandbox_release(a.sandbox, "it was only asked for once");
	RUN_UNTIL(f, gauges(f).total == 0);
}

static void assert_heard(unsigned i, unsigned compiles, size_t files, size_t bytecode)
{
	assert_true(i < heard_count);
	assert_int_equal(heard[i].compiles, compiles);
	assert_int_equal(heard[i].initializes, 1);
	assert_int_equal(heard[i].files, files);
	assert_int_equal(heard[i].bytecode, bytecode);
}

/* -- tests -- */

static const struct version_code *code_of(struct fixture *f)
{
	return &version_find(f->pool, "123456789012", "f")->code;
}

static void the_first_one_compiles_for_all(void **state)
{
	struct fixture *f = *state;

	make_code_pool(f);
	serve_once(f);
	/* It has the files since then, and its own bytecode as all others have. */
	assert_heard(0, 1, 0, SOURCES);
	serve_once(f);
	serve_once(f);
	assert_heard(1, 0, FILES, SOURCES);
	assert_heard(2, 0, FILES, SOURCES);
	assert_int_equal(heard[2].first_byte, 'b');
	assert_int_equal(gauges(f).start_failures, 0);
	RUN_UNTIL(f, is_kept(KEPT_BYTECODE));
}

static void others_do_not_wait_for_the_compiler(void **state)
{
	struct fixture *f = *state;
	struct asker a, b;

	make_code_pool(f);
	compiler.manner = HOLDS;
	assert_int_equal(ask(f, &a, "f"), 0);
	assert_int_equal(ask(f, &b, "f"), 0);
	RUN_UNTIL(f, a.bound + b.bound == 1 && heard_count == 2);
	assert_int_equal(heard[0].compiles, 1);
	assert_int_equal(heard[0].initializes, 0);
	assert_heard(1, 0, FILES, 0);
	answer_compile(heard[0].vm);
	RUN_UNTIL(f, a.bound + b.bound == 2);
	assert_heard(0, 1, 0, SOURCES);
	release(&a);
	release(&b);
}

static void on_policy(unsigned ended _unused_, unsigned spares_ready _unused_,
		      const struct error *error, void *arg)
{
	assert_null(error);
	*(bool *)arg = true;
}

static void what_ends_beside_it_is_no_matter(void **state)
{
	struct fixture *f = *state;
	struct asker a, b, *first;

	make_code_pool(f);
	compiler.manner = HOLDS;
	assert_int_equal(ask(f, &a, "f"), 0);
	assert_int_equal(ask(f, &b, "f"), 0);
	RUN_UNTIL(f, a.bound + b.bound == 1 && heard_count == 2);
	/* Who is bound first has the other sandbox. */
	first = a.bound ? &a : &b;
	sandbox_release(first->sandbox, "it was only asked for once");
	RUN_UNTIL(f, gauges(f).total == 1);
	answer_compile(heard[0].vm);
	RUN_UNTIL(f, a.bound + b.bound == 2);
	assert_heard(0, 1, 0, SOURCES);
	assert_null(code_of(f)->compiler);
	release(first == &a ? &b : &a);
}

static void a_booted_one_compiles_too(void **state)
{
	struct fixture *f = *state;
	struct function function = function_make(f, "f");
	struct sandbox_facts facts;
	bool is_set = false;
	struct asker a;

	make_code_pool(f);
	assert_int_equal(pool_set_policy(f->pool, &function, POOL_POLICY_BOOT, 0, false, on_policy,
					 &is_set, NULL),
			 0);
	RUN_UNTIL(f, is_set);
	assert_int_equal(ask(f, &a, "f"), 0);
	RUN_UNTIL(f, a.bound == 1);
	sandbox_get_facts(a.sandbox, &facts);
	assert_int_equal(facts.origin, SANDBOX_FROM_BOOT);
	assert_heard(0, 1, 0, SOURCES);
	release(&a);
}

static void what_says_nothing_of_a_source_is_an_answer(void **state)
{
	struct fixture *f = *state;

	make_code_pool(f);
	compiler.count = 0;
	serve_once(f);
	serve_once(f);
	assert_heard(0, 1, 0, 0);
	assert_heard(1, 0, FILES, 0);
	RUN_UNTIL(f, is_kept(KEPT_BYTECODE));
}

/* The demand gets another sandbox, and no other one is sent to compile. */
static void assert_never_again(struct fixture *f)
{
	serve_once(f);
	/* The sandbox that did is gone: nobody refers to it. */
	assert_null(code_of(f)->compiler);
	assert_false(code_of(f)->compiles);
	serve_once(f);
	assert_int_equal(heard_count, 3);
	assert_int_equal(heard[0].compiles, 1);
	assert_int_equal(heard[0].initializes, 0);
	assert_heard(1, 0, FILES, 0);
	assert_heard(2, 0, FILES, 0);
	assert_false(is_kept(KEPT_BYTECODE));
	heard_count = 0;
	f->generation++;
}

static void bytecode_that_nobody_asked_for_is_not_taken(void **state)
{
	struct fixture *f = *state;

	make_code_pool(f);
	compiler.paths[1] = "data.txt";
	assert_never_again(f);
	compiler.paths[1] = "b.py";
	compiler.count = SOURCES + 1;
	assert_never_again(f);
	compiler.count = 1;
	compiler.bytes = PACKAGE_BYTECODE_BYTES + 1;
	assert_never_again(f);
	compiler.count = SOURCES;
	compiler.bytes = PACKAGE_BYTECODE_BYTES / 2 + 1;
	assert_never_again(f);
	/* The limit itself is good. */
	compiler.bytes = PACKAGE_BYTECODE_BYTES / 2;
	serve_once(f);
	assert_heard(0, 1, 0, SOURCES);
}

static void a_compiler_that_fails_or_dies_is_the_last(void **state)
{
	struct fixture *f = *state;

	make_code_pool(f);
	compiler.status = STATUS(TIMEOUT);
	assert_never_again(f);
	compiler.status = STATUS(GUEST_FAILURE);
	assert_never_again(f);
	compiler.manner = DIES;
	assert_never_again(f);
}

static void an_overdue_compiler_is_the_last(void **state)
{
	struct fixture *f = *state;

	f->config.start_timeout_us = 300 * USEC_PER_MSEC;
	make_code_pool(f);
	compiler.manner = HOLDS;
	assert_never_again(f);
}

static void a_second_answer_ends_the_sandbox(void **state)
{
	struct fixture *f = *state;
	struct asker a;

	make_code_pool(f);
	compiler.manner = HOLDS;
	assert_int_equal(ask(f, &a, "f"), 0);
	RUN_UNTIL(f, heard_count == 1 && heard[0].compiles == 1);
	answer_compile(heard[0].vm);
	answer_compile(heard[0].vm);
	RUN_UNTIL(f, a.bound == 1);
	/* What the first answer had stays. */
	assert_int_equal(heard_count, 2);
	assert_heard(1, 0, FILES, SOURCES);
	release(&a);
}

static void other_languages_get_files_alone(void **state)
{
	static const char *const runtimes[] = { "nodejs20.x", "provided.al2023" };
	struct fixture *f = *state;

	make_code_pool(f);
	for (unsigned i = 0; i < ARRAY_SIZE(runtimes); i++) {
		f->runtime = runtimes[i];
		f->generation++;
		serve_once(f);
		serve_once(f);
		assert_heard(2 * i, 0, FILES, 0);
		assert_heard(2 * i + 1, 0, FILES, 0);
	}
	assert_false(is_kept("d1.2222222222222222.bytecode"));
}

static void without_sources_there_is_nothing_to_compile(void **state)
{
	static const char *const names[] = { "a.pyc", "a.py" };
	struct fixture *f = *state;

	save_files(names, 1);
	make_pool(f);
	heard_count = 0;
	f->on_send = NULL; /* whose files are others */
	serve_once(f);
	assert_int_equal(gauges(f).start_failures, 0);
	assert_false(is_kept(KEPT_BYTECODE));
}

static void a_package_that_is_not_small_is_mounted(void **state)
{
	struct fixture *f = *state;

	make_pool(f);
	serve_once(f);
	assert_heard(0, 0, 0, 0);
}

static void a_function_template_has_its_package_mounted(void **state)
{
	struct fixture *f = *state;
	struct function function = function_make(f, "f");
	struct asker a = { .demand.events = &events };

	make_code_pool(f);
	the_kind = TEMPLATE_FUNCTION;
	function.config.snap_start = SNAP_START_LATEST;
	assert_int_equal(pool_acquire(f->pool, &function, &a.demand, &a.sandbox, NULL), 0);
	RUN_UNTIL(f, a.bound == 1);
	assert_int_equal(f->template_files, 0);
	assert_int_equal(f->template_bytecode, 0);
	/* Its clones have all since then. */
	assert_int_equal(heard_count, 1);
	assert_int_equal(heard[0].compiles, 0);
	assert_int_equal(heard[0].initializes, 0);
	f->starting = 0;
	release(&a);
}

static void end_pool(struct fixture *f)
{
	bool drained = false;

	pool_drain(f->pool, 0, set_done, &drained);
	RUN_UNTIL(f, drained);
	settle(f);
	f->pool = pool_free(f->pool);
	heard_count = 0;
}

static void a_new_pool_uses_what_is_kept(void **state)
{
	struct fixture *f = *state;

	make_code_pool(f);
	serve_once(f);
	RUN_UNTIL(f, is_kept(KEPT_BYTECODE));
	end_pool(f);
	make_pool(f);
	serve_once(f);
	assert_heard(0, 0, FILES, SOURCES);
	assert_int_equal(heard[0].first_byte, 'b');
}

static void damage(const char *name)
{
	char path[256];

	in_packages(name, path);
	assert_int_equal(fs_write_file_atomic(path, slice_from_string("\x0a"), 0600), 0);
}

static void damaged_bytecode_is_made_again(void **state)
{
	struct fixture *f = *state;

	make_code_pool(f);
	damage(KEPT_BYTECODE);
	serve_once(f);
	assert_heard(0, 1, 0, SOURCES);
	end_pool(f);
	make_pool(f);
	serve_once(f);
	assert_heard(0, 0, FILES, SOURCES);
}

static void damaged_files_are_as_none(void **state)
{
	struct fixture *f = *state;

	make_code_pool(f);
	damage("d1.files");
	serve_once(f);
	assert_heard(0, 0, 0, 0);
}

int main(void)
{
#define CODE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_code, tear_down_code)
	const struct CMUnitTest tests[] = {
		CODE_TEST(the_first_one_compiles_for_all),
		CODE_TEST(others_do_not_wait_for_the_compiler),
		CODE_TEST(what_ends_beside_it_is_no_matter),
		CODE_TEST(a_booted_one_compiles_too),
		CODE_TEST(what_says_nothing_of_a_source_is_an_answer),
		CODE_TEST(bytecode_that_nobody_asked_for_is_not_taken),
		CODE_TEST(a_compiler_that_fails_or_dies_is_the_last),
		CODE_TEST(an_overdue_compiler_is_the_last),
		CODE_TEST(a_second_answer_ends_the_sandbox),
		CODE_TEST(other_languages_get_files_alone),
		CODE_TEST(without_sources_there_is_nothing_to_compile),
		CODE_TEST(a_package_that_is_not_small_is_mounted),
		CODE_TEST(a_function_template_has_its_package_mounted),
		CODE_TEST(a_new_pool_uses_what_is_kept),
		CODE_TEST(damaged_bytecode_is_made_again),
		CODE_TEST(damaged_files_are_as_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
