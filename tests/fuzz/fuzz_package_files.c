/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_image

/* What lies beside a package's image: as it is, and once more under the digest that it should have,
 * which no fuzzer finds. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/digest.h"
#include "agent/image/package_files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse(struct slice bytes)
{
	Mayfly__Guest__V1__Compiled *bytecode;
	Mayfly__Guest__V1__Compile *files;

	if (package_files_parse(bytes, &files) >= 0)
		mayfly__guest__v1__compile__free_unpacked(files, NULL);
	if (package_bytecode_parse(bytes, &bytecode) >= 0)
		mayfly__guest__v1__compiled__free_unpacked(bytecode, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *bytes = malloc(DIGEST_BYTES + size);
	struct digest digest;

	parse(slice_new(data, size));
	if (bytes && digest_bytes(data, size, &digest) >= 0) {
		memcpy(bytes, digest.bytes, DIGEST_BYTES);
		if (size > 0)
			memcpy(bytes + DIGEST_BYTES, data, size);
		parse(slice_new(bytes, DIGEST_BYTES + size));
	}
	free(bytes);
	return 0;
}
