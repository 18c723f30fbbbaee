/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/schedules/zone.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/schedules/calendar.h"
#include "agent/schedules/zone_rule.h"
#include "mayfly/fs.h"

#define ZONE_FOLDER     "/usr/share/zoneinfo"
#define HEADER_BYTES    44
#define TRANSITIONS_MAX 2000 /* tzcode's own limits */
#define TYPES_MAX       256
#define OFFSET_MAX_S    93599 /* RFC 9636, section 3.2 */
#define OFFSET_MIN_S    (-89999)
/* No clock changes by more: the dateline was crossed by 24 hours. */
#define CHANGE_MAX_S    (26 * CALENDAR_HOUR_S)

struct zone {
	size_t count; /* of transitions */
	int64_t *times;
	int32_t *offsets;     /* from each transition on */
	int32_t first_offset; /* before the first */
	bool has_rule;
	struct zone_rule rule; /* from the last on */
};

struct header {
	uint8_t version;
	uint32_t ut_count, standard_count, leap_count, time_count, type_count, char_count;
};

static uint32_t read_u32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return be32toh(value);
}

static int64_t read_i64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return (int64_t)be64toh(value);
}

static int take(struct slice *rest, size_t len, const uint8_t **ret)
{
	if (rest->len < len)
		return -EBADMSG;
	*ret = rest->data;
	*rest = slice_new(rest->data + len, rest->len - len);
	return 0;
}

static int take_header(struct slice *rest, struct header *ret)
{
	const uint8_t *at;

	if (take(rest, HEADER_BYTES, &at) < 0 || memcmp(at, "TZif", 4) != 0)
		return -EBADMSG;
	*ret = (struct header){
		.version = at[4],
		.ut_count = read_u32(at + 20),
		.standard_count = read_u32(at + 24),
		.leap_count = read_u32(at + 28),
		.time_count = read_u32(at + 32),
		.type_count = read_u32(at + 36),
		.char_count = read_u32(at + 40),
	};
	/* Files with leap seconds do not count as POSIX does. */
	if (ret->time_count > TRANSITIONS_MAX || ret->type_count > TYPES_MAX ||
	    ret->type_count == 0 || ret->char_count > ZONE_FILE_BYTES ||
	    ret->ut_count > TYPES_MAX || ret->standard_count > TYPES_MAX || ret->leap_count > 0)
		return -EBADMSG;
	return 0;
}

static size_t data_bytes(const struct header *header, size_t time_bytes)
{
	return header->time_count * (time_bytes + 1) + header->type_count * 6 + header->char_count +
	       header->standard_count + header->ut_count;
}

static int take_offset(const struct header *header, const uint8_t *types, unsigned type,
		       int32_t *ret)
{
	if (type >= header->type_count)
		return -EBADMSG;
	*ret = (int32_t)read_u32(types + (size_t)type * 6);
	return *ret < OFFSET_MIN_S || *ret > OFFSET_MAX_S ? -EBADMSG : 0;
}

static int fill_transitions(struct zone *zone, const struct header *header, const uint8_t *data)
{
	const uint8_t *indexes = data + header->time_count * sizeof(int64_t);
	const uint8_t *types = indexes + header->time_count;
	int r = take_offset(header, types, 0, &zone->first_offset);

	zone->times = calloc(header->time_count + 1, sizeof(*zone->times));
	zone->offsets = calloc(header->time_count + 1, sizeof(*zone->offsets));
	if (!zone->times || !zone->offsets)
		return -ENOMEM;
	for (size_t i = 0; i < header->time_count && r == 0; i++) {
		zone->times[i] = read_i64(data + i * sizeof(int64_t));
		if (i > 0 && zone->times[i] <= zone->times[i - 1])
			return -EBADMSG;
		r = take_offset(header, types, indexes[i], &zone->offsets[i]);
	}
	zone->count = header->time_count;
	return r;
}

/* Between two newlines; empty: as the last transition left it. */
static int take_rule(struct slice rest, struct zone *zone)
{
	if (rest.len < 2 || rest.data[0] != '\n' || rest.data[rest.len - 1] != '\n')
		return -EBADMSG;
	if (rest.len == 2)
		return 0;
	zone->has_rule = true;
	return zone_rule_parse(slice_new(rest.data + 1, rest.len - 2), &zone->rule);
}

