/* SPDX-License-Identifier: Apache-2.0 */

#include "agent/image/stamps.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "mayfly/fs.h"

#define STAMPS_COUNT     128U
#define STAMPS_MAX_BYTES (STAMPS_COUNT * 256U)
#define NSEC_PER_SEC     UINT64_C(1000000000)

struct stamps {
	char *path;
	struct stamp stamps[STAMPS_COUNT];
	size_t count;
};

int stamp_of_file(const char *path, const char *digest, struct stamp *ret)
{
	struct stat st;

	if (strlen(digest) != DIGEST_HEX_BYTES - 1)
		return -EINVAL;
	if (stat(path, &st) < 0)
		return -errno;
	*ret = (struct stamp){
		.device = st.st_dev,
		.inode = st.st_ino,
		.size = (uint64_t)st.st_size,
		.modified_ns =
			(uint64_t)st.st_mtim.tv_sec * NSEC_PER_SEC + (uint64_t)st.st_mtim.tv_nsec,
		.changed_ns =
			(uint64_t)st.st_ctim.tv_sec * NSEC_PER_SEC + (uint64_t)st.st_ctim.tv_nsec,
	};
	memcpy(ret->digest, digest, DIGEST_HEX_BYTES);
	return 0;
}

static bool stamp_parse(const char *line, struct stamp *ret)
{
	struct stamp stamp = { 0 };
	int end = 0;
	int fields = sscanf(
		line, "%64[0-9a-f] %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 "%n",
		stamp.digest, &stamp.device, &stamp.inode, &stamp.size, &stamp.modified_ns,
		&stamp.changed_ns, &end);

	if (fields != 6 || line[end] != '\0' || strlen(stamp.digest) != DIGEST_HEX_BYTES - 1)
		return false;
	*ret = stamp;
	return true;
}

static void stamps_load(struct stamps *stamps)
{
	_cleanup_buf_ struct buf text = BUF_INIT;

	if (fs_read_file(stamps->path, STAMPS_MAX_BYTES, &text) < 0 || text.len == 0)
		return;
	char *rest = (char *)text.data;
	for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
		if (stamps->count == STAMPS_COUNT)
			return;
		if (stamp_parse(line, &stamps->stamps[stamps->count]))
			stamps->count++;
	}
}

int stamps_open(const char *path, struct stamps **ret)
{
	_cleanup_(stamps_free_p) struct stamps *stamps = calloc(1, sizeof(*stamps));

	if (!stamps)
		return -ENOMEM;
	if (path) {
		stamps->path = strdup(path);
		if (!stamps->path)
			return -ENOMEM;
		stamps_load(stamps);
	}
	*ret = TAKE_PTR(stamps);
	return 0;
}

struct stamps *stamps_free(struct stamps *stamps)
{
	if (!stamps)
		return NULL;
	free(stamps->path);
	free(stamps);
	return NULL;
}

bool stamp_equals(const struct stamp *a, const struct stamp *b)
{
	return strcmp(a->digest, b->digest) == 0 && a->device == b->device &&
	       a->inode == b->inode && a->size == b->size && a->modified_ns == b->modified_ns &&
	       a->changed_ns == b->changed_ns;
}

bool stamps_has(const struct stamps *stamps, const struct stamp *stamp)
{
	for (size_t i = 0; i < stamps->count; i++)
		if (stamp_equals(&stamps->stamps[i], stamp))
			return true;
	return false;
}

static int stamps_save(const struct stamps *stamps)
{
	_cleanup_buf_ struct buf text = BUF_INIT;

	for (size_t i = 0; i < stamps->count; i++) {
		const struct stamp *s = &stamps->stamps[i];
		int r = buf_append_format(
			&text, "%s %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
			s->digest, s->device, s->inode, s->size, s->modified_ns, s->changed_ns);
		if (r < 0)
			return r;
	}
	return fs_write_file_atomic(stamps->path, buf_slice(&text), 0600);
}

int stamps_add(struct stamps *stamps, const struct stamp *stamp)
{
	size_t i;

	for (i = 0; i < stamps->count; i++)
		if (strcmp(stamps->stamps[i].digest, stamp->digest) == 0)
			break;
	/* When it is full, the oldest goes. */
	if (i == STAMPS_COUNT) {
		memmove(&stamps->stamps[0], &stamps->stamps[1],
			(STAMPS_COUNT - 1) * sizeof(*stamp));
		i--;
	}
	stamps->stamps[i] = *stamp;
	if (i >= stamps->count)
		stamps->count = i + 1;
	return stamps->path ? stamps_save(stamps) : 0;
}
