/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files about policies share. */

#include "agent/functions/policy.h"

#define POLICY_USER_MAX 128 /* bytes of a name that a caller can have */

int policy_validate_sid(const char *sid, struct error *error) _must_use_;

/* All but the principal. */
int policy_validate(const struct policy_request *request, struct error *error) _must_use_;

/* As it is kept: an account's id becomes the ARN of its root. The caller frees. */
int policy_parse_principal(const char *text, enum policy_principal *ret_kind, char **ret,
			   struct error *error) _must_use_;
