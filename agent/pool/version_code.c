/* SPDX-License-Identifier: Apache-2.0 */

/* The code that a version's sandboxes get in messages: the files of a small package, and the
 * bytecode that the first of them compiled. Both are read once, before the first start. */

#include <errno.h>

#include "agent/image/package_files.h"
#include "agent/pool/pool_internal.h"
#include "mayfly/log.h"

typedef Mayfly__Guest__V1__Compiled compiled_message;

static const char *runtime_digest(const struct version *version)
{
	const struct runtime_catalogue *catalogue = version->pool->config.catalogue;
	const struct runtime_image *image =
		catalogue ? runtime_catalogue_find(catalogue, version->config.runtime) : NULL;

	return image && image->kind == RUNTIME_PYTHON ? image->file.digest : NULL;
}

void version_code_clear(struct version_code *code)
{
	if (code->files)
		mayfly__guest__v1__compile__free_unpacked(code->files, NULL);
	if (code->bytecode)
		mayfly__guest__v1__compiled__free_unpacked(code->bytecode, NULL);
	*code = (struct version_code){ .state = CODE_UNKNOWN, .jobs = code->jobs };
}

/* ---- reading ---- */

struct code_job {
	struct job job;
	struct version *version; /* referenced; loop thread */
	char *image;
	char *runtime_digest; /* NULL: of a language without bytecode */
	struct version_code code;
	int files_result;
	int bytecode_result;
};

static void code_job_free(struct code_job *job)
{
	version_code_clear(&job->code);
	free(job->image);
	free(job->runtime_digest);
	free(job);
}

static void code_job_submit(struct code_job *job, void (*work)(struct job *job),
			    void (*done)(struct job *job))
{
	job->job = (struct job){ .work = work, .done = done };
	job->version->references++;
	job->version->code.jobs++;
	job->version->pool->code_jobs++;
	loop_submit(job->version->pool->loop, &job->job);
}

static void code_job_end(struct code_job *job)
{
	struct version *version = job->version;
	struct pool *pool = version->pool;

	code_job_free(job);
	version->code.jobs--;
	version_unref(version);
	pool->code_jobs--;
	pool_mark_dirty(pool); /* a drain waits for it */
}

static void load_work(struct job *work)
{
	struct code_job *job = container_of(work, struct code_job, job);

	job->files_result = package_files_load(job->image, &job->code.files);
	if (job->code.files && job->runtime_digest)
		job->bytecode_result =
			package_bytecode_load(job->image, job->runtime_digest, &job->code.bytecode);
}

static void on_loaded(struct job *work)
{
	struct code_job *job = container_of(work, struct code_job, job);
	struct version *version = job->version;

	/* Neither is needed: the guest mounts the image, and compiles by itself. */
	if (job->files_result < 0 || job->bytecode_result < 0)
		log_warning("what lies beside %s cannot be read: %s", job->image,
			    strerror(-(job->files_result < 0 ? job->files_result
							     : job->bytecode_result)));
	job->code.jobs = version->code.jobs;
	version->code = job->code;
	job->code = (struct version_code){ 0 };
	version->code.state = CODE_READY;
	if (job->runtime_digest)
		(void)snprintf(version->code.runtime_digest, sizeof(version->code.runtime_digest),
			       "%s", job->runtime_digest);
	version->code.compiles = version->code.files && version->code.files->n_sources > 0 &&
				 job->runtime_digest && !version->code.bytecode;
	version_mark_dirty(version);
	code_job_end(job);
}

static struct code_job *code_job_new(struct version *version)
{
	struct code_job *job = calloc(1, sizeof(*job));
	const char *digest = runtime_digest(version);

	if (!job)
		return NULL;
	job->version = version;
	job->image = strdup(version->package_path);
	job->runtime_digest = digest ? strdup(digest) : NULL;
	if (!job->image || (digest && !job->runtime_digest)) {
		code_job_free(job);
		return NULL;
	}
	return job;
}

/* Bytecode is one runtime's; its image may have been built anew under the running node. */
static void forget_other_runtime(struct version *version)
{
	struct version_code *code = &version->code;
	const char *now = runtime_digest(version);

	if (code->state == CODE_READY && !code->compiler &&
	    strcmp(now ? now : "", code->runtime_digest) != 0)
		version_code_clear(code);
}

int version_ensure_code(struct version *version)
{
	struct code_job *job;

	forget_other_runtime(version);
	if (version->code.state != CODE_UNKNOWN)
		return version->code.state == CODE_READY;
	job = code_job_new(version);
	if (!job)
		return -ENOMEM;
	version->code.state = CODE_LOADING;
	code_job_submit(job, load_work, on_loaded);
	return 0;
}

/* ---- compiling ---- */

bool version_wants_compile(const struct version *version)
{
	return version->code.compiles && !version->code.compiler;
}

static bool is_asked_for(const struct version *version, const char *path)
{
	const Mayfly__Guest__V1__Compile *files = version->code.files;

	for (size_t i = 0; i < files->n_sources; i++)
		if (strcmp(files->sources[i], path) == 0)
			return true;
	return false;
}

/* The guest is not believed, though nothing of the function has run in it. */
static bool is_sound(const struct version *version, const compiled_message *compiled)
{
	size_t bytes = 0;

	if (compiled->n_bytecode > version->code.files->n_sources)
		return false;
	for (size_t i = 0; i < compiled->n_bytecode; i++) {
		bytes += compiled->bytecode[i]->data.len;
		if (!is_asked_for(version, compiled->bytecode[i]->path))
			return false;
	}
	return bytes <= PACKAGE_BYTECODE_BYTES;
}

static compiled_message *copy(const compiled_message *compiled)
{
	compiled_message bare = *compiled;

	bare.outcome = NULL;
	size_t len = mayfly__guest__v1__compiled__get_packed_size(&bare);
	_cleanup_free_ uint8_t *packed = malloc(len ? len : 1);

	if (!packed)
		return NULL;
	(void)mayfly__guest__v1__compiled__pack(&bare, packed);
	return mayfly__guest__v1__compiled__unpack(NULL, len, packed);
}

static void save_work(struct job *work)
{
	struct code_job *job = container_of(work, struct code_job, job);

	job->bytecode_result =
		package_bytecode_save(job->image, job->runtime_digest, job->code.bytecode);
}

static void on_saved(struct job *work)
{
	struct code_job *job = container_of(work, struct code_job, job);

	if (job->bytecode_result < 0)
		log_warning("bytecode beside %s cannot be kept: %s", job->image,
			    strerror(-job->bytecode_result));
	code_job_end(job);
}

static void keep(struct version *version)
{
	struct code_job *job = code_job_new(version);

	if (job)
		job->code.bytecode = copy(version->code.bytecode);
	if (!job || !job->code.bytecode || !job->runtime_digest) {
		if (job)
			code_job_free(job);
		return;
	}
	code_job_submit(job, save_work, on_saved);
}

int version_take_bytecode(struct version *version, const compiled_message *compiled)
{
	version->code.compiler = NULL;
	version->code.compiles = false;
	if (!is_sound(version, compiled))
		return -EBADMSG;
	version->code.bytecode = copy(compiled);
	if (version->code.bytecode)
		keep(version);
	return 0;
}

/* Its guest did not come back from it: no other one is sent there. */
void version_compiler_gone(struct sandbox *sandbox)
{
	struct version_code *code = &sandbox->version->code;

	if (code->compiler != sandbox)
		return;
	code->compiler = NULL;
	code->compiles = false;
}
