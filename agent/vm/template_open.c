/* SPDX-License-Identifier: Apache-2.0 */

/* Sealed templates. On the disk a template's files are under a key of its own (sealed_file.h),
 * which its manifest has under the node's (vault.h). They are opened into the vault when somebody
 * asks for the template, and closed again when nobody has used it for a while, or when another
 * needs the room. */

#include "agent/vm/template_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/crypto.h>

#include "mayfly/clock.h"
#include "mayfly/fs.h"
#include "mayfly/id.h"
#include "mayfly/log.h"

#define ROOM_MARGIN_BYTES (4ULL << 20)
#define WATCH_MIN_US      (1 * USEC_PER_SEC)
#define WATCH_MAX_US      (60 * USEC_PER_SEC)

/* One of the three, as it is called on the disk and in the vault. */
struct one_file {
	struct template_file *file;
	const char *name;
	enum sealed_kind kind;
	unsigned mode;
};
#define FILES 3

static void list_files(struct template_files *files, struct one_file ret[FILES])
{
	ret[0] = (struct one_file){ &files->ram, "ram", SEALED_RAM, TEMPLATE_RAM_MODE };
	ret[1] = (struct one_file){ &files->state, "state", SEALED_STATE, 0400 };
	ret[2] = (struct one_file){ &files->scratch, "scratch.qcow2", SEALED_SCRATCH, 0400 };
}

static int sealed_path(const char *folder, const char *name, char **ret)
{
	return asprintf(ret, "%s/%s.sealed", folder, name) < 0 ? -ENOMEM : 0;
}

/* -- jobs -- */

int template_seal_files(struct template_files *files, const char *folder,
			uint8_t ret_key[SEALED_KEY_BYTES], struct error *error)
{
	struct one_file list[FILES];
	int r = fs_make_directories(folder, TEMPLATE_FOLDER_MODE);

	if (r < 0)
		return error_set_errno(error, r, "cannot make %s", folder);
	random_bytes(ret_key, SEALED_KEY_BYTES);
	list_files(files, list);
	for (size_t i = 0; i < FILES && r >= 0; i++) {
		_cleanup_free_ char *path = NULL;

		if (!list[i].file->path)
			continue;
		r = sealed_path(folder, list[i].name, &path);
		if (r >= 0)
			r = sealed_file_write(list[i].file->path, path, list[i].kind, ret_key,
					      error);
	}
	return r < 0 ? error_set_errno(error, r, "cannot seal a template") : 0;
}

static int open_files(const struct vault *vault, const struct template_manifest *manifest,
		      const char *folder, struct template_files *files, struct error *error)
{
	uint8_t key[SEALED_KEY_BYTES];
	struct one_file list[FILES];
	int r = vault_open_key(vault, manifest, key, error);

	list_files(files, list);
	for (size_t i = 0; i < FILES && r >= 0; i++) {
		_cleanup_free_ char *path = NULL;

		if (!list[i].file->path)
			continue;
		r = sealed_path(folder, list[i].name, &path);
		if (r >= 0)
			r = sealed_file_read(path, list[i].file->path, list[i].kind,
					     list[i].file->size_bytes, list[i].mode, key, error);
	}
	OPENSSL_cleanse(key, sizeof(key));
	return r < 0 ? r : template_files_stamp(files, error);
}

int template_open_files(const struct vault *vault, const struct template_manifest *manifest,
			const char *folder, const char *open_folder, struct template_files *files,
			struct error *error)
{
	int r = fs_remove_tree(open_folder);

	if (r >= 0)
		r = fs_make_directories(open_folder, TEMPLATE_FOLDER_MODE);
	if (r < 0)
		return error_set_errno(error, r, "cannot make %s", open_folder);
	r = open_files(vault, manifest, folder, files, error);
	if (r < 0)
		template_folder_discard(open_folder);
	return r;
}

/* -- on the loop -- */

bool template_is_sealed(const struct template *template)
{
	return template->open_folder && template->state == TEMPLATE_READY && !template->verified;
}

uint64_t template_sealed_bytes(const char *folder)
{
	struct template_files none = { 0 };
	struct one_file list[FILES];
	uint64_t bytes = 0;

	list_files(&none, list);
	for (size_t i = 0; i < FILES; i++) {
		_cleanup_free_ char *path = NULL;
		struct stat status;

		if (sealed_path(folder, list[i].name, &path) < 0)
			path = NULL;
		else if (stat(path, &status) == 0)
			bytes += (uint64_t)status.st_size;
	}
	return bytes;
}

static bool may_close(const struct template *template)
{
	return template->open_folder && template->state == TEMPLATE_READY && template->verified &&
	       template->clones == 0 && template->pins == 0 && !template->verify_under_way &&
	       STAILQ_EMPTY(&template->waiters);
}

/* At once out of its name, so that it may be opened again while the files are removed. */
static void close_template(struct template *template)
{
	static unsigned number;
	char *gone;

	if (asprintf(&gone, "%s.%u.closed", template->open_folder, ++number) < 0)
		return;
	if (rename(template->open_folder, gone) < 0) {
		free(gone);
		return;
	}
	template->verified = false;
	template->files.ram.stamped = template->files.state.stamped = false;
	template->files.scratch.stamped = false;
	log_debug("template %s is closed: nobody uses it", template->manifest.id);
	template_remove_later(template->store, gone);
}

static struct template *longest_unused(struct template_store *store)
{
	struct template *template, *found = NULL;

	TAILQ_FOREACH (template, &store->templates, entry)
		if (may_close(template) && (!found || template->used_us < found->used_us))
			found = template;
	return found;
}

/* Their room comes a moment later: it is counted as if it were there. */
void template_make_room(struct template_store *store, uint64_t bytes)
{
	struct template *template;
	uint64_t room;

	if (!store->host->vault)
		return;
	room = vault_free_bytes(store->host->vault);
	while (room < bytes + ROOM_MARGIN_BYTES && (template = longest_unused(store))) {
		room += template->sealed_bytes;
		close_template(template);
	}
}

static void on_watch(void *arg)
{
	struct template_store *store = arg;
	int64_t now_us = clock_realtime_us();
	struct template *template;

	TAILQ_FOREACH (template, &store->templates, entry)
		if (may_close(template) && now_us - template->used_us >= store->host->open_keep_us)
			close_template(template);
	template_watch_open(store);
}

void template_watch_open(struct template_store *store)
{
	int64_t step_us = store->host->open_keep_us / 4;

	if (!store->host->vault)
		return;
	step_us = step_us < WATCH_MIN_US   ? WATCH_MIN_US
		  : step_us > WATCH_MAX_US ? WATCH_MAX_US
					   : step_us;
	if (timer_arm(&store->open_timer, store->loop, clock_monotonic_us() + step_us, on_watch,
		      store) < 0)
		log_warning("templates that lie open are not closed any more: out of memory");
}
