/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "agent/vm/qmp.h"

static int parse_id(const json_t *root, uint64_t *ret)
{
	const json_t *id = json_object_get(root, "id");

	if (!json_is_integer(id) || json_integer_value(id) < 0)
		return -EBADMSG;
	*ret = (uint64_t)json_integer_value(id);
	return 0;
}

static int classify(struct qmp_line *line)
{
	const json_t *value;

	value = json_object_get(line->root, "event");
	if (json_is_string(value)) {
		line->kind = QMP_EVENT;
		line->text = json_string_value(value);
		value = json_object_get(line->root, "data");
		line->data = json_is_object(value) ? value : NULL;
		return 0;
	}
	value = json_object_get(line->root, "return");
	if (value) {
		line->kind = QMP_REPLY;
		line->data = value;
		return parse_id(line->root, &line->id);
	}
	value = json_object_get(line->root, "error");
	if (json_is_object(value)) {
		line->kind = QMP_ERROR;
		line->text = json_string_value(json_object_get(value, "desc"));
		if (!line->text)
			return -EBADMSG;
		return parse_id(line->root, &line->id);
	}
	line->kind = json_object_get(line->root, "QMP") ? QMP_GREETING : QMP_OTHER;
	return 0;
}

int qmp_line_parse(struct slice text, struct qmp_line *ret)
{
	struct qmp_line line = { 0 };

	if (text.len > QMP_LINE_BYTES)
		return -EBADMSG;
	line.root = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(line.root) || classify(&line) < 0) {
		qmp_line_clear(&line);
		return -EBADMSG;
	}
	*ret = line;
	return 0;
}

void qmp_line_clear(struct qmp_line *line)
{
	json_decref(line->root);
	*line = (struct qmp_line){ 0 };
}
