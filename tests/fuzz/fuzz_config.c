/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_config mayfly_base

/* The configuration file: any bytes give problems or values, and each value obeys its bounds. */

#include <stdint.h>
#include <stdlib.h>

#include "agent/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore(const char *name, unsigned line, const char *text, void *arg)
{
	(void)name;
	(void)line;
	(void)text;
	(void)arg;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_config_ struct config config = CONFIG_INIT;
	if (config_set_defaults(&config) < 0)
		return 0;
	if (config_parse(&config, slice_new(data, size), "fuzz", ignore, NULL) < 0)
		return 0;

	size_t count;
	const struct config_row *rows = config_rows(&count);
	for (size_t i = 0; i < count; i++) {
		const void *field = (const char *)&config + rows[i].offset;
		if (rows[i].kind == CONFIG_NUMBER && (*(const uint64_t *)field < rows[i].min ||
						      *(const uint64_t *)field > rows[i].max))
			abort();
		if (rows[i].kind == CONFIG_PATH && !rows[i].optional &&
		    **(char *const *)field != '/')
			abort();
	}
	return 0;
}
