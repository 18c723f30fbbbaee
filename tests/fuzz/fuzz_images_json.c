/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_image

/* images.json of any content: read or refused with a text. */

#include <assert.h>

#include "agent/image/runtime_catalogue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(runtime_catalogue_free_p) struct runtime_catalogue *catalogue = NULL;
	_cleanup_error_ struct error error = ERROR_INIT;

	if (runtime_catalogue_parse(slice_new(data, size), "/images", &catalogue, &error) < 0) {
		assert(!catalogue && error.code && error.message);
		return 0;
	}
	assert(runtime_catalogue_count(catalogue) > 0);
	for (size_t i = 0; i < runtime_catalogue_count(catalogue); i++) {
		const struct runtime_image *image = runtime_catalogue_at(catalogue, i);
		assert(runtime_catalogue_find(catalogue, image->name) == image);
		assert(image->file.size_bytes > 0);
	}
	return 0;
}
