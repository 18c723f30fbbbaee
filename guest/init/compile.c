/* SPDX-License-Identifier: Apache-2.0 */

/* Bytecode: made once for a package, in a clone where nothing of it has run, and given to every
 * later one. Compiling costs a clone under emulation more than the function's own import. */

#include <errno.h>

#include "guest.h"
#include "package.h"

typedef Mayfly__Guest__V1__Bytecode bytecode_message;

static void forget(struct compiled *compiled)
{
	for (size_t i = 0; i < compiled->count; i++) {
		free(compiled->files[i].path);
		free(compiled->files[i].data.data);
	}
	*compiled = (struct compiled){ 0 };
}

static int send_sources(struct guest *guest, const Mayfly__Guest__V1__Compile *message)
{
	_cleanup_buf_ struct buf meta = BUF_INIT_MAX(UINT16_MAX);

	for (size_t i = 0; i < message->n_sources; i++) {
		const char *path = message->sources[i];
		if (!package_source_is_safe(path))
			return -EINVAL;
		int r = buf_append(&meta, path, strlen(path));
		if (r == 0 && i + 1 < message->n_sources)
			r = buf_append(&meta, "", 1);
		if (r < 0)
			return r;
	}
	return shim_send(&guest->shim, SHIM_COMPILE, 0, buf_slice(&meta), SLICE_INIT);
}

void compile_begin(struct guest *guest, const Mayfly__Guest__V1__Compile *message)
{
	_cleanup_outcome_ struct outcome outcome = OUTCOME_OK;
	char failure[BOOT_FAILURE_SIZE] = "";

	/* What a compiler has to say belongs to the INIT that meets the source. */
	guest->logs.discard = true;
	const struct guest_files files = { message->files, message->n_files, message->layer_files,
					   message->n_layer_files };
	int r = guest_place(guest, &files, failure);
	if (r == 0) {
		if (message->n_sources == 0 || guest->runtime != RUNTIME_IDLE) {
			tasks_finish_ok(guest);
			return;
		}
		r = send_sources(guest, message);
		if (r < 0)
			(void)snprintf(failure, sizeof(failure), "compile: %s", strerror(-r));
	}
	if (r == 0)
		return;
	outcome_set_platform(&outcome, STATUS(GUEST_FAILURE), "Sandbox.Failure", NULL, "%s",
			     failure);
	tasks_finish(guest, &outcome);
}

void compile_add(struct guest *guest, struct slice path, struct slice bytecode)
{
	struct compiled *compiled = &guest->compiled;

	/* What does not fit is compiled at INIT. */
	if (compiled->count == GUEST_COMPILE_FILES ||
	    compiled->bytes + bytecode.len + path.len > GUEST_COMPILE_BYTES)
		return;
	bytecode_message *file = &compiled->files[compiled->count];
	mayfly__guest__v1__bytecode__init(file);
	file->path = strndup((const char *)path.data, path.len);
	file->data.data = malloc(bytecode.len ? bytecode.len : 1);
	if (!file->path || !file->data.data) {
		free(file->path);
		free(file->data.data);
		return;
	}
	memcpy(file->data.data, bytecode.data, bytecode.len);
	file->data.len = bytecode.len;
	compiled->bytes += bytecode.len + path.len;
	compiled->count++;
}

void compile_finish(struct guest *guest, struct outcome *outcome)
{
	Mayfly__Guest__V1__Compiled answer = MAYFLY__GUEST__V1__COMPILED__INIT;
	outcome_message ended = outcome_to_message(outcome);
	bytecode_message *files[GUEST_COMPILE_FILES];

	for (size_t i = 0; i < guest->compiled.count; i++)
		files[i] = &guest->compiled.files[i];
	answer.outcome = &ended;
	answer.bytecode = files;
	answer.n_bytecode = guest->compiled.count;
	guest_message message = GUEST_MESSAGE(.compiled = &answer, COMPILED);
	if (channel_send(&guest->channel, &message) < 0)
		guest_fail(guest, "an answer could not be sent");
	forget(&guest->compiled);
}

void compile_deliver(struct guest *guest, const initialize_message *message)
{
	/* A process of its own environment compiles as that says. */
	if (guest->runtime != RUNTIME_IDLE || guest_needs_restart(guest, message))
		return;
	for (size_t i = 0; i < message->n_bytecode; i++) {
		const bytecode_message *file = message->bytecode[i];
		int r = shim_send(&guest->shim, SHIM_BYTECODE, 0, slice_from_string(file->path),
				  slice_new(file->data.data, file->data.len));
		if (r < 0)
			return;
	}
}
