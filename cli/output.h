/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What verbs print: aligned tables, JSON, and progress on stderr. */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "mayfly/cleanup.h"

DEFINE_CLEANUP(json_t, json_decref)
#define _cleanup_json_ _cleanup_(json_decref_p)

/* Pretty-prints and takes over *value. Returns 0 or -ENOMEM. */
int output_json(json_t *value) _must_use_;

/* The same on one line, for streams of objects; flushed. */
int output_json_line(json_t *value) _must_use_;

#define TABLE_MAX_COLUMNS 12

/* Cells are collected and printed aligned. */
struct table {
	const char *const *headers; /* NULL at the end; an upper case name each */
	char **cells;               /* owned, as are the cells */
	size_t n, capacity;
};

void table_cell(struct table *table, const char *format, ...) _printf_(2, 3);
void table_print(const struct table *table);
void table_free(struct table *table);
#define _cleanup_table_ _cleanup_(table_free)

/* "name: value" lines, aligned. */
void output_field(const char *name, const char *format, ...) _printf_(2, 3);

/* A step that takes long: one line rewritten in place on a terminal, else a line for each new
 * text. `progress_end` leaves the cursor on a fresh line. */
void progress(const char *format, ...) _printf_(1, 2);
void progress_end(void);

/* Text forms; borrowed until the next call with the same buffer. */
#define TEXT_BYTES 48
const char *text_bytes(uint64_t bytes, char out[TEXT_BYTES]);          /* "12.3 MiB" */
const char *text_duration(int64_t us, char out[TEXT_BYTES]);           /* "1.25 s", "3.4 ms" */
const char *text_age(int64_t since_realtime_us, char out[TEXT_BYTES]); /* "5m ago" */
