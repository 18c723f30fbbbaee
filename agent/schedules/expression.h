/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* When a schedule fires: rate(), cron() or at(), as Amazon EventBridge Scheduler writes them. Pure;
 * any thread. */

#include "agent/schedules/cron.h"
#include "agent/schedules/zone.h"
#include "mayfly/error.h"

#define EXPRESSION_MAX      256
#define EXPRESSION_RATE_MAX 999999 /* of its units */

enum expression_kind { EXPRESSION_RATE, EXPRESSION_CRON, EXPRESSION_AT };

struct expression {
	enum expression_kind kind;
	int64_t rate_s;     /* of a rate */
	int64_t at_local_s; /* of a one-time schedule */
	struct cron cron;
};

/* ValidationException in EventBridge's words, with the reason behind them. */
int expression_parse(const char *text, struct expression *ret, struct error *error) _must_use_;

/* Whether it can ever fire in that zone: a day that never comes or an hour that the zone's clocks
 * leap over is refused, with the text in the error. */
int expression_check(const struct expression *expression, const char *text, const struct zone *zone,
		     struct error *error) _must_use_;

/* The first occurrence after `after_us`, Unix times in microseconds. A rate counts from `base_us`,
 * on which it occurs first; -ENOENT: there is none. Of a local time that comes twice it is the
 * first; one that is leapt over does not occur. */
int expression_next(const struct expression *expression, const struct zone *zone, int64_t base_us,
		    int64_t after_us, int64_t *ret_us) _must_use_;
