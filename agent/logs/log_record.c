/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/logs/log_record.h"

#include <endian.h>
#include <errno.h>

struct header {
	uint32_t length;
	uint32_t check;
	int64_t time_us;
	int64_t ingestion_us;
};
_Static_assert(sizeof(struct header) == LOG_RECORD_HEADER_BYTES, "no padding");

/* FNV-1a: it has to find torn writes, not forgeries. */
static uint32_t check_add(uint32_t hash, const void *data, size_t len)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ bytes[i]) * 16777619U;
	return hash;
}

/* The length takes part, so that a run of zeroes is no record. */
static uint32_t record_check(const struct header *header, struct slice text)
{
	uint32_t hash = check_add(2166136261U, &header->length, sizeof(header->length));

	hash = check_add(hash, &header->time_us, 2 * sizeof(header->time_us));
	return check_add(hash, text.data, text.len);
}

struct log_place log_record_place(const struct log_record *record)
{
	return (struct log_place){ record->time_us, record->ingestion_us };
}

int log_place_compare(struct log_place a, struct log_place b)
{
	if (a.time_us != b.time_us)
		return a.time_us < b.time_us ? -1 : 1;
	if (a.ingestion_us != b.ingestion_us)
		return a.ingestion_us < b.ingestion_us ? -1 : 1;
	return 0;
}

int log_record_append(struct buf *to, const struct log_record *record)
{
	struct header header;
	int r;

	if (record->text.len > LOG_RECORD_TEXT_MAX_BYTES)
		return -EMSGSIZE;
	header = (struct header){
		.length = htole32((uint32_t)record->text.len),
		.time_us = (int64_t)htole64((uint64_t)record->time_us),
		.ingestion_us = (int64_t)htole64((uint64_t)record->ingestion_us),
	};
	header.check = htole32(record_check(&header, record->text));
	/* All or nothing: half a record would hide those behind it. */
	r = buf_reserve(to, sizeof(header) + record->text.len);
	if (r < 0)
		return r;
	r = buf_append(to, &header, sizeof(header));
	if (r < 0 || record->text.len == 0)
		return r;
	return buf_append(to, record->text.data, record->text.len);
}

int log_record_parse(struct slice in, struct log_record *ret, size_t *ret_consumed)
{
	struct header header;
	struct slice text;
	uint32_t length;

	if (in.len < sizeof(header))
		return 0;
	memcpy(&header, in.data, sizeof(header));
	length = le32toh(header.length);
	if (length > LOG_RECORD_TEXT_MAX_BYTES)
		return -EBADMSG;
	if (in.len - sizeof(header) < length)
		return 0;
	text = slice_new(in.data + sizeof(header), length);
	if (le32toh(header.check) != record_check(&header, text))
		return -EBADMSG;
	*ret = (struct log_record){
		.time_us = (int64_t)le64toh((uint64_t)header.time_us),
		.ingestion_us = (int64_t)le64toh((uint64_t)header.ingestion_us),
		.text = text,
	};
	*ret_consumed = sizeof(header) + length;
	return 1;
}
