/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Aliases: a name of a function's that leads to one version, or to two by chance. Pure values and
 * rules as in function.h; a struct alias owns its strings. */

#include "agent/functions/function.h"
#include "mayfly/id.h"

#define ALIAS_NAME_MAX 128

struct alias {
	char *name;
	char *description;
	uint64_t version; /* 0: $LATEST, which has no second one */
	bool is_weighted;
	uint64_t additional_version; /* with is_weighted, as the next */
	double weight;               /* the probability of the additional one, 0.0 to 1.0 */
	unsigned provisioned;        /* sandboxes of `version` that are kept initialised; 0: none */
	int64_t provisioned_us;      /* realtime: when that was said last */
	struct policy *policy;       /* who else may do what through it; NULL: nobody */
	char revision_id[UUID_BYTES];
};

struct alias *alias_free(struct alias *alias);
DEFINE_CLEANUP(struct alias, alias_free)
int alias_copy(const struct alias *from, struct alias **ret) _must_use_;

/* The values a tenant gives: NULL is not given. All borrowed. */
struct alias_weight {
	const char *version;
	double weight;
};
struct alias_patch {
	const char *version;
	const char *description;
	bool has_routing; /* replaces it; without weights it is cleared */
	const struct alias_weight *weights;
	size_t weight_count;
};

/* Puts what is given over the alias, with a new revision, and checks the whole; that its versions
 * are there is the caller's. After an error the alias is of no use. */
int alias_apply(struct alias *alias, const struct alias_patch *patch,
		struct error *error) _must_use_;

/* Letters, digits, hyphens and underscores, at most 128, not digits alone. */
int alias_validate_name(const char *name, struct error *error) _must_use_;

bool alias_leads_to(const struct alias *alias, uint64_t version);

/* The version that runs; `point` is drawn evenly from 0 to below 1. */
uint64_t alias_choose(const struct alias *alias, double point);
