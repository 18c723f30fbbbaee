/* SPDX-License-Identifier: Apache-2.0 */

/* The flush job: appends batches to part files and sees to it that groups and tenants stay within
 * their bounds. Runs on a worker, one at a time. */

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "agent/logs/log_internal.h"
#include "agent/logs/log_name.h"
#include "mayfly/fs.h"

static int part_path(const struct log_stream *stream, char path[PATH_MAX])
{
	char name[NAME_MAX + 1];

	if (!log_file_name(stream->name, stream->part, name) ||
	    snprintf(path, PATH_MAX, "%s/%s", stream->group->path, name) >= PATH_MAX)
		return -ENAMETOOLONG;
	return 0;
}

static int stream_open_part(struct log_stream *stream, char path[PATH_MAX])
{
	struct log_tenant *tenant = stream->group->tenant;
	struct stat st;
	int r = part_path(stream, path);

	if (r < 0)
		return r;
	stream->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (stream->fd < 0 && errno == ENOENT) {
		r = fs_make_directories(stream->group->path, 0750);
		if (r < 0)
			return r;
		tenant->bytes += LOG_FILE_COST_BYTES;
		stream->fd =
			open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
	}
	if (stream->fd < 0)
		return -errno;
	stream->part_bytes = fstat(stream->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
	if (stream->part_bytes == 0)
		tenant->bytes += LOG_FILE_COST_BYTES;
	return 0;
}

/* A part that is full, or was trimmed away, is followed by the next. */
static int stream_choose_part(struct log_stream *stream, uint64_t more, char path[PATH_MAX])
{
	struct stat st;
	bool gone = stream->fd >= 0 && (fstat(stream->fd, &st) < 0 || st.st_nlink == 0);

	if (stream->fd >= 0 && !gone &&
	    (stream->part_bytes == 0 || stream->part_bytes + more <= stream->store->part_max_bytes))
		return part_path(stream, path);
	if (stream->fd >= 0) {
		(void)close(stream->fd);
		stream->fd = -1;
		stream->part++;
	}
	return stream_open_part(stream, path);
}

static int item_write(struct log_batch_item *item)
{
	struct log_stream *stream = item->stream;
	struct log_group *group = stream->group;
	struct log_tenant *tenant = group->tenant;
	char path[PATH_MAX];
	int r;

	log_group_measure(group);
	log_tenant_measure(tenant);
	r = stream_choose_part(stream, item->records.len, path);
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
	tenant->bytes += item->records.len;
	if (group->bytes > group->store->group_max_bytes)
		log_group_trim(group, path);
	if (tenant->bytes > tenant->store->tenant_max_bytes)
		log_tenant_trim(tenant, path);
	return 0;
}

void log_batch_write(struct job *job)
{
	struct log_batch *batch = container_of(job, struct log_batch, job);

	for (size_t i = 0; i < batch->count; i++)
		batch->items[i].result = item_write(&batch->items[i]);
}
