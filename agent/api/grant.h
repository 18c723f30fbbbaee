/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the table of methods leaves to the policies of functions: a user of another tenant, or one
 * whose role is not enough, may be let in by the function that they name. Loop thread. */

#include "agent/auth/access.h"
#include "agent/deploy/directory.h"

struct grant_question {
	const struct access_row *row; /* with a grant */
	const struct principal *user;
	const char *tenant; /* that the request names, "" for none */
	const char *function_name;
	const char *qualifier;
	bool is_refused; /* by the table; else a function of the own tenant needs no grant */
};

/* Whose function it is, when its policy lets them. Nothing is told of one that does not, or is not
 * there: the answer is the table's. */
bool grant_find(const struct directory *directory, const struct grant_question *question,
		char ret_owner[TENANT_ID_BYTES]);
