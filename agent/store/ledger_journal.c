/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/store/ledger_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/core/digest.h"
#include "mayfly/id.h"
#include "mayfly/store/v1/usage.pb-c.h"

#define MAGIC         "mayfly usage journal 1\n"
#define MAGIC_BYTES   (sizeof(MAGIC) - 1)
#define FIRST_OFFSET  4096 /* of the first half */
#define FILE_BYTES    (FIRST_OFFSET + 2 * (off_t)LEDGER_JOURNAL_HALF_BYTES)
#define MESSAGE_BYTES 512 /* three texts of at most 130 bytes in sum, and numbers */

typedef Mayfly__Store__V1__StoredUsage stored_usage;

/* A field that is added to a record belongs into StoredUsage, and into write_usage() and
 * read_usage(). */
_Static_assert(sizeof(struct ledger_record) == 328, "a record has other fields than StoredUsage");

struct entry_head {
	uint32_t length;
	uint32_t zero;
	uint64_t filling;
	uint64_t check;
};

struct half {
	uint64_t filling;
	size_t used;
};

struct ledger_journal {
	int fd;
	unsigned active;
	struct half halves[2];
};

/* -- entries -- */

static char *text(const char *s)
{
	return (char *)(uintptr_t)s;
}

static void write_usage(stored_usage *usage, const struct ledger_record *record)
{
	*usage = (stored_usage)MAYFLY__STORE__V1__STORED_USAGE__INIT;
	usage->request_id = text(record->request_id);
	usage->run = record->run;
	usage->tenant = text(record->tenant);
	usage->function = text(record->function);
	usage->version = text(record->version);
	usage->started_us = record->started_us;
	usage->duration_us = record->duration_us;
	usage->init_us = record->init_us;
	usage->restore_us = record->restore_us;
	usage->billed_restore_ms = record->billed_restore_ms;
	usage->billed_ms = record->billed_ms;
	usage->memory_mb = record->memory_mb;
	usage->max_memory_mb = record->max_memory_mb;
	usage->event_bytes = record->event_bytes;
	usage->answer_bytes = record->answer_bytes;
	usage->streamed_bytes = record->streamed_bytes;
	usage->start = record->start;
	usage->result = record->result;
	usage->withheld = record->withheld;
	usage->over_bytes = record->over_bytes;
	usage->storage_mb = record->storage_mb;
	usage->restored_mb = record->restored_mb;
	usage->provisioned = record->provisioned;
}

static int take_text(char *out, size_t bytes, const char *s)
{
	size_t len = strlen(s);

	if (len >= bytes)
		return -EBADMSG;
	memcpy(out, s, len + 1);
	return 0;
}

static int read_usage(const stored_usage *usage, struct ledger_record *ret)
{
	*ret = (struct ledger_record){
		.run = usage->run,
		.started_us = usage->started_us,
		.duration_us = usage->duration_us,
		.init_us = usage->init_us,
		.restore_us = usage->restore_us,
		.billed_restore_ms = usage->billed_restore_ms,
		.billed_ms = usage->billed_ms,
		.memory_mb = usage->memory_mb,
		.max_memory_mb = usage->max_memory_mb,
		.event_bytes = usage->event_bytes,
		.answer_bytes = usage->answer_bytes,
		.streamed_bytes = usage->streamed_bytes,
		.start = (enum ledger_start)usage->start,
		.result = (enum ledger_result)usage->result,
		.withheld = usage->withheld,
		.over_bytes = usage->over_bytes,
		.storage_mb = usage->storage_mb > 0 ? usage->storage_mb : LEDGER_STORAGE_FREE_MB,
		.restored_mb = usage->restored_mb,
		.provisioned = usage->provisioned,
	};
	if (usage->start > LEDGER_START_BOOT || usage->result > LEDGER_SANDBOX_FAILURE ||
	    take_text(ret->request_id, sizeof(ret->request_id), usage->request_id) < 0 ||
	    take_text(ret->tenant, sizeof(ret->tenant), usage->tenant) < 0 ||
	    take_text(ret->function, sizeof(ret->function), usage->function) < 0 ||
	    take_text(ret->version, sizeof(ret->version), usage->version) < 0)
		return -EBADMSG;
	return 0;
}

