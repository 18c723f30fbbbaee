/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_auth mayfly_functions mayfly_core mayfly_base

/* Input: the URI of a client's certificate. What is accepted has one spelling: put together again
 * it is the same. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/auth/spiffe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *uri = malloc(size + 1), again[512];
	struct principal who;

	if (!uri)
		return 0;
	memcpy(uri, data, size);
	uri[size] = 0;
	if (spiffe_parse(uri, "mayfly.example", &who) == 0) {
		(void)snprintf(again, sizeof(again),
			       "spiffe://mayfly.example/tenant/%s/role/%s/user/%s", who.tenant,
			       role_name(who.role), who.name);
		if (strcmp(again, uri) != 0 || who.kind != PRINCIPAL_USER || !spiffe_is_user(uri))
			abort();
	}
	free(uri);
	return 0;
}
