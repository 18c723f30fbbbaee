/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How many bytes of ZIPs a tenant has: those of $LATEST of each function, of each published version
 * and of each layer version, as Lambda counts them; and its limit. Private to this room but for
 * directory_code_bytes() and directory_code_limit(); loop thread. */

#include "agent/deploy/change.h"

/* With the change there is not more than the tenant may have. */
int code_storage_check_change(struct change *change) _must_use_;
/* The same of `more` bytes for a layer version. */
int code_storage_check(const struct directory *directory, const char *tenant, uint64_t more,
		       struct error *error) _must_use_;
