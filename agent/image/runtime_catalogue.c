/* SPDX-License-Identifier: Apache-2.0 */

#include "agent/image/runtime_catalogue.h"

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/image/stamps.h"
#include "mayfly/fs.h"
#include "mayfly/log.h"

#define CATALOGUE_FORMAT     1
#define CATALOGUE_MAX_BYTES  (1U << 20)
#define CATALOGUE_RUNTIMES   64U
#define CATALOGUE_NAME_BYTES 64U

/* What one images.json said. */
struct image_list {
	struct image_list *former; /* owned: read before, and still in use by whoever asked then */
	struct image_file kernel;
	struct image_file initramfs;
	char *kernel_release;
	struct runtime_image *runtimes;
	size_t count;
};

struct runtime_catalogue {
	char *images_dir;  /* NULL: made from a text */
	struct stamp read; /* images.json as it was read */
	_Atomic(struct image_list *) list;
	pthread_mutex_t lock; /* of stamps */
	struct stamps *stamps;
};

static void json_decref_p(json_t **json)
{
	json_decref(*json);
}
#define _cleanup_json_ _cleanup_(json_decref_p)

static void image_file_clear(struct image_file *file)
{
	free(file->path);
}

static struct image_list *image_list_free(struct image_list *list)
{
	struct image_list *former;

	for (; list; list = former) {
		former = list->former;
		image_file_clear(&list->kernel);
		image_file_clear(&list->initramfs);
		for (size_t i = 0; i < list->count; i++) {
			free(list->runtimes[i].name);
			free(list->runtimes[i].version);
			image_file_clear(&list->runtimes[i].file);
		}
		free(list->runtimes);
		free(list->kernel_release);
		free(list);
	}
	return NULL;
}
DEFINE_CLEANUP(struct image_list, image_list_free)

struct runtime_catalogue *runtime_catalogue_free(struct runtime_catalogue *catalogue)
{
	if (!catalogue)
		return NULL;
	(void)image_list_free(atomic_load(&catalogue->list));
	stamps_free(catalogue->stamps);
	(void)pthread_mutex_destroy(&catalogue->lock);
	free(catalogue->images_dir);
	free(catalogue);
	return NULL;
}

static int bad(struct error *error, const char *what)
{
	return error_set(error, ERROR_INTERNAL, NULL,
			 "images.json is not usable (%s); build the images again", what);
}

/* Names, versions and releases: what the builder writes and nothing else. */
static bool is_word(const char *s, size_t max)
{
	size_t len = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
			       "._+~:-");

	return len <= max && s[len] == '\0';
}

