/* SPDX-License-Identifier: Apache-2.0 */

/* Layers when the directory opens and closes, and what a crash left of them. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "agent/deploy/layer_use.h"

struct loading {
	struct directory *directory;
	struct error *error;
};

static int load_version(const char *key, struct slice value, uint64_t revision _unused_, void *arg)
{
	struct loading *loading = arg;
	_cleanup_(layer_version_free_p) struct layer_version *version = NULL;
	char expected[LAYER_KEY_BYTES];
	struct layer_entry *entry;
	int r = layer_decode(value, &version, loading->error);

	if (r < 0) {
		error_wrap(loading->error, "%s", key);
		return r;
	}
	layer_key(version->tenant, version->name, version->version, expected);
	if (strcmp(expected, key) != 0)
		return error_set(loading->error, ERROR_INTERNAL, NULL,
				 "The registry keeps %s under the name %s.", expected, key);
	entry = layer_get_entry(loading->directory, version->tenant, version->name);
	layer_put(entry, TAKE_PTR(version));
	return 0;
}

static int load_numbering(const char *key, struct slice value, uint64_t revision _unused_,
			  void *arg)
{
	struct loading *loading = arg;
	struct layer_numbering numbering;
	struct layer_entry *entry;
	int r = layer_numbering_decode(value, &numbering, loading->error);

	if (r < 0) {
		error_wrap(loading->error, "%s", key);
		return r;
	}
	entry = layer_get_entry(loading->directory, numbering.tenant, numbering.name);
	if (entry->last_version < numbering.last_version)
		entry->last_version = numbering.last_version;
	return 0;
}

int layers_load(struct directory *directory, struct error *error)
{
	struct loading loading = { directory, error };
	int r = registry_list(directory->registry, LAYER_PREFIX, NULL, 0, load_version, &loading,
			      error);

	if (r == 0)
		r = registry_list(directory->registry, LAYER_NUMBERING_PREFIX, NULL, 0,
				  load_numbering, &loading, error);
	return r;
}

int layers_collect(struct directory *directory, struct error *error)
{
	_cleanup_free_ char *folder = NULL;
	DIR *dir;

	if (asprintf(&folder, "%s/layers", directory->state_dir) < 0)
		return error_set_errno(error, ENOMEM, "Cannot look through the layers");
	dir = opendir(folder);
	if (!dir && errno == ENOENT)
		return 0;
	if (!dir)
		return error_set_errno(error, errno, "Cannot look through %s", folder);
	for (struct dirent *file; (file = readdir(dir));)
		if (strcmp(file->d_name, ".") != 0 && strcmp(file->d_name, "..") != 0 &&
		    !layer_use_has(directory, file->d_name))
			(void)unlinkat(dirfd(dir), file->d_name, 0);
	(void)closedir(dir);
	return 0;
}

void layers_free(struct directory *directory)
{
	struct layer_entry *entry, *next;

	HASH_ITER (hh, directory->layers, entry, next) {
		HASH_DEL(directory->layers, entry);
		for (size_t i = 0; i < entry->count; i++)
			layer_version_free(entry->versions[i]);
		free(entry->versions);
		free(entry);
	}
}
