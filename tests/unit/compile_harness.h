/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For tests of what the pool does with small packages: a package "d1" of three files, guests that
 * compile its sources, or do not, and what each of them was told. After <cmocka.h>. */

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

static void _unused_ make_code_pool(struct fixture *f)
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
static void _unused_ serve_once(struct fixture *f)
{
	struct asker a;

	assert_int_equal(ask(f, &a, "f"), 0);
	RUN_UNTIL(f, a.bound == 1);
	sandbox_release(a.sandbox, "it was only asked for once");
	RUN_UNTIL(f, gauges(f).total == 0);
}

static void _unused_ assert_heard(unsigned i, unsigned compiles, size_t files, size_t bytecode)
{
	assert_true(i < heard_count);
	assert_int_equal(heard[i].compiles, compiles);
	assert_int_equal(heard[i].initializes, 1);
	assert_int_equal(heard[i].files, files);
	assert_int_equal(heard[i].bytecode, bytecode);
}