/* A relative path of words that stays in its folder. */
static bool is_inner_path(const char *s)
{
	if (s[0] == '\0' || s[0] == '/' || strlen(s) > 255)
		return false;
	for (const char *part = s; part; part = strchr(part, '/')) {
		part += part != s;
		size_t len = strcspn(part, "/");
		if (len == 0 || part[0] == '.')
			return false;
		if (strspn(part, "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				 "._-") < len)
			return false;
	}
	return true;
}

static bool is_digest(const char *s)
{
	return strlen(s) == DIGEST_HEX_BYTES - 1 &&
	       strspn(s, "0123456789abcdef") == DIGEST_HEX_BYTES - 1;
}

/* The text of a member; NULL when it is no text or holds a NUL. */
static const char *member_text(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	const char *text = json_string_value(value);

	return text && strlen(text) == json_string_length(value) ? text : NULL;
}

static int parse_file(const json_t *object, const char *dir, struct image_file *ret,
		      struct error *error)
{
	const char *file = member_text(object, "file");
	const char *digest = member_text(object, "sha256");
	json_int_t size = json_integer_value(json_object_get(object, "size"));

	if (!file || !is_inner_path(file))
		return bad(error, "a file name");
	if (!digest || !is_digest(digest))
		return bad(error, "a digest");
	if (size <= 0)
		return bad(error, "a size");
	if (asprintf(&ret->path, "%s/%s", dir, file) < 0) {
		ret->path = NULL;
		return error_set_errno(error, ENOMEM, "cannot read images.json");
	}
	memcpy(ret->digest, digest, DIGEST_HEX_BYTES);
	ret->size_bytes = (uint64_t)size;
	return 0;
}

static int parse_kind(const char *text, enum runtime_kind *ret)
{
	static const char *const names[] = { [RUNTIME_PYTHON] = "python",
					     [RUNTIME_NODEJS] = "nodejs",
					     [RUNTIME_PROVIDED] = "provided" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(text, names[i]) != 0)
			continue;
		*ret = (enum runtime_kind)i;
		return 0;
	}
	return -EINVAL;
}

static int parse_runtime(const json_t *object, const char *dir, struct runtime_image *ret,
			 struct error *error)
{
	const char *name = member_text(object, "name");
	const char *kind = member_text(object, "kind");
	const char *version = member_text(object, "version");
	const char *packages = member_text(object, "packages_sha256");

	if (!name || !name[0] || !is_word(name, CATALOGUE_NAME_BYTES))
		return bad(error, "a runtime's name");
	if (!kind || parse_kind(kind, &ret->kind) < 0)
		return bad(error, "a runtime's kind");
	if (!version || !is_word(version, CATALOGUE_NAME_BYTES))
		return bad(error, "a runtime's version");
	if (!packages || !is_digest(packages))
		return bad(error, "a digest of packages");
	memcpy(ret->packages_digest, packages, DIGEST_HEX_BYTES);
	ret->name = strdup(name);
	ret->version = strdup(version);
	if (!ret->name || !ret->version)
		return error_set_errno(error, ENOMEM, "cannot read images.json");
	return parse_file(object, dir, &ret->file, error);
}

static int compare_names(const void *a, const void *b)
{
	const struct runtime_image *left = a, *right = b;

	return strcmp(left->name, right->name);
}

static int parse_runtimes(const json_t *array, const char *dir, struct image_list *list,
			  struct error *error)
{
	size_t count = json_array_size(array);

	if (count == 0 || count > CATALOGUE_RUNTIMES)
		return bad(error, "the list of runtimes");
	list->runtimes = calloc(count, sizeof(*list->runtimes));
	if (!list->runtimes)
		return error_set_errno(error, ENOMEM, "cannot read images.json");
	list->count = count;
	for (size_t i = 0; i < count; i++) {
		int r = parse_runtime(json_array_get(array, i), dir, &list->runtimes[i], error);
		if (r < 0)
			return r;
	}
	qsort(list->runtimes, count, sizeof(*list->runtimes), compare_names);
	for (size_t i = 1; i < count; i++)
		if (compare_names(&list->runtimes[i - 1], &list->runtimes[i]) == 0)
			return bad(error, "a runtime is there twice");
	return 0;
}

static int parse_kernel(const json_t *object, const char *dir, struct image_list *list,
			struct error *error)
{
	const char *release = member_text(object, "release");

	if (!release || !release[0] || !is_word(release, CATALOGUE_NAME_BYTES))
		return bad(error, "the kernel's release");
	list->kernel_release = strdup(release);
	if (!list->kernel_release)
		return error_set_errno(error, ENOMEM, "cannot read images.json");
	return parse_file(object, dir, &list->kernel, error);
}

static int image_list_parse(struct slice json, const char *images_dir, struct image_list **ret,
			    struct error *error)
{
	_cleanup_json_ json_t *root = NULL;
	_cleanup_(image_list_free_p) struct image_list *list = NULL;
	json_error_t syntax;
	int r;

	root = json_loadb((const char *)json.data, json.len, JSON_REJECT_DUPLICATES, &syntax);
	if (!json_is_object(root))
		return bad(error, root ? "not an object" : syntax.text);
	if (json_integer_value(json_object_get(root, "format")) != CATALOGUE_FORMAT)
		return bad(error, "made by another version");
	list = calloc(1, sizeof(*list));
	if (!list)
		return error_set_errno(error, ENOMEM, "cannot read images.json");
	r = parse_kernel(json_object_get(root, "kernel"), images_dir, list, error);
	if (r < 0)
		return r;
	r = parse_file(json_object_get(root, "initramfs"), images_dir, &list->initramfs, error);
	if (r < 0)
		return r;
	r = parse_runtimes(json_object_get(root, "runtimes"), images_dir, list, error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(list);
	return 0;
}

static int catalogue_new(struct image_list *list, struct runtime_catalogue **ret)
{
	struct runtime_catalogue *catalogue = calloc(1, sizeof(*catalogue));

	if (!catalogue)
		return -ENOMEM;
	(void)pthread_mutex_init(&catalogue->lock, NULL);
	atomic_init(&catalogue->list, list);
	*ret = catalogue;
	return 0;
}

int runtime_catalogue_parse(struct slice json, const char *images_dir,
			    struct runtime_catalogue **ret, struct error *error)
{
	_cleanup_(image_list_free_p) struct image_list *list = NULL;
	int r;

	r = image_list_parse(json, images_dir, &list, error);
	if (r < 0)
		return r;
	r = catalogue_new(list, ret);
	if (r < 0)
		return error_set_errno(error, ENOMEM, "cannot read images.json");
	TAKE_PTR(list);
	return 0;
}

static int check_size(const struct image_file *file, struct error *error)
{
	struct stat st;

	if (stat(file->path, &st) < 0)
		return error_set_errno(error, errno, "cannot use the image %s", file->path);
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != file->size_bytes)
		return error_set(error, ERROR_INTERNAL, NULL,
				 "%s has another size than images.json says; build the images "
				 "again",
				 file->path);
	return 0;
}

static int check_sizes(const struct image_list *list, struct error *error)
{
	int r = check_size(&list->kernel, error);

	if (r == 0)
		r = check_size(&list->initramfs, error);
	for (size_t i = 0; r == 0 && i < list->count; i++)
		r = check_size(&list->runtimes[i].file, error);
	return r;
}

static char *path_of_json(const char *images_dir)
{
	char *path;

	return asprintf(&path, "%s/images.json", images_dir) < 0 ? NULL : path;
}

/* The stamp of no file in particular, so its digest means nothing. */
static const char no_digest[DIGEST_HEX_BYTES] =
	"0000000000000000000000000000000000000000000000000000000000000000";

/* Reads IMAGES_DIR/images.json and looks at its files. */
static int image_list_read(const char *images_dir, struct image_list **ret, struct stamp *ret_stamp,
			   struct error *error)
{
	_cleanup_(image_list_free_p) struct image_list *list = NULL;
	_cleanup_free_ char *path = path_of_json(images_dir);
	_cleanup_buf_ struct buf json = BUF_INIT;
	struct stamp stamp;
	int r;

	if (!path)
		return error_set_errno(error, ENOMEM, "cannot read images.json");
	r = stamp_of_file(path, no_digest, &stamp);
	if (r >= 0)
		r = fs_read_file(path, CATALOGUE_MAX_BYTES, &json);
	if (r < 0)
		return error_set_errno(error, -r, "cannot read %s (are the images built?)", path);
	r = image_list_parse(buf_slice(&json), images_dir, &list, error);
	if (r < 0)
		return r;
	r = check_sizes(list, error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(list);
	*ret_stamp = stamp;
	return 0;
}

int runtime_catalogue_open(const char *images_dir, const char *stamps_path,
			   struct runtime_catalogue **ret, struct error *error)
{
	_cleanup_(runtime_catalogue_free_p) struct runtime_catalogue *catalogue = NULL;
	_cleanup_(image_list_free_p) struct image_list *list = NULL;
	struct stamp read;
	int r;

	r = image_list_read(images_dir, &list, &read, error);
	if (r < 0)
		return r;
	r = catalogue_new(list, &catalogue);
	if (r < 0)
		return error_set_errno(error, ENOMEM, "cannot read images.json");
	TAKE_PTR(list);
	catalogue->read = read;
	catalogue->images_dir = strdup(images_dir);
	if (!catalogue->images_dir)
		return error_set_errno(error, ENOMEM, "cannot read images.json");
	r = stamps_open(stamps_path, &catalogue->stamps);
	if (r < 0)
		return error_set_errno(error, -r, "cannot remember verified images");
	*ret = TAKE_PTR(catalogue);
	return 0;
}

static const struct runtime_image *image_list_find(const struct image_list *list, const char *name)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->runtimes[i].name, name) == 0)
			return &list->runtimes[i];
	return NULL;
}

