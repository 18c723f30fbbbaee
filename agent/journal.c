/* SPDX-License-Identifier: Apache-2.0 */

/* The journal's own field names would carry the place in this file for every message. */
#define SD_JOURNAL_SUPPRESS_LOCATION

#include "agent/journal.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>

#include "mayfly/log.h"

#define MAX_FIELDS 12

/* systemd.exec(5): $JOURNAL_STREAM is "device:inode" of the stream it connected. */
static bool stderr_is_journal(void)
{
	const char *text = getenv("JOURNAL_STREAM");
	unsigned long long device;
	unsigned long long inode;
	struct stat st;
	if (!text || sscanf(text, "%llu:%llu", &device, &inode) != 2)
		return false;
	if (fstat(STDERR_FILENO, &st) < 0)
		return false;
	return st.st_dev == device && st.st_ino == inode;
}

struct entry {
	struct iovec fields[MAX_FIELDS];
	char *texts[MAX_FIELDS]; /* owned */
	int count;
};

/* A field that memory is too short for is left out. */
static void entry_add(struct entry *entry, const char *name, const char *value)
{
	char *text = NULL;
	if (!value || !*value || asprintf(&text, "%s=%s", name, value) < 0)
		return;
	entry->texts[entry->count] = text;
	entry->fields[entry->count++] = (struct iovec){ .iov_base = text, .iov_len = strlen(text) };
}

static void write_journal(int priority, const struct log_fields *fields, const char *text,
			  void *user)
{
	(void)user;
	char number[] = { (char)('0' + (priority & 7)), '\0' };
	struct entry entry = { 0 };
	entry_add(&entry, "MESSAGE", text);
	entry_add(&entry, "PRIORITY", number);
	entry_add(&entry, "SYSLOG_IDENTIFIER", "mayflyd");
	if (fields) {
		entry_add(&entry, "MAYFLY_TENANT", fields->tenant);
		entry_add(&entry, "MAYFLY_FUNCTION", fields->function);
		entry_add(&entry, "MAYFLY_REQUEST_ID", fields->request_id);
		entry_add(&entry, "MAYFLY_SANDBOX", fields->sandbox);
		entry_add(&entry, "MAYFLY_PRINCIPAL", fields->principal);
		entry_add(&entry, "MAYFLY_ACCESS_KEY_ID", fields->access_key_id);
		entry_add(&entry, "MAYFLY_METHOD", fields->method);
		entry_add(&entry, "MAYFLY_PEER", fields->peer);
		entry_add(&entry, "MAYFLY_RESULT", fields->result);
	}
	/* Nobody is left to tell when the journal fails. */
	(void)sd_journal_sendv(entry.fields, entry.count);
	for (int i = 0; i < entry.count; i++)
		free(entry.texts[i]);
}

void journal_take_over(void)
{
	if (stderr_is_journal())
		log_set_sink(write_journal, NULL);
}