int zone_parse(struct slice bytes, struct zone **ret)
{
	_cleanup_(zone_free_p) struct zone *zone = calloc(1, sizeof(*zone));
	struct header header;
	const uint8_t *data;
	int r;

	if (!zone)
		return -ENOMEM;
	/* A part of 32 bits for the readers of old, then the real one. */
	r = take_header(&bytes, &header);
	if (r < 0 || header.version < '2')
		return -EBADMSG;
	r = take(&bytes, data_bytes(&header, 4), &data);
	if (r == 0)
		r = take_header(&bytes, &header);
	if (r == 0)
		r = take(&bytes, data_bytes(&header, 8), &data);
	if (r == 0)
		r = fill_transitions(zone, &header, data);
	if (r == 0)
		r = take_rule(bytes, zone);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(zone);
	return 0;
}

/* A relative path of names; not the node's own zone, nor those that count leap seconds. */
static bool is_zone_name(const char *name)
{
	static const char *const others[] = { "localtime", "posixrules", "posix/", "right/" };
	size_t len = strlen(name);

	if (len == 0 || len > ZONE_NAME_MAX || name[0] == '/' || strstr(name, "//") ||
	    strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/") !=
		    len)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (strncmp(name, others[i], strlen(others[i])) == 0)
			return false;
	return true;
}

static int refuse_name(const char *name, struct error *error)
{
	return error_set(error, ERROR_INVALID_PARAMETER, "schedule_expression_timezone",
			 "Invalid Schedule Expression Timezone %.*s.", ZONE_NAME_MAX, name);
}

int zone_load(const char *name, struct zone **ret, struct error *error)
{
	_cleanup_buf_ struct buf bytes = BUF_INIT;
	char path[sizeof(ZONE_FOLDER) + ZONE_NAME_MAX + 1];
	int r;

	if (!is_zone_name(name))
		return refuse_name(name, error);
	(void)snprintf(path, sizeof(path), ZONE_FOLDER "/%s", name);
	r = fs_read_file(path, ZONE_FILE_BYTES, &bytes);
	if (r == 0)
		r = zone_parse(buf_slice(&bytes), ret);
	if (r == -ENOENT && !fs_exists(ZONE_FOLDER))
		return error_set(error, ERROR_UNAVAILABLE, NULL,
				 "The node has no time zones: Debian's package tzdata is missing.");
	if (r == -ENOENT || r == -ENOTDIR || r == -EISDIR || r == -EFBIG || r == -EBADMSG)
		return refuse_name(name, error);
	return r < 0 ? error_set_errno(error, r, "Cannot read time zone %s", name) : 0;
}

struct zone *zone_free(struct zone *zone)
{
	if (!zone)
		return NULL;
	free(zone->times);
	free(zone->offsets);
	free(zone);
	return NULL;
}

/* How many transitions were before. */
static size_t count_before(const struct zone *zone, int64_t utc_s)
{
	size_t low = 0, high = zone->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (zone->times[middle] <= utc_s)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int32_t zone_offset(const struct zone *zone, int64_t utc_s)
{
	size_t before = count_before(zone, utc_s);

	if (before == zone->count && zone->has_rule)
		return zone_rule_offset(&zone->rule, utc_s);
	return before > 0 ? zone->offsets[before - 1] : zone->first_offset;
}

/* Whichever offset it was, it was one of those around. */
int zone_to_utc(const struct zone *zone, int64_t local_s, int64_t *ret_utc_s)
{
	int32_t offsets[4] = { zone_offset(zone, local_s - CHANGE_MAX_S),
			       zone_offset(zone, local_s + CHANGE_MAX_S) };
	bool found = false;

	offsets[2] = zone_offset(zone, local_s - offsets[0]);
	offsets[3] = zone_offset(zone, local_s - offsets[1]);
	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		int64_t utc_s = local_s - offsets[i];

		if (zone_offset(zone, utc_s) != offsets[i] || (found && utc_s >= *ret_utc_s))
			continue;
		*ret_utc_s = utc_s;
		found = true;
	}
	return found ? 0 : -ENOENT;
}
