/* SPDX-License-Identifier: Apache-2.0 */

#include "agent/image/package.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/image/package_build.h"
#include "agent/image/package_files.h"
#include "agent/image/tool.h"
#include "mayfly/fs.h"
#include "mayfly/id.h"

#define PACKAGE_FOLDER   "packages"
#define PACKAGE_SUFFIX   ".erofs"
#define BUILD_PREFIX     ".build-"

/* What fs_write_file_atomic() leaves when it is interrupted. */
#define TEMPORARY_SUFFIX ".tmp"

/* The same for all packages of an owner, as is the image's own time: equal ZIPs give equal images.
 */
#define PACKAGE_UUID     "6d617966-6c79-4000-8000-7061636b6167" /* of nobody in particular */
#define OWNER_PURPOSE    "mayfly package of "
/* Later than every time that a file can have, so that it cuts none. */
#define PACKAGE_TIME     "SOURCE_DATE_EPOCH=4294967295"

static bool is_digest(const char *s)
{
	return strlen(s) == DIGEST_HEX_BYTES - 1 &&
	       strspn(s, "0123456789abcdef") == DIGEST_HEX_BYTES - 1;
}

char *package_path(const char *state_dir, const char *digest)
{
	char *path;

	if (!is_digest(digest))
		return NULL;
	if (asprintf(&path, "%s/" PACKAGE_FOLDER "/%s" PACKAGE_SUFFIX, state_dir, digest) < 0)
		return NULL;
	return path;
}

bool package_exists(const char *state_dir, const char *digest)
{
	_cleanup_free_ char *path = package_path(state_dir, digest);
	struct stat st;

	return path && lstat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	       st.st_size == (off_t)PACKAGE_DEVICE_BYTES;
}

/* What can be said of the bytes without opening them. */
static int describe_zip(struct slice zip, struct package *package, struct error *error)
{
	struct digest digest;
	int r;

	if (zip.len > PACKAGE_ZIPPED_BYTES)
		return error_set(error, ERROR_REQUEST_TOO_LARGE, "code.zip_file",
				 "Zipped size must be smaller than %" PRIu64 " bytes",
				 (uint64_t)PACKAGE_ZIPPED_BYTES);
	if (zip.len == 0)
		return error_set(error, ERROR_INVALID_PARAMETER, "code.zip_file",
				 "Uploaded file must be a non-empty zip");
	r = digest_bytes(zip.data, zip.len, &digest);
	if (r < 0)
		return error_set_errno(error, -r, "cannot digest the ZIP");
	digest_base64(&digest, package->code_sha256);
	package->code_size_bytes = zip.len;
	return 0;
}

int package_verify(const char *state_dir _unused_, struct slice zip, struct package *ret,
		   struct error *error)
{
	_cleanup_(zip_tree_clear) struct zip_tree tree = { 0 };
	struct package package = { 0 };
	int r;

	r = describe_zip(zip, &package, error);
	if (r < 0)
		return r;
	r = zip_scan(zip, &tree, error);
	if (r < 0)
		return r;
	r = zip_unpack(zip, &tree, -1, &package.unzipped_bytes, error);
	if (r < 0)
		return r;
	package.entries = tree.count;
	*ret = package;
	return 0;
}

void build_clear(struct build *build)
{
	/* What cannot be removed now goes with package_collect() at the next start. */
	int r _unused_ = build->folder ? fs_remove_tree(build->folder) : 0;
	free(build->packages);
	free(build->folder);
	free(build->tree);
	free(build->image);
	zip_tree_clear(&build->nodes);
}