/* Whoever serves a runtime must go on finding it. */
static int check_complete(const struct image_list *list, const struct image_list *former,
			  struct error *error)
{
	for (size_t i = 0; i < former->count; i++)
		if (!image_list_find(list, former->runtimes[i].name))
			return error_set(error, ERROR_INTERNAL, NULL,
					 "images.json has no \"%s\" any more; without it the agent "
					 "must be started anew",
					 former->runtimes[i].name);
	return 0;
}

int runtime_catalogue_refresh(struct runtime_catalogue *catalogue, struct error *error)
{
	_cleanup_(image_list_free_p) struct image_list *list = NULL;
	_cleanup_free_ char *path = NULL;
	struct stamp now;
	int r;

	if (!catalogue->images_dir)
		return 0;
	path = path_of_json(catalogue->images_dir);
	if (path && stamp_of_file(path, no_digest, &now) >= 0 &&
	    stamp_equals(&now, &catalogue->read))
		return 0;
	r = image_list_read(catalogue->images_dir, &list, &now, error);
	if (r >= 0)
		r = check_complete(list, atomic_load(&catalogue->list), error);
	if (r < 0)
		return r;
	list->former = atomic_load(&catalogue->list);
	atomic_store(&catalogue->list, TAKE_PTR(list));
	catalogue->read = now;
	return 1;
}

