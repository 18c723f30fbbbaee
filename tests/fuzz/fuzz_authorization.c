/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_auth mayfly_functions mayfly_core mayfly_base

/* Input: the metadata "authorization". What is accepted must come out the same when it is put
 * together again, and nothing may be read beyond the end. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/auth/access_key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *text = malloc(size + !size); /* without a NUL behind it */
	_cleanup_buf_ struct buf again = BUF_INIT;
	char id[ACCESS_KEY_ID_BYTES];
	struct slice secret;

	if (!text)
		return 0;
	if (size)
		memcpy(text, data, size);
	if (access_key_parse(slice_new(text, size), id, &secret) == 0) {
		if (!access_key_id_is_valid(id) || secret.len == 0 ||
		    buf_append_format(&again, "Mayfly %s:", id) < 0 ||
		    buf_append(&again, secret.data, secret.len) < 0 || again.len != size ||
		    memcmp(again.data, data, size) != 0)
			abort();
		if (access_key_matches(NULL, secret))
			abort();
	}
	free(text);
	return 0;
}