static char *join(const char *folder, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

int build_open(const char *state_dir, struct build *build, struct error *error)
{
	char id[HEX_ID_BYTES], name[sizeof(BUILD_PREFIX) + HEX_ID_BYTES];
	int r;

	build->packages = join(state_dir, PACKAGE_FOLDER);
	if (!build->packages)
		return error_set_errno(error, ENOMEM, "cannot build the package");
	/* QEMU runs as another user: it may open an image whose digest it was told, not look
	 * around. */
	r = fs_make_directories(build->packages, 0711);
	if (r < 0)
		return error_set_errno(error, -r, "cannot make %s", build->packages);
	hex_id_generate(id);
	(void)snprintf(name, sizeof(name), BUILD_PREFIX "%s", id);
	build->folder = join(build->packages, name);
	build->tree = build->folder ? join(build->folder, "tree") : NULL;
	build->image = build->folder ? join(build->folder, "image") : NULL;
	if (!build->folder || !build->tree || !build->image)
		return error_set_errno(error, ENOMEM, "cannot build the package");
	if (mkdir(build->folder, 0700) < 0 || mkdir(build->tree, 0755) < 0)
		return error_set_errno(error, errno, "cannot make %s", build->folder);
	return 0;
}

static int unpack(struct build *build, struct slice zip, struct package *package,
		  struct error *error)
{
	_cleanup_close_ int fd = -1;
	int r;

	r = zip_scan(zip, &build->nodes, error);
	if (r < 0)
		return r;
	fd = open(build->tree, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(error, errno, "cannot open %s", build->tree);
	/* Whatever umask the agent has. */
	if (fchmod(fd, 0755) < 0)
		return error_set_errno(error, errno, "cannot unpack the ZIP");
	r = zip_unpack(zip, &build->nodes, fd, &package->unzipped_bytes, error);
	if (r < 0)
		return r;
	package->entries = build->nodes.count;
	return 0;
}

void build_name_image(const char *digest, char ret[BUILD_UUID_BYTES])
{
	(void)snprintf(ret, BUILD_UUID_BYTES, "%.8s-%.4s-8%.3s-8%.3s-%.12s", digest, digest + 8,
		       digest + 13, digest + 17, digest + 20);
}

/* The image's own id makes images of one owner differ from all others', so that an address says
 * nothing of what anybody else has. */
static int owner_uuid(const char *owner, char ret[BUILD_UUID_BYTES])
{
	char text[sizeof(OWNER_PURPOSE) + 64], hex[DIGEST_HEX_BYTES];
	struct digest digest;
	int n, r;

	(void)snprintf(ret, BUILD_UUID_BYTES, "%s", PACKAGE_UUID);
	if (!owner)
		return 0;
	n = snprintf(text, sizeof(text), OWNER_PURPOSE "%s", owner);
	if (n < 0 || n >= (int)sizeof(text))
		return -ENAMETOOLONG;
	r = digest_bytes(text, (size_t)n, &digest);
	if (r < 0)
		return r;
	digest_hex(&digest, hex);
	build_name_image(hex, ret);
	return 0;
}

int build_make_image(const struct build *build, const char *uuid, struct package *package,
		     struct error *error)
{
	const char *const argv[] = { TOOL_MKFS_EROFS, "--quiet",   "-x-1", "--all-root", "-U", uuid,
				     build->image,    build->tree, NULL };
	struct digest digest;
	int r;

	r = tool_run_with(argv, PACKAGE_TIME, error);
	if (r < 0)
		return r;
	r = digest_file(build->image, &digest, &package->image_bytes);
	if (r < 0)
		return error_set_errno(error, -r, "cannot read the package image");
	if (package->image_bytes > PACKAGE_DEVICE_BYTES)
		return error_set(error, ERROR_INVALID_ZIP, "code.zip_file",
				 "The package needs more than %" PRIu64 " bytes as an image",
				 (uint64_t)PACKAGE_DEVICE_BYTES);
	digest_hex(&digest, package->digest);
	return 0;
}

/* What lies beside the image; anew, for what is there may be damaged. */
static int publish_files(const struct build *build, const char *path, struct error *error)
{
	_cleanup_free_ char *files = package_sibling(path, PACKAGE_FILES_SUFFIX);
	int r = -ENOMEM;

	if (files)
		r = package_files_save(&build->nodes, build->tree, files);
	return r < 0 ? error_set_errno(error, -r, "cannot write the package's files") : 0;
}

int build_publish(const struct build *build, const char *path, struct error *error)
{
	_cleanup_close_ int fd = open(build->image, O_WRONLY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return error_set_errno(error, errno, "cannot open the package image");
	if (ftruncate(fd, (off_t)PACKAGE_DEVICE_BYTES) < 0 || fchmod(fd, 0644) < 0 || fsync(fd) < 0)
		return error_set_errno(error, errno, "cannot write the package image");
	if (rename(build->image, path) < 0)
		return error_set_errno(error, errno, "cannot move %s into place", path);
	r = fs_sync_directory(build->packages);
	if (r < 0)
		return error_set_errno(error, -r, "cannot sync %s", build->packages);
	return 0;
}

int package_build_for(const char *state_dir, struct slice zip, const char *owner,
		      struct package *ret, struct error *error)
{
	_cleanup_(build_clear) struct build build = { 0 };
	_cleanup_free_ char *path = NULL;
	struct package package = { 0 };
	char uuid[BUILD_UUID_BYTES];
	int r;

	r = describe_zip(zip, &package, error);
	if (r < 0)
		return r;
	r = build_open(state_dir, &build, error);
	if (r < 0)
		return r;
	r = unpack(&build, zip, &package, error);
	if (r < 0)
		return r;
	r = owner_uuid(owner, uuid);
	if (r < 0)
		return error_set_errno(error, -r, "cannot name the package image");
	r = build_make_image(&build, uuid, &package, error);
	if (r < 0)
		return r;
	path = package_path(state_dir, package.digest);
	if (!path)
		return error_set_errno(error, ENOMEM, "cannot build the package");
	/* First what is only beside the image: whose image is there is whole. */
	r = publish_files(&build, path, error);
	if (r >= 0 && !package_exists(state_dir, package.digest))
		r = build_publish(&build, path, error);
	if (r < 0)
		return r;
	*ret = package;
	return 0;
}

int package_build(const char *state_dir, struct slice zip, struct package *ret, struct error *error)
{
	return package_build_for(state_dir, zip, NULL, ret, error);
}

/* The digest that an image, or what lies beside it, is named by; false for any other file. */
static bool digest_of_name(const char *name, char digest[DIGEST_HEX_BYTES])
{
	if (strlen(name) < DIGEST_HEX_BYTES || name[DIGEST_HEX_BYTES - 1] != '.')
		return false;
	memcpy(digest, name, DIGEST_HEX_BYTES - 1);
	digest[DIGEST_HEX_BYTES - 1] = '\0';
	return is_digest(digest);
}

typedef bool is_used_fn(const char *digest, void *arg);

/* A build's folder, or a file that was to be renamed. */
static bool is_interrupted(const char *name)
{
	size_t len = strlen(name), suffix = strlen(TEMPORARY_SUFFIX);

	return strncmp(name, BUILD_PREFIX, strlen(BUILD_PREFIX)) == 0 ||
	       (len > suffix && strcmp(name + len - suffix, TEMPORARY_SUFFIX) == 0);
}

static int collect_entry(const char *packages, const char *name, is_used_fn *is_used, void *arg)
{
	_cleanup_free_ char *path = NULL;
	char digest[DIGEST_HEX_BYTES];

	if (!is_interrupted(name) && (!digest_of_name(name, digest) || is_used(digest, arg)))
		return 0;
	path = join(packages, name);
	return path ? fs_remove_tree(path) : -ENOMEM;
}

static void closedir_p(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir);
}

int package_collect(const char *state_dir, is_used_fn *is_used, void *arg, struct error *error)
{
	_cleanup_free_ char *packages = join(state_dir, PACKAGE_FOLDER);
	_cleanup_(closedir_p) DIR *dir = NULL;
	const struct dirent *entry;

	if (!packages)
		return error_set_errno(error, ENOMEM, "cannot tidy the packages");
	dir = opendir(packages);
	if (!dir && errno == ENOENT)
		return 0;
	if (!dir)
		return error_set_errno(error, errno, "cannot read %s", packages);
	while ((entry = readdir(dir))) {
		int r = collect_entry(packages, entry->d_name, is_used, arg);
		if (r < 0)
			return error_set_errno(error, -r, "cannot remove %s/%s", packages,
					       entry->d_name);
	}
	return 0;
}

/* What lies beside the image of this digest. */
static int remove_siblings(const char *state_dir, const char *digest)
{
	_cleanup_free_ char *packages = join(state_dir, PACKAGE_FOLDER);
	_cleanup_(closedir_p) DIR *dir = packages ? opendir(packages) : NULL;
	const struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		char other[DIGEST_HEX_BYTES];
		if (digest_of_name(entry->d_name, other) && strcmp(other, digest) == 0 &&
		    unlinkat(dirfd(dir), entry->d_name, 0) < 0 && errno != ENOENT)
			return -errno;
	}
	return packages ? 0 : -ENOMEM;
}

int package_remove(const char *state_dir, const char *digest, struct error *error)
{
	_cleanup_free_ char *path = package_path(state_dir, digest);
	int r;

	if (!path)
		return error_set(error, ERROR_INTERNAL, NULL, "'%.80s' is no package digest",
				 digest);
	/* The image first: without it nothing else is looked at. */
	if (unlink(path) < 0 && errno != ENOENT)
		return error_set_errno(error, errno, "cannot remove %s", path);
	r = remove_siblings(state_dir, digest);
	return r < 0 ? error_set_errno(error, -r, "cannot remove what belongs to %s", path) : 0;
}

int package_create_placeholder(const char *path, struct error *error)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	if (fd < 0)
		return error_set_errno(error, errno, "cannot create %s", path);
	if (ftruncate(fd, (off_t)PACKAGE_DEVICE_BYTES) < 0)
		return error_set_errno(error, errno, "cannot size %s", path);
	return 0;
}
