/* SPDX-License-Identifier: Apache-2.0 */

/* The flush job: appends batches to part files and keeps groups within their bound. Runs on a
 * worker, one at a time. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "agent/logs/log_internal.h"
#include "agent/logs/log_name.h"
#include "mayfly/fs.h"

#define TRIM_TO_PERCENT 90 /* so that not every flush trims */

struct part_file {
	char *name;
	uint64_t size;
	struct timespec written;
};

struct part_list {
	struct part_file *files;
	size_t count;
	uint64_t bytes;
};

static void part_list_clear(struct part_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->files[i].name);
	free(list->files);
	*list = (struct part_list){ 0 };
}

static int part_list_add(struct part_list *list, const char *name, const struct stat *st)
{
	struct part_file *files = reallocarray(list->files, list->count + 1, sizeof(*list->files));

	if (!files)
		return -ENOMEM;
	list->files = files;
	files[list->count].name = strdup(name);
	if (!files[list->count].name)
		return -ENOMEM;
	files[list->count].size = (uint64_t)st->st_size;
	files[list->count].written = st->st_mtim;
	list->count++;
	list->bytes += (uint64_t)st->st_size;
	return 0;
}

static int part_list_read(const char *path, struct part_list *list)
{
	DIR *dir = opendir(path);
	struct stat st;
	int r = 0;

	if (!dir)
		return -errno;
	for (struct dirent *entry; r == 0 && (entry = readdir(dir));)
		if (entry->d_name[0] != '.' &&
		    fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode))
			r = part_list_add(list, entry->d_name, &st);
	(void)closedir(dir);
	return r;
}

static int compare_age(const void *a, const void *b)
{
	const struct part_file *x = a;
	const struct part_file *y = b;

	if (x->written.tv_sec != y->written.tv_sec)
		return x->written.tv_sec < y->written.tv_sec ? -1 : 1;
	if (x->written.tv_nsec != y->written.tv_nsec)
		return x->written.tv_nsec < y->written.tv_nsec ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* The oldest go first. `keep` is written to now; a stream whose file goes begins a new part. */
static void group_trim(struct log_group *group, const char *keep)
{
	_cleanup_(part_list_clear) struct part_list list = { 0 };
	uint64_t target = group->store->group_max_bytes / 100 * TRIM_TO_PERCENT;
	char path[PATH_MAX];

	if (part_list_read(group->path, &list) < 0)
		return;
	group->bytes = list.bytes;
	if (list.bytes <= group->store->group_max_bytes)
		return;
	qsort(list.files, list.count, sizeof(*list.files), compare_age);
	for (size_t i = 0; i < list.count && group->bytes > target; i++) {
		if (strcmp(list.files[i].name, keep) == 0)
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", group->path, list.files[i].name) <
			    (int)sizeof(path) &&
		    unlink(path) == 0)
			group->bytes -= list.files[i].size;
	}
}

static void group_measure(struct log_group *group)
{
	_cleanup_(part_list_clear) struct part_list list = { 0 };

	if (group->measured)
		return;
	(void)part_list_read(group->path, &list);
	group->bytes = list.bytes;
	group->measured = true;
}

static int stream_open_part(struct log_stream *stream, char name[NAME_MAX + 1])
{
	char path[PATH_MAX];
	struct stat st;

	if (!log_file_name(stream->name, stream->part, name) ||
	    snprintf(path, sizeof(path), "%s/%s", stream->group->path, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	stream->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (stream->fd < 0 && errno == ENOENT) {
		int r = fs_make_directories(stream->group->path, 0750);

		if (r < 0)
			return r;
		stream->fd =
			open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
	}
	if (stream->fd < 0)
		return -errno;
	stream->part_bytes = fstat(stream->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
	return 0;
}

/* A part that is full, or was trimmed away, is followed by the next. */
static int stream_choose_part(struct log_stream *stream, uint64_t more, char name[NAME_MAX + 1])
{
	struct stat st;
	bool gone = stream->fd >= 0 && (fstat(stream->fd, &st) < 0 || st.st_nlink == 0);

	if (stream->fd >= 0 && !gone &&
	    (stream->part_bytes == 0 ||
	     stream->part_bytes + more <= stream->store->part_max_bytes)) {
		return log_file_name(stream->name, stream->part, name) ? 0 : -ENAMETOOLONG;
	}
	if (stream->fd >= 0) {
		(void)close(stream->fd);
		stream->fd = -1;
		stream->part++;
	}
	return stream_open_part(stream, name);
}

static int item_write(struct log_batch_item *item)
{
	struct log_stream *stream = item->stream;
	struct log_group *group = stream->group;
	char name[NAME_MAX + 1];
	int r;

	group_measure(group);
	r = stream_choose_part(stream, item->records.len, name);
	if (r < 0)
		return r;
	r = fs_write_all(stream->fd, item->records.data, item->records.len);
	if (r < 0) {
		/* Half of a batch would hide what is appended behind it. */
		if (ftruncate(stream->fd, (off_t)stream->part_bytes) < 0) {
			(void)close(stream->fd);
			stream->fd = -1;
			stream->part++;
		}
		return r;
	}
	stream->part_bytes += item->records.len;
	group->bytes += item->records.len;
	if (group->bytes > group->store->group_max_bytes)
		group_trim(group, name);
	return 0;
}

void log_batch_write(struct job *job)
{
	struct log_batch *batch = container_of(job, struct log_batch, job);

	for (size_t i = 0; i < batch->count; i++)
		batch->items[i].result = item_write(&batch->items[i]);
}