/* `entry` is the head, its check zero, and the message. */
static int make_check(const uint8_t *entry, size_t len, uint64_t *ret)
{
	struct digest digest;
	int r = digest_bytes(entry, len, &digest);

	if (r == 0)
		memcpy(ret, digest.bytes, sizeof(*ret));
	return r;
}

static bool is_right(const struct entry_head *head, const uint8_t *message)
{
	uint8_t copy[sizeof(*head) + MESSAGE_BYTES];
	struct entry_head bare = *head;
	uint64_t check;

	bare.check = 0;
	memcpy(copy, &bare, sizeof(bare));
	memcpy(copy + sizeof(bare), message, head->length);
	return make_check(copy, sizeof(bare) + head->length, &check) == 0 && check == head->check;
}

/* 1: one. 0: none that fits. Else what `fn` returned. */
static int scan_one(struct slice in, uint64_t filling, ledger_record_fn *fn, void *arg,
		    struct entry_head *ret)
{
	struct ledger_record record;
	stored_usage *usage;
	int r;

	if (in.len < sizeof(*ret))
		return 0;
	memcpy(ret, in.data, sizeof(*ret));
	if (ret->length == 0 || ret->length > MESSAGE_BYTES || ret->zero != 0 ||
	    ret->length > in.len - sizeof(*ret) || (filling && ret->filling != filling) ||
	    !is_right(ret, in.data + sizeof(*ret)))
		return 0;
	usage = mayfly__store__v1__stored_usage__unpack(NULL, ret->length, in.data + sizeof(*ret));
	if (!usage)
		return 0;
	r = read_usage(usage, &record) < 0 ? 0 : 1;
	mayfly__store__v1__stored_usage__free_unpacked(usage, NULL);
	if (r == 0)
		return 0;
	r = fn(&record, arg);
	return r < 0 ? r : 1;
}

ssize_t ledger_journal_scan(struct slice half, ledger_record_fn *fn, void *arg,
			    uint64_t *ret_filling)
{
	struct entry_head head;
	uint64_t filling = 0;
	size_t end = 0;
	int r;

	while ((r = scan_one(slice_new(half.data + end, half.len - end), filling, fn, arg, &head)) >
	       0) {
		filling = head.filling;
		end += sizeof(head) + head.length;
	}
	if (r < 0)
		return r;
	*ret_filling = filling;
	return (ssize_t)end;
}

/* -- the file -- */

static off_t half_offset(unsigned which)
{
	return FIRST_OFFSET + (off_t)which * LEDGER_JOURNAL_HALF_BYTES;
}

