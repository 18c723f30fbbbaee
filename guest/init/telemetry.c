/* SPDX-License-Identifier: Apache-2.0 */

#include "telemetry.h"

#include <endian.h>
#include <errno.h>

#define TELEMETRY_TYPE_MASK  0xffff0000U
#define TELEMETRY_TYPE_MAGIC 0xa55a0000U

int telemetry_parse(struct slice in, size_t max, struct telemetry_frame *ret)
{
	uint32_t type, length;
	uint64_t time_us;

	if (in.len < sizeof(type))
		return 0;
	memcpy(&type, in.data, sizeof(type));
	if ((be32toh(type) & TELEMETRY_TYPE_MASK) != TELEMETRY_TYPE_MAGIC)
		return -EBADMSG;
	if (in.len < TELEMETRY_HEADER_BYTES)
		return 0;
	memcpy(&length, in.data + 4, sizeof(length));
	memcpy(&time_us, in.data + 8, sizeof(time_us));
	length = be32toh(length);
	if (length > max)
		return -EBADMSG;
	if (in.len - TELEMETRY_HEADER_BYTES < length)
		return 0;
	*ret = (struct telemetry_frame){
		.type = be32toh(type),
		.time_us = be64toh(time_us),
		.message = slice_new(in.data + TELEMETRY_HEADER_BYTES, length),
		.consumed = TELEMETRY_HEADER_BYTES + length,
	};
	return 1;
}
