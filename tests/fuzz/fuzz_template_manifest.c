/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_vm

#include <stddef.h>
#include <stdint.h>

#include "agent/vm/template_manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct template_manifest manifest;
	struct error error = ERROR_INIT;
	char *text;

	if (template_manifest_parse(slice_new(data, size), &manifest, &error) >= 0 &&
	    template_manifest_format(&manifest, &text) >= 0)
		free(text);
	error_clear(&error);
	return 0;
}