static int write_at(const struct ledger_journal *journal, const void *data, size_t len, off_t at)
{
	ssize_t n = pwrite(journal->fd, data, len, at);

	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

static void begin_half(struct half *half)
{
	half->used = 0;
	do
		random_bytes(&half->filling, sizeof(half->filling));
	while (half->filling == 0);
}

static int forget(struct ledger_journal *journal, unsigned which)
{
	const struct entry_head nothing = { 0 };
	int r = write_at(journal, &nothing, sizeof(nothing), half_offset(which));

	if (r == 0)
		begin_half(&journal->halves[which]);
	return r;
}

static int read_half(struct ledger_journal *journal, unsigned which, ledger_record_fn *fn,
		     void *arg)
{
	_cleanup_free_ uint8_t *bytes = malloc(LEDGER_JOURNAL_HALF_BYTES);
	struct half *half = &journal->halves[which];
	ssize_t n, end;

	if (!bytes)
		return -ENOMEM;
	n = pread(journal->fd, bytes, LEDGER_JOURNAL_HALF_BYTES, half_offset(which));
	if (n < 0)
		return -errno;
	end = ledger_journal_scan(slice_new(bytes, (size_t)n), fn, arg, &half->filling);
	if (end < 0)
		return (int)end;
	half->used = (size_t)end;
	return end > 0 ? 0 : forget(journal, which);
}

/* A file that is not yet whole is one whose making was cut short, or of nobody. */
static int claim(struct ledger_journal *journal, const char *path, struct error *error)
{
	char magic[MAGIC_BYTES] = { 0 };
	struct stat st;
	int r;

	if (fstat(journal->fd, &st) < 0)
		return error_set_errno(error, errno, "Cannot read %s", path);
	if (st.st_size > 0 && (pread(journal->fd, magic, sizeof(magic), 0) < 0 ||
			       memcmp(magic, MAGIC, sizeof(magic)) != 0))
		return error_set(error, ERROR_INTERNAL, NULL,
				 "%s is no journal of usage, or one of a newer mayflyd.", path);
	r = write_at(journal, MAGIC, MAGIC_BYTES, 0);
	if (r == 0)
		r = -posix_fallocate(journal->fd, 0, FILE_BYTES);
	return r < 0 ? error_set_errno(error, r, "Cannot make %s", path) : 0;
}

int ledger_journal_open(const char *path, ledger_record_fn *fn, void *arg,
			struct ledger_journal **ret, struct error *error)
{
	_cleanup_(ledger_journal_close_p) struct ledger_journal *journal =
		calloc(1, sizeof(*journal));
	int r;

	if (!journal)
		return error_set_errno(error, ENOMEM, "Cannot open %s", path);
	journal->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (journal->fd < 0)
		return error_set_errno(error, errno, "Cannot open %s", path);
	r = claim(journal, path, error);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < ARRAY_SIZE(journal->halves); i++) {
		r = read_half(journal, i, fn, arg);
		if (r < 0)
			return error_set_errno(error, r, "Cannot read %s", path);
	}
	*ret = TAKE_PTR(journal);
	return 0;
}

struct ledger_journal *ledger_journal_close(struct ledger_journal *journal)
{
	if (!journal)
		return NULL;
	if (journal->fd >= 0)
		(void)close(journal->fd);
	free(journal);
	return NULL;
}

/* -- the order of things -- */

int ledger_journal_put(struct ledger_journal *journal, const struct ledger_record *record)
{
	struct half *half = &journal->halves[journal->active];
	uint8_t entry[sizeof(struct entry_head) + MESSAGE_BYTES];
	struct entry_head head = { .filling = half->filling };
	stored_usage usage;
	size_t bytes;
	int r;

	write_usage(&usage, record);
	bytes = mayfly__store__v1__stored_usage__get_packed_size(&usage);
	if (bytes > MESSAGE_BYTES)
		return -EMSGSIZE;
	head.length = (uint32_t)bytes;
	bytes += sizeof(head);
	if (bytes > LEDGER_JOURNAL_HALF_BYTES - half->used)
		return -ENOSPC;
	memcpy(entry, &head, sizeof(head));
	(void)mayfly__store__v1__stored_usage__pack(&usage, entry + sizeof(head));
	r = make_check(entry, bytes, &head.check);
	if (r < 0)
		return r;
	memcpy(entry, &head, sizeof(head));
	r = write_at(journal, entry, bytes, half_offset(journal->active) + (off_t)half->used);
	if (r == 0)
		half->used += bytes;
	return r;
}

void ledger_journal_turn(struct ledger_journal *journal)
{
	if (journal->halves[!journal->active].used == 0)
		journal->active = !journal->active;
}

int ledger_journal_clear(struct ledger_journal *journal, bool all)
{
	for (unsigned i = 0; i < ARRAY_SIZE(journal->halves); i++) {
		bool is_meant = all || i != journal->active;
		int r = is_meant && journal->halves[i].used > 0 ? forget(journal, i) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}