size_t runtime_catalogue_count(const struct runtime_catalogue *catalogue)
{
	return atomic_load(&catalogue->list)->count;
}

const struct runtime_image *runtime_catalogue_at(const struct runtime_catalogue *catalogue,
						 size_t index)
{
	const struct image_list *list = atomic_load(&catalogue->list);

	return index < list->count ? &list->runtimes[index] : NULL;
}

const struct runtime_image *runtime_catalogue_find(const struct runtime_catalogue *catalogue,
						   const char *name)
{
	return image_list_find(atomic_load(&catalogue->list), name);
}

const struct image_file *runtime_catalogue_kernel(const struct runtime_catalogue *catalogue)
{
	return &atomic_load(&catalogue->list)->kernel;
}

const struct image_file *runtime_catalogue_initramfs(const struct runtime_catalogue *catalogue)
{
	return &atomic_load(&catalogue->list)->initramfs;
}

const char *runtime_catalogue_kernel_release(const struct runtime_catalogue *catalogue)
{
	return atomic_load(&catalogue->list)->kernel_release;
}

static bool is_stamped(struct runtime_catalogue *catalogue, const struct stamp *stamp)
{
	(void)pthread_mutex_lock(&catalogue->lock);
	bool known = stamps_has(catalogue->stamps, stamp);
	(void)pthread_mutex_unlock(&catalogue->lock);
	return known;
}

int runtime_catalogue_verify(struct runtime_catalogue *catalogue, const struct image_file *file,
			     struct error *error)
{
	struct stamp stamp;
	struct digest digest;
	char hex[DIGEST_HEX_BYTES];
	int r;

	/* Taken before reading: a change meanwhile leaves a stamp that fits nothing. */
	r = stamp_of_file(file->path, file->digest, &stamp);
	if (r < 0)
		return error_set_errno(error, -r, "cannot verify %s", file->path);
	if (is_stamped(catalogue, &stamp))
		return 0;
	r = digest_file(file->path, &digest, NULL);
	if (r < 0)
		return error_set_errno(error, -r, "cannot verify %s", file->path);
	digest_hex(&digest, hex);
	if (strcmp(hex, file->digest) != 0)
		return error_set(error, ERROR_INTERNAL, NULL,
				 "%s is damaged or being replaced: its digest differs from "
				 "images.json; build the images again",
				 file->path);
	/* If it cannot be written, the next agent reads the file again. */
	(void)pthread_mutex_lock(&catalogue->lock);
	if (stamps_add(catalogue->stamps, &stamp) < 0)
		log_warning("cannot remember that %s is good", file->path);
	(void)pthread_mutex_unlock(&catalogue->lock);
	return 0;
}
