/* SPDX-License-Identifier: Apache-2.0 */

#include "agent/image/package_files.h"

#include <errno.h>
#include <string.h>

#include "agent/core/digest.h"
#include "agent/image/package.h"
#include "mayfly/fs.h"
#include "mayfly/utf8.h"

#define FILE_KIND(n)   MAYFLY__GUEST__V1__PACKAGE_FILE_KIND__PACKAGE_FILE_KIND_##n
#define SOURCE_SUFFIX  ".py"
#define LAYER_PREFIX   "/opt/" /* before the path of a source in a layer */
#define SOURCE_BYTES   1024U   /* what a guest's answer may have */
/* Over the contents: the digest, paths, and what frames them. */
#define OVERHEAD_BYTES (DIGEST_BYTES + PACKAGE_FILES_COUNT * (2 * PACKAGE_PATH_BYTES + 64U))

typedef Mayfly__Guest__V1__PackageFile package_file;
typedef Mayfly__Guest__V1__Compile compile_message;
typedef Mayfly__Guest__V1__Compiled compiled_message;

char *package_sibling(const char *image, const char *ending)
{
	const char *dot = strrchr(image, '.');
	int stem = dot ? (int)(dot - image) : (int)strlen(image);
	char *path;

	return asprintf(&path, "%.*s%s", stem, image, ending) < 0 ? NULL : path;
}

/* ---- writing ---- */

/* A message under construction; what it points to but the contents is the tree's. */
struct files {
	package_file entries[PACKAGE_FILES_COUNT];
	package_file *pointers[PACKAGE_FILES_COUNT];
	char *sources[PACKAGE_FILES_COUNT];
	char *layer_sources[PACKAGE_FILES_COUNT]; /* owned: those behind LAYER_PREFIX */
	struct buf contents[PACKAGE_FILES_COUNT];
	size_t count;
	size_t source_count;
	size_t bytes;
};

static void files_clear(struct files *files)
{
	for (size_t i = 0; i < PACKAGE_FILES_COUNT; i++)
		buf_free(&files->contents[i]);
	for (size_t i = 0; i < PACKAGE_FILES_COUNT; i++)
		free(files->layer_sources[i]);
}

/* A guest's answer may have no other path in it (agent/vm/guest_message.c). */
static bool is_plain_text(const char *path)
{
	const uint8_t *s = (const uint8_t *)path;
	size_t len = strlen(path), n;

	for (size_t at = 0; at < len; at += n) {
		n = utf8_sequence_length(s + at, len - at);
		if (n == 0 || s[at] < 0x20 || s[at] == 0x7f)
			return false;
	}
	return true;
}

static bool is_source(const char *path)
{
	size_t len = strlen(path), suffix = strlen(SOURCE_SUFFIX);

	return len > suffix && strcmp(path + len - suffix, SOURCE_SUFFIX) == 0 &&
	       is_plain_text(path);
}

/* Without memory, or when it is too long to be told, it is compiled at INIT. */
static void add_source(struct files *files, const struct zip_node *node, bool is_layer)
{
	char *path = node->path;

	if ((is_layer ? strlen(LAYER_PREFIX) : 0) + strlen(path) > SOURCE_BYTES)
		return;
	if (is_layer && asprintf(&path, LAYER_PREFIX "%s", node->path) < 0)
		return;
	if (is_layer)
		files->layer_sources[files->source_count] = path;
	files->sources[files->source_count++] = path;
}

static int add_content(struct files *files, const struct zip_node *node, const char *folder,
		       bool is_layer, package_file *file)
{
	struct buf *content = &files->contents[files->count];
	_cleanup_free_ char *path = NULL;
	int r;

	if (asprintf(&path, "%s/%s", folder, node->path) < 0)
		return -ENOMEM;
	r = fs_read_file(path, PACKAGE_FILES_BYTES - files->bytes, content);
	if (r < 0)
		return r;
	files->bytes += content->len;
	file->kind = node->mode & 0100 ? FILE_KIND(EXECUTABLE) : FILE_KIND(FILE);
	file->data.data = content->data;
	file->data.len = content->len;
	if (is_source(node->path))
		add_source(files, node, is_layer);
	return 0;
}

static int add_node(struct files *files, const struct zip_node *node, const char *folder,
		    bool is_layer)
{
	package_file *file = &files->entries[files->count];
	int r = 0;

	mayfly__guest__v1__package_file__init(file);
	file->path = node->path;
	file->mtime = node->mtime;
	switch (node->kind) {
	case ZIP_FOLDER:
		file->kind = FILE_KIND(FOLDER);
		break;
	case ZIP_LINK:
		file->kind = FILE_KIND(LINK);
		file->data.data = (uint8_t *)node->target;
		file->data.len = strlen(node->target);
		break;
	case ZIP_FILE:
		r = add_content(files, node, folder, is_layer, file);
		break;
	}
	files->pointers[files->count++] = file;
	return r;
}

