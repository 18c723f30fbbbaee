/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_init_core

/* Log streams as a function writes them; the first byte says which and in what pieces. */

#include <stdint.h>

#include "guest/init/logs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct logs logs;
	struct event_loop loop;
	struct channel channel = { .source = EVENT_SOURCE_INIT };

	if (size < 1 || event_loop_open(&loop) < 0)
		return 0;
	logs = (struct logs){ 0 };
	logs_init(&logs, &loop, &channel);
	struct logs_stream *stream = &logs.streams[data[0] % _LOGS_STREAMS];
	size_t step = data[0] / _LOGS_STREAMS + 1;
	for (size_t at = 1; at < size; at += step)
		logs_feed(stream, slice_new(data + at, size - at < step ? size - at : step), 1);
	logs_close_pipes(&logs);
	buf_free(&logs.text);
	buf_free(&channel.out);
	event_loop_close(&loop);
	return 0;
}
