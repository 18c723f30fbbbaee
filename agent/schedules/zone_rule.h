/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* "CET-1CEST,M3.5.0,M10.5.0/3": a zone's offsets from its last transition on (POSIX TZ, with the
 * extensions of RFC 9636: hours from -167 to 167). Private to this room. Pure; any thread. */

#include <stdbool.h>
#include <stdint.h>

#include "mayfly/buf.h"

enum zone_day_kind {
	ZONE_DAY_JULIAN, /* 1 to 365, without February 29 */
	ZONE_DAY_ZERO,   /* 0 to 365, with it */
	ZONE_DAY_MONTH,  /* a weekday's nth in a month, 5 for the last */
};

struct zone_day {
	enum zone_day_kind kind;
	unsigned day; /* of the year, or 0 for Sunday to 6 */
	unsigned month;
	unsigned week;
	int32_t time_s; /* of the clock before the change */
};

struct zone_rule {
	int32_t offset_s; /* ahead of UTC */
	bool has_summer;
	int32_t summer_offset_s;
	struct zone_day summer_begins;
	struct zone_day summer_ends;
};

/* 0 or -EBADMSG. */
int zone_rule_parse(struct slice text, struct zone_rule *ret) _must_use_;
int32_t zone_rule_offset(const struct zone_rule *rule, int64_t utc_s);
