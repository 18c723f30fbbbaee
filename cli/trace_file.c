/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/trace_file.h"

#include <errno.h>
#include <stdlib.h>

#include "mayfly/clock.h"
#include "mayfly/fs.h"

#define AZURE_HEAD   "HashOwner,"
#define AZURE_FIELDS 4 /* before the counts */
#define AZURE_NAME   2
#define MINUTE_US    (60 * USEC_PER_SEC)

/* -- fields -- */

/* The next field of a line, which it is cut off from; false at its end. */
static bool next_field(struct slice *line, struct slice *ret)
{
	const uint8_t *comma;

	if (!line->data)
		return false;
	comma = memchr(line->data, ',', line->len);
	if (!comma) {
		*ret = *line;
		*line = SLICE_INIT;
		return true;
	}
	*ret = slice_new(line->data, (size_t)(comma - line->data));
	*line = slice_new(comma + 1, line->len - ret->len - 1);
	return true;
}

/* Digits alone, at most TRACE_PER_MINUTE_MAX. */
static int parse_count(struct slice field, uint32_t *ret)
{
	uint32_t count = 0;

	if (field.len == 0)
		return -EINVAL;
	for (size_t i = 0; i < field.len; i++) {
		if (field.data[i] < '0' || field.data[i] > '9')
			return -EINVAL;
		count = count * 10 + (uint32_t)(field.data[i] - '0');
		if (count > TRACE_PER_MINUTE_MAX)
			return -ERANGE;
	}
	*ret = count;
	return 0;
}

static struct slice next_line(struct slice *text)
{
	const uint8_t *end = memchr(text->data, '\n', text->len);
	size_t len = end ? (size_t)(end - text->data) : text->len;
	struct slice line = slice_new(text->data, len);

	*text = end ? slice_new(end + 1, text->len - len - 1) : SLICE_INIT;
	if (line.len > 0 && line.data[line.len - 1] == '\r')
		line.len--;
	return line;
}

/* -- rows -- */

struct parser {
	struct trace *trace;
	size_t max_functions;
	unsigned line;
	bool is_azure;
	uint32_t counts[TRACE_MINUTES_MAX];
	struct error *error;
};

static int complain(const struct parser *parser, const char *what)
{
	return error_set(parser->error, ERROR_INVALID_PARAMETER, NULL, "line %u: %s", parser->line,
			 what);
}

static int parse_counts(struct parser *parser, struct slice line, unsigned *ret_n)
{
	struct slice field;
	unsigned n = 0;

	while (next_field(&line, &field)) {
		if (n == TRACE_MINUTES_MAX)
			return complain(parser, "more than a day's 1440 minutes");
		if (parse_count(field, &parser->counts[n]) < 0)
			return complain(parser, "a count is digits, at most 1000000");
		n++;
	}
	*ret_n = n;
	return n > 0 ? 0 : complain(parser, "no counts behind the name");
}

static int add_function(struct parser *parser, struct slice name, uint64_t total)
{
	struct trace *trace = parser->trace;
	size_t len = name.len < TRACE_NAME_BYTES - 1 ? name.len : TRACE_NAME_BYTES - 1;
	struct trace_function *function;

	if (trace->n == trace->capacity) {
		size_t capacity = trace->capacity ? 2 * trace->capacity : 64;
		struct trace_function *grown = realloc(trace->functions, capacity * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		trace->functions = grown;
		trace->capacity = capacity;
	}
	function = &trace->functions[trace->n];
	*function = (struct trace_function){ .total = total };
	for (size_t i = 0; i < len; i++) /* it is printed */
		function->name[i] =
			name.data[i] > ' ' && name.data[i] < 0x7f ? (char)name.data[i] : '?';
	function->counts = calloc(trace->minutes, sizeof(*function->counts));
	if (!function->counts)
		return -ENOMEM;
	memcpy(function->counts, parser->counts, trace->minutes * sizeof(*function->counts));
	trace->n++;
	return 0;
}

static int parse_row(struct parser *parser, struct slice line)
{
	struct trace *trace = parser->trace;
	struct slice name = SLICE_INIT, field;
	unsigned n;
	uint64_t total = 0;
	int r;

	for (unsigned i = 0; i < (parser->is_azure ? AZURE_FIELDS : 1); i++) {
		if (!next_field(&line, &field))
			return complain(parser, "fields are missing");
		if (i == (parser->is_azure ? AZURE_NAME : 0))
			name = field;
	}
	if (name.len == 0)
		return complain(parser, "the function has no name");
	r = parse_counts(parser, line, &n);
	if (r < 0)
		return r;
	if (trace->minutes == 0)
		trace->minutes = n;
	if (n != trace->minutes)
		return complain(parser, "another number of minutes than in the first row");
	for (unsigned i = 0; i < n; i++)
		total += parser->counts[i];
	if (total == 0 || trace->n == parser->max_functions)
		return 0;
	r = add_function(parser, name, total);
	return r < 0 ? error_set_errno(parser->error, r, "cannot keep the trace") : 0;
}

static int parse_all(struct parser *parser, struct slice text)
{
	bool is_first = true;

	while (text.data) {
		struct slice line = next_line(&text);
		int r = 0;

		parser->line++;
		if (line.len == 0 || line.data[0] == '#')
			continue;
		if (is_first && line.len >= strlen(AZURE_HEAD) &&
		    memcmp(line.data, AZURE_HEAD, strlen(AZURE_HEAD)) == 0)
			parser->is_azure = true;
		else
			r = parse_row(parser, line);
		if (r < 0)
			return r;
		is_first = false;
	}
	return parser->trace->n > 0 ? 0
				    : error_set(parser->error, ERROR_INVALID_PARAMETER, NULL,
						"the trace has no invocation");
}

int trace_parse(struct slice text, size_t max_functions, struct trace *ret, struct error *e)
{
	struct trace trace = { 0 };
	struct parser parser = {
		.trace = &trace,
		.max_functions =
			max_functions < TRACE_FUNCTIONS_MAX ? max_functions : TRACE_FUNCTIONS_MAX,
		.error = e,
	};
	int r = parse_all(&parser, text);

	if (r < 0)
		trace_free(&trace);
	else
		*ret = trace;
	return r;
}

int trace_read(const char *path, size_t max_functions, struct trace *ret, struct error *e)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	int r = fs_read_file(path, TRACE_FILE_MAX_BYTES, &text);

	if (r < 0)
		return error_set_errno(e, r, "cannot read %s", path);
	r = trace_parse(buf_slice(&text), max_functions, ret, e);
	if (r < 0 && e)
		error_wrap(e, "%s", path);
	return r;
}

void trace_free(struct trace *trace)
{
	for (size_t i = 0; i < trace->n; i++)
		free(trace->functions[i].counts);
	free(trace->functions);
	*trace = (struct trace){ 0 };
}

/* -- moments -- */

static uint64_t next_random(uint64_t *state)
{
	/* splitmix64: short, and good enough for moments in a minute. */
	uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static int by_moment(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

void trace_spread(uint32_t count, uint64_t seed, int64_t *out)
{
	for (uint32_t i = 0; i < count; i++)
		out[i] = (int64_t)(next_random(&seed) % MINUTE_US);
	qsort(out, count, sizeof(*out), by_moment);
}
