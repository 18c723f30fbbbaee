/* SPDX-License-Identifier: Apache-2.0 */

#include "agent/image/runtime_catalogue.h"

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/image/stamps.h"
#include "mayfly/fs.h"

#define CATALOGUE_FORMAT     1
#define CATALOGUE_MAX_BYTES  (1U << 20)
#define CATALOGUE_RUNTIMES   64U
#define CATALOGUE_NAME_BYTES 64U

struct runtime_catalogue {
	struct image_file kernel;
	struct image_file initramfs;
	char *kernel_release;
	struct runtime_image *runtimes;
	size_t count;
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

struct runtime_catalogue *runtime_catalogue_free(struct runtime_catalogue *catalogue)
{
	if (!catalogue)
		return NULL;
	image_file_clear(&catalogue->kernel);
	image_file_clear(&catalogue->initramfs);
	for (size_t i = 0; i < catalogue->count; i++) {
		free(catalogue->runtimes[i].name);
		free(catalogue->runtimes[i].version);
		image_file_clear(&catalogue->runtimes[i].file);
	}
	free(catalogue->runtimes);
	free(catalogue->kernel_release);
	stamps_free(catalogue->stamps);
	(void)pthread_mutex_destroy(&catalogue->lock);
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

static int parse_runtimes(const json_t *array, const char *dir, struct runtime_catalogue *catalogue,
			  struct error *error)
{
	size_t count = json_array_size(array);

	if (count == 0 || count > CATALOGUE_RUNTIMES)
		return bad(error, "the list of runtimes");
	catalogue->runtimes = calloc(count, sizeof(*catalogue->runtimes));
	if (!catalogue->runtimes)
		return error_set_errno(error, ENOMEM, "cannot read images.json");
	catalogue->count = count;
	for (size_t i = 0; i < count; i++) {
		int r = parse_runtime(json_array_get(array, i), dir, &catalogue->runtimes[i],
				      error);
		if (r < 0)
			return r;
	}
	qsort(catalogue->runtimes, count, sizeof(*catalogue->runtimes), compare_names);
	for (size_t i = 1; i < count; i++)
		if (compare_names(&catalogue->runtimes[i - 1], &catalogue->runtimes[i]) == 0)
			return bad(error, "a runtime is there twice");
	return 0;
}

static int parse_kernel(const json_t *object, const char *dir, struct runtime_catalogue *catalogue,
			struct error *error)
{
	const char *release = member_text(object, "release");

	if (!release || !release[0] || !is_word(release, CATALOGUE_NAME_BYTES))
		return bad(error, "the kernel's release");
	catalogue->kernel_release = strdup(release);
	if (!catalogue->kernel_release)
		return error_set_errno(error, ENOMEM, "cannot read images.json");
	return parse_file(object, dir, &catalogue->kernel, error);
}

int runtime_catalogue_parse(struct slice json, const char *images_dir,
			    struct runtime_catalogue **ret, struct error *error)
{
	_cleanup_json_ json_t *root = NULL;
	_cleanup_(runtime_catalogue_free_p) struct runtime_catalogue *catalogue = NULL;
	json_error_t syntax;
	int r;

	root = json_loadb((const char *)json.data, json.len, JSON_REJECT_DUPLICATES, &syntax);
	if (!json_is_object(root))
		return bad(error, root ? "not an object" : syntax.text);
	if (json_integer_value(json_object_get(root, "format")) != CATALOGUE_FORMAT)
		return bad(error, "made by another version");
	catalogue = calloc(1, sizeof(*catalogue));
	if (!catalogue)
		return error_set_errno(error, ENOMEM, "cannot read images.json");
	(void)pthread_mutex_init(&catalogue->lock, NULL);
	r = parse_kernel(json_object_get(root, "kernel"), images_dir, catalogue, error);
	if (r < 0)
		return r;
	r = parse_file(json_object_get(root, "initramfs"), images_dir, &catalogue->initramfs,
		       error);
	if (r < 0)
		return r;
	r = parse_runtimes(json_object_get(root, "runtimes"), images_dir, catalogue, error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(catalogue);
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

static int check_sizes(const struct runtime_catalogue *catalogue, struct error *error)
{
	int r = check_size(&catalogue->kernel, error);

	if (r == 0)
		r = check_size(&catalogue->initramfs, error);
	for (size_t i = 0; r == 0 && i < catalogue->count; i++)
		r = check_size(&catalogue->runtimes[i].file, error);
	return r;
}

int runtime_catalogue_open(const char *images_dir, const char *stamps_path,
			   struct runtime_catalogue **ret, struct error *error)
{
	_cleanup_(runtime_catalogue_free_p) struct runtime_catalogue *catalogue = NULL;
	_cleanup_free_ char *path = NULL;
	_cleanup_buf_ struct buf json = BUF_INIT;
	int r;

	if (asprintf(&path, "%s/images.json", images_dir) < 0) {
		path = NULL;
		return error_set_errno(error, ENOMEM, "cannot read images.json");
	}
	r = fs_read_file(path, CATALOGUE_MAX_BYTES, &json);
	if (r < 0)
		return error_set_errno(error, -r, "cannot read %s (are the images built?)", path);
	r = runtime_catalogue_parse(buf_slice(&json), images_dir, &catalogue, error);
	if (r < 0)
		return r;
	r = check_sizes(catalogue, error);
	if (r < 0)
		return r;
	r = stamps_open(stamps_path, &catalogue->stamps);
	if (r < 0)
		return error_set_errno(error, -r, "cannot remember verified images");
	*ret = TAKE_PTR(catalogue);
	return 0;
}

size_t runtime_catalogue_count(const struct runtime_catalogue *catalogue)
{
	return catalogue->count;
}

const struct runtime_image *runtime_catalogue_at(const struct runtime_catalogue *catalogue,
						 size_t index)
{
	return index < catalogue->count ? &catalogue->runtimes[index] : NULL;
}

const struct runtime_image *runtime_catalogue_find(const struct runtime_catalogue *catalogue,
						   const char *name)
{
	for (size_t i = 0; i < catalogue->count; i++)
		if (strcmp(catalogue->runtimes[i].name, name) == 0)
			return &catalogue->runtimes[i];
	return NULL;
}

const struct image_file *runtime_catalogue_kernel(const struct runtime_catalogue *catalogue)
{
	return &catalogue->kernel;
}

const struct image_file *runtime_catalogue_initramfs(const struct runtime_catalogue *catalogue)
{
	return &catalogue->initramfs;
}

const char *runtime_catalogue_kernel_release(const struct runtime_catalogue *catalogue)
{
	return catalogue->kernel_release;
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
				 "%s is damaged: its digest differs from images.json; build the "
				 "images again",
				 file->path);
	(void)pthread_mutex_lock(&catalogue->lock);
	r = stamps_add(catalogue->stamps, &stamp);
	(void)pthread_mutex_unlock(&catalogue->lock);
	if (r < 0)
		return error_set_errno(error, -r, "cannot remember that %s is good", file->path);
	return 0;
}
