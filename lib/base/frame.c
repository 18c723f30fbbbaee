/* SPDX-License-Identifier: Apache-2.0 */

#include "mayfly/frame.h"

#include <errno.h>

void frame_put_header(uint8_t out[FRAME_HEADER_BYTES], uint32_t len)
{
	for (unsigned i = 0; i < FRAME_HEADER_BYTES; i++)
		out[i] = (uint8_t)(len >> (8 * i));
}

int frame_parse(struct slice in, struct slice *ret_body, size_t *ret_consumed)
{
	if (in.len < FRAME_HEADER_BYTES)
		return 0;
	uint32_t len = 0;
	for (unsigned i = 0; i < FRAME_HEADER_BYTES; i++)
		len |= (uint32_t)in.data[i] << (8 * i);
	if (len > FRAME_MAX_BYTES)
		return -EBADMSG;
	if (in.len - FRAME_HEADER_BYTES < len)
		return 0;
	*ret_body = slice_new(in.data + FRAME_HEADER_BYTES, len);
	*ret_consumed = FRAME_HEADER_BYTES + len;
	return 1;
}
