/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/output.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mayfly/clock.h"

static int print_json(json_t *value, size_t flags)
{
	_cleanup_json_ json_t *owned = value;
	if (!owned || json_dumpf(owned, stdout, flags | JSON_PRESERVE_ORDER | JSON_ENCODE_ANY) < 0)
		return -ENOMEM;
	(void)putchar('\n');
	return 0;
}

int output_json(json_t *value)
{
	return print_json(value, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
}

int output_json_line(json_t *value)
{
	int r = print_json(value, JSON_COMPACT | JSON_REAL_PRECISION(15));
	(void)fflush(stdout);
	return r;
}

void table_cell(struct table *table, const char *format, ...)
{
	char *cell = NULL;
	va_list ap;
	va_start(ap, format);
	if (vasprintf(&cell, format, ap) < 0)
		cell = NULL;
	va_end(ap);
	if (table->n == table->capacity) {
		size_t capacity = table->capacity ? 2 * table->capacity : 64;
		char **cells = realloc(table->cells, capacity * sizeof(*cells));
		if (!cells)
			abort(); /* a command line program without memory */
		table->cells = cells;
		table->capacity = capacity;
	}
	table->cells[table->n++] = cell;
}

/* Columns on the screen: UTF-8 continuation bytes take none. */
static size_t width_of(const char *text)
{
	size_t n = 0;
	for (; text && *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static void print_cell(const char *text, size_t width, bool last)
{
	(void)fputs(text ? text : "", stdout);
	if (last) {
		(void)putchar('\n');
		return;
	}
	for (size_t i = width_of(text); i < width + 2; i++)
		(void)putchar(' ');
}

void table_print(const struct table *table)
{
	size_t widths[TABLE_MAX_COLUMNS] = { 0 }, columns = 0;

	while (columns < TABLE_MAX_COLUMNS && table->headers[columns]) {
		widths[columns] = width_of(table->headers[columns]);
		columns++;
	}
	for (size_t i = 0; i < table->n; i++)
		if (width_of(table->cells[i]) > widths[i % columns])
			widths[i % columns] = width_of(table->cells[i]);
	for (size_t i = 0; i < columns; i++)
		print_cell(table->headers[i], widths[i], i + 1 == columns);
	for (size_t i = 0; i < table->n; i++)
		print_cell(table->cells[i], widths[i % columns], i % columns + 1 == columns);
}

void table_free(struct table *table)
{
	for (size_t i = 0; i < table->n; i++)
		free(table->cells[i]);
	free(table->cells);
}

void output_field(const char *name, const char *format, ...)
{
	va_list ap;
	(void)printf("%-20s ", name);
	va_start(ap, format);
	(void)vprintf(format, ap);
	va_end(ap);
	(void)putchar('\n');
}

static char progress_last[256];

void progress(const char *format, ...)
{
	char text[256];
	va_list ap;
	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);

	if (strcmp(text, progress_last) == 0)
		return;
	if (isatty(STDERR_FILENO))
		(void)fprintf(stderr, "\r\033[K%s", text);
	else
		(void)fprintf(stderr, "%s\n", text);
	(void)fflush(stderr);
	(void)snprintf(progress_last, sizeof(progress_last), "%s", text);
}

void progress_end(void)
{
	if (progress_last[0] && isatty(STDERR_FILENO))
		(void)fputs("\r\033[K", stderr);
	progress_last[0] = '\0';
}

const char *text_bytes(uint64_t bytes, char out[TEXT_BYTES])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double value = (double)bytes;
	unsigned i = 0;

	while (value >= 1024 && i + 1 < ARRAY_SIZE(units)) {
		value /= 1024;
		i++;
	}
	(void)snprintf(out, TEXT_BYTES, i == 0 ? "%.0f %s" : "%.1f %s", value, units[i]);
	return out;
}

const char *text_duration(int64_t us, char out[TEXT_BYTES])
{
	if (us >= 10 * USEC_PER_SEC)
		(void)snprintf(out, TEXT_BYTES, "%.1f s", (double)us / 1e6);
	else if (us >= USEC_PER_SEC)
		(void)snprintf(out, TEXT_BYTES, "%.2f s", (double)us / 1e6);
	else
		(void)snprintf(out, TEXT_BYTES, "%.2f ms", (double)us / 1e3);
	return out;
}

const char *text_age(int64_t since_realtime_us, char out[TEXT_BYTES])
{
	int64_t s = (clock_realtime_us() - since_realtime_us) / USEC_PER_SEC;

	if (since_realtime_us <= 0 || s < 0)
		(void)snprintf(out, TEXT_BYTES, "-");
	else if (s < 120)
		(void)snprintf(out, TEXT_BYTES, "%llds ago", (long long)s);
	else if (s < 7200)
		(void)snprintf(out, TEXT_BYTES, "%lldm ago", (long long)s / 60);
	else if (s < 172800)
		(void)snprintf(out, TEXT_BYTES, "%lldh ago", (long long)s / 3600);
	else
		(void)snprintf(out, TEXT_BYTES, "%lldd ago", (long long)s / 86400);
	return out;
}