/* Behind its digest: what power cuts and disks make of a message may still look like one. */
static int write_message(const ProtobufCMessage *message, const char *path)
{
	size_t len = protobuf_c_message_get_packed_size(message);
	_cleanup_free_ uint8_t *bytes = malloc(DIGEST_BYTES + len);
	struct digest digest;

	if (!bytes)
		return -ENOMEM;
	(void)protobuf_c_message_pack(message, bytes + DIGEST_BYTES);
	int r = digest_bytes(bytes + DIGEST_BYTES, len, &digest);
	if (r < 0)
		return r;
	memcpy(bytes, digest.bytes, DIGEST_BYTES);
	return fs_write_file_atomic(path, slice_new(bytes, DIGEST_BYTES + len), 0600);
}

static int add_tree(struct files *files, const struct zip_tree *tree, const char *folder,
		    bool is_layer)
{
	int r = tree->count > PACKAGE_FILES_COUNT - files->count ? -EFBIG : 0;

	for (const struct zip_node *node = tree->nodes; r == 0 && node; node = node->hh.next)
		r = add_node(files, node, folder, is_layer);
	return r;
}

static int save(struct files *files, size_t code_count, const char *path)
{
	compile_message message = MAYFLY__GUEST__V1__COMPILE__INIT;

	message.files = files->pointers;
	message.n_files = code_count;
	message.layer_files = files->pointers + code_count;
	message.n_layer_files = files->count - code_count;
	message.sources = files->sources;
	message.n_sources = files->source_count;
	return write_message(&message.base, path);
}

int package_files_save(const struct zip_tree *tree, const char *folder, const char *path)
{
	_cleanup_(files_clear) struct files files = { 0 };
	int r = add_tree(&files, tree, folder, false);

	if (r == -EFBIG)
		return 0;
	return r < 0 ? r : save(&files, files.count, path);
}

int package_files_save_layered(const struct zip_tree *code, const char *code_folder,
			       const struct zip_tree *layers, const char *layer_folder,
			       const char *path)
{
	_cleanup_(files_clear) struct files files = { 0 };
	int r = add_tree(&files, code, code_folder, false);
	size_t code_count = files.count;

	if (r == 0)
		r = add_tree(&files, layers, layer_folder, true);
	if (r == -EFBIG)
		return 0;
	return r < 0 ? r : save(&files, code_count, path);
}

/* The caller frees; NULL for lack of memory. */
static char *bytecode_ending(const char *runtime_digest)
{
	char *ending;

	return asprintf(&ending, ".%.16s.bytecode", runtime_digest) < 0 ? NULL : ending;
}

int package_bytecode_save(const char *image, const char *runtime_digest,
			  const compiled_message *compiled)
{
	compiled_message bare = *compiled;
	_cleanup_free_ char *ending = bytecode_ending(runtime_digest);
	_cleanup_free_ char *path = ending ? package_sibling(image, ending) : NULL;

	bare.outcome = NULL;
	return path ? write_message(&bare.base, path) : -ENOMEM;
}

/* ---- reading ---- */

static int parse_message(struct slice bytes, const ProtobufCMessageDescriptor *descriptor,
			 ProtobufCMessage **ret)
{
	struct digest digest;

	if (bytes.len < DIGEST_BYTES)
		return -EBADMSG;
	struct slice packed = slice_new(bytes.data + DIGEST_BYTES, bytes.len - DIGEST_BYTES);
	int r = digest_bytes(packed.data, packed.len, &digest);
	if (r < 0)
		return r;
	if (memcmp(bytes.data, digest.bytes, DIGEST_BYTES) != 0)
		return -EBADMSG;
	ProtobufCMessage *message =
		protobuf_c_message_unpack(descriptor, NULL, packed.len, packed.data);
	if (!message)
		return -EBADMSG;
	*ret = message;
	return 0;
}

int package_files_parse(struct slice bytes, compile_message **ret)
{
	return parse_message(bytes, &mayfly__guest__v1__compile__descriptor,
			     (ProtobufCMessage **)ret);
}

int package_bytecode_parse(struct slice bytes, compiled_message **ret)
{
	return parse_message(bytes, &mayfly__guest__v1__compiled__descriptor,
			     (ProtobufCMessage **)ret);
}

static int read_beside(const char *image, const char *ending, size_t max, struct buf *ret)
{
	_cleanup_free_ char *path = package_sibling(image, ending);

	return path ? fs_read_file(path, max, ret) : -ENOMEM;
}

int package_files_load(const char *image, compile_message **ret)
{
	_cleanup_buf_ struct buf bytes = BUF_INIT;
	int r = read_beside(image, PACKAGE_FILES_SUFFIX, PACKAGE_FILES_BYTES + OVERHEAD_BYTES,
			    &bytes);

	if (r == -ENOENT) {
		*ret = NULL;
		return 0;
	}
	return r < 0 ? r : package_files_parse(buf_slice(&bytes), ret);
}

int package_bytecode_load(const char *image, const char *runtime_digest, compiled_message **ret)
{
	_cleanup_free_ char *ending = bytecode_ending(runtime_digest);
	_cleanup_buf_ struct buf bytes = BUF_INIT;

	if (!ending)
		return -ENOMEM;
	int r = read_beside(image, ending, PACKAGE_BYTECODE_BYTES + OVERHEAD_BYTES, &bytes);
	if (r == -ENOENT) {
		*ret = NULL;
		return 0;
	}
	return r < 0 ? r : package_bytecode_parse(buf_slice(&bytes), ret);
}
