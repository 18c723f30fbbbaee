/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/shorthand.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "cli/output.h"
#include "mayfly/buf.h"
#include "mayfly/fs.h"

#define MAX_DEPTH      4
#define MAX_FILE_BYTES (1U << 20)

static int parse_object(const char **p, unsigned depth, json_t **ret);

/* Up to an unquoted stop character; quotes are taken off. */
static int parse_word(const char **p, const char *stops, struct buf *word)
{
	char quote = '\0';

	for (; **p && (quote || !strchr(stops, **p)); (*p)++) {
		if (quote ? **p == quote : **p == '"' || **p == '\'') {
			quote = quote ? '\0' : **p;
			continue;
		}
		int r = buf_append(word, *p, 1);
		if (r < 0)
			return r;
	}
	return quote ? -EINVAL : 0;
}

static int parse_value(const char **p, unsigned depth, json_t **ret)
{
	_cleanup_buf_ struct buf word = BUF_INIT;

	if (**p == '{') {
		(*p)++;
		int r = parse_object(p, depth + 1, ret);
		if (r < 0)
			return r;
		if (*(*p)++ != '}') {
			json_decref(*ret);
			*ret = NULL;
			return -EINVAL;
		}
		return 0;
	}
	int r = parse_word(p, ",}", &word);
	if (r < 0)
		return r;
	*ret = json_string(buf_string(&word));
	return *ret ? 0 : -EINVAL;
}

/* "A=1,B={...}" up to the end or a closing brace. */
static int parse_object(const char **p, unsigned depth, json_t **ret)
{
	_cleanup_json_ json_t *object = json_object();

	if (depth > MAX_DEPTH)
		return -EINVAL;
	while (**p && **p != '}') {
		_cleanup_buf_ struct buf name = BUF_INIT;
		json_t *value = NULL;
		int r = parse_word(p, "=,}", &name);
		if (r < 0 || name.len == 0 || **p != '=')
			return r < 0 ? r : -EINVAL;
		(*p)++;
		r = parse_value(p, depth, &value);
		if (r < 0)
			return r;
		if (json_object_set_new(object, buf_string(&name), value) < 0)
			return -EINVAL;
		if (**p != ',')
			break;
		(*p)++;
	}
	*ret = TAKE_PTR(object);
	return 0;
}

static int parse_json(const char *option, const char *text, json_t **ret, struct error *e)
{
	json_error_t where;
	_cleanup_json_ json_t *value = json_loads(text, JSON_REJECT_DUPLICATES, &where);
	if (!value)
		return error_set(e, ERROR_INVALID_PARAMETER, option, "--%s is not valid JSON: %s",
				 option, where.text);
	if (!json_is_object(value))
		return error_set(e, ERROR_INVALID_PARAMETER, option, "--%s is not a JSON object",
				 option);
	*ret = TAKE_PTR(value);
	return 0;
}

int shorthand_parse(const char *option, const char *text, json_t **ret, struct error *e)
{
	_cleanup_buf_ struct buf file = BUF_INIT;

	if (strncmp(text, "file://", 7) == 0) {
		int r = fs_read_file(text + 7, MAX_FILE_BYTES, &file);
		if (r < 0)
			return error_set(e, ERROR_INVALID_PARAMETER, option, "cannot read %s: %s",
					 text + 7, strerror(-r));
		return parse_json(option, buf_string(&file), ret, e);
	}
	while (isspace((unsigned char)*text))
		text++;
	if (*text == '{')
		return parse_json(option, text, ret, e);

	const char *p = text;
	_cleanup_json_ json_t *object = NULL;
	int r = parse_object(&p, 0, &object);
	if (r < 0 || *p)
		return error_set(e, ERROR_INVALID_PARAMETER, option,
				 "--%s takes Name=value,... or a JSON object, not '%s'", option,
				 text);
	*ret = TAKE_PTR(object);
	return 0;
}
