/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The policy in a record of a function or an alias. Private to this room. Any thread. */

#include "agent/functions/policy.h"
#include "mayfly/store/v1/function.pb-c.h"

/* Statements of a message, which borrow the policy's texts. */
struct policy_message {
	Mayfly__Store__V1__StoredStatement *statements;
	Mayfly__Store__V1__StoredStatement **pointers;
	size_t count;
};

/* 0 or -ENOMEM; cleared in any case. */
int record_fill_policy(const struct policy *policy, struct policy_message *to) _must_use_;
void record_clear_policy(struct policy_message *message);

/* 0, -ENOMEM, or -EUCLEAN when it is damaged. *ret is NULL of none. */
int record_decode_policy(Mayfly__Store__V1__StoredStatement *const *statements, size_t count,
			 struct policy **ret) _must_use_;
