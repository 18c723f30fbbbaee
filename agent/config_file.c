/* SPDX-License-Identifier: Apache-2.0 */

/* The file: "[section]" and "key = value" lines; '#' and ';' begin comment lines. */

#include "agent/config.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "mayfly/fs.h"

#define SECTION_BYTES 64
#define MAX_KEYS      256

struct reader {
	struct config *config;
	const char *name;
	unsigned line;
	char section[SECTION_BYTES]; /* "" before the first */
	bool section_seen;           /* any, known or not */
	bool section_known;          /* else the section was complained about already */
	unsigned seen[MAX_KEYS];     /* by row: the line that set it */
	int problems;
	config_problem_fn *problem;
	void *arg;
};

static void complain(struct reader *reader, const char *text)
{
	reader->problems++;
	reader->problem(reader->name, reader->line, text, reader->arg);
}

static char *trim(char *text)
{
	text += strspn(text, " \t\r");
	size_t len = strlen(text);
	while (len > 0 && strchr(" \t\r", text[len - 1]))
		text[--len] = '\0';
	return text;
}

static void read_section(struct reader *reader, char *line)
{
	size_t len = strlen(line);
	reader->section[0] = '\0';
	reader->section_seen = true;
	reader->section_known = false;
	if (line[len - 1] != ']') {
		complain(reader, "a section line must end with ']'");
		return;
	}
	line[len - 1] = '\0';
	const char *name = trim(line + 1);

	size_t count;
	const struct config_row *rows = config_rows(&count);
	for (size_t i = 0; i < count && !reader->section_known; i++)
		reader->section_known = strcmp(rows[i].section, name) == 0;
	if (reader->section_known) {
		(void)snprintf(reader->section, sizeof(reader->section), "%s", name);
		return;
	}
	char text[128];
	(void)snprintf(text, sizeof(text), "there is no section [%.40s]", name);
	complain(reader, text);
}

/* -EEXIST after complaining when this file has set the row before. */
static int note_row(struct reader *reader, const char *key)
{
	size_t count;
	const struct config_row *rows = config_rows(&count);
	const struct config_row *row = config_find_row(reader->section, key);
	size_t index = row ? (size_t)(row - rows) : MAX_KEYS;
	if (index >= MAX_KEYS)
		return 0;
	if (reader->seen[index] == 0) {
		reader->seen[index] = reader->line;
		return 0;
	}
	char text[160];
	(void)snprintf(text, sizeof(text), "%s.%s is set twice (first in line %u)", row->section,
		       row->key, reader->seen[index]);
	complain(reader, text);
	return -EEXIST;
}

static int read_assignment(struct reader *reader, char *line)
{
	char *equals = strchr(line, '=');
	if (!equals) {
		complain(reader, "a line must be '[section]', 'key = value' or a comment");
		return 0;
	}
	*equals = '\0';
	const char *key = trim(line);
	const char *value = trim(equals + 1);
	if (!reader->section_known) {
		if (!reader->section_seen)
			complain(reader, "a key must stand below a [section]");
		return 0;
	}
	if (note_row(reader, key) < 0)
		return 0;

	_cleanup_error_ struct error error = ERROR_INIT;
	int r = config_set(reader->config, reader->section, key, value, &error);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		complain(reader, error_text(&error));
	return 0;
}

static int read_line(struct reader *reader, struct slice bytes)
{
	if (bytes.len > CONFIG_MAX_LINE_BYTES) {
		complain(reader, "the line is longer than 4096 bytes");
		return 0;
	}
	if (memchr(bytes.data, '\0', bytes.len)) {
		complain(reader, "the line has a NUL byte");
		return 0;
	}
	char copy[CONFIG_MAX_LINE_BYTES + 1];
	memcpy(copy, bytes.data, bytes.len);
	copy[bytes.len] = '\0';

	char *line = trim(copy);
	if (!*line || *line == '#' || *line == ';')
		return 0;
	if (*line == '[') {
		read_section(reader, line);
		return 0;
	}
	return read_assignment(reader, line);
}

int config_parse(struct config *config, struct slice text, const char *name,
		 config_problem_fn *problem, void *arg)
{
	struct reader reader = { .config = config, .name = name, .problem = problem, .arg = arg };
	while (text.len > 0) {
		const uint8_t *end = memchr(text.data, '\n', text.len);
		size_t len = end ? (size_t)(end - text.data) : text.len;
		size_t used = end ? len + 1 : len;
		reader.line++;
		int r = read_line(&reader, slice_new(text.data, len));
		if (r < 0)
			return r;
		text = slice_new(text.data + used, text.len - used);
	}
	return reader.problems;
}

int config_load(struct config *config, const char *path, config_problem_fn *problem, void *arg)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	int r = fs_read_file(path, CONFIG_MAX_FILE_BYTES, &text);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		char reason[128];
		problem(path, 0, strerror_r(-r, reason, sizeof(reason)), arg);
		return 1;
	}
	return config_parse(config, buf_slice(&text), path, problem, arg);
}
