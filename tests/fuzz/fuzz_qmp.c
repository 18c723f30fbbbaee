/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_vm

#include <stddef.h>
#include <stdint.h>

#include "agent/vm/qmp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct qmp_line line;

	if (qmp_line_parse(slice_new(data, size), &line) >= 0)
		qmp_line_clear(&line);
	return 0;
}
