/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A time zone of the IANA database, as tzdata installs it (RFC 9636, TZif version 2 or later, with
 * the POSIX rule at its end for the time after the last transition). The C library has one zone
 * for a whole process; this is a value, immutable once it is made, for any thread. */

#include <stddef.h>
#include <stdint.h>

#include "mayfly/buf.h"
#include "mayfly/cleanup.h"
#include "mayfly/error.h"

#define ZONE_NAME_MAX   50
#define ZONE_FILE_BYTES (64U << 10) /* the largest of 2025 has 4 KiB */

struct zone;

/* 0, -ENOMEM, or -EBADMSG for what is no such file. */
int zone_parse(struct slice bytes, struct zone **ret) _must_use_;
/* "UTC", "Europe/Berlin": reads /usr/share/zoneinfo, so it blocks. */
int zone_load(const char *name, struct zone **ret, struct error *error) _must_use_;
struct zone *zone_free(struct zone *zone);
DEFINE_CLEANUP(struct zone, zone_free)

/* What the zone's clocks are ahead of UTC at that moment, in seconds. */
int32_t zone_offset(const struct zone *zone, int64_t utc_s);

/* The first moment at which the zone's clocks showed `local_s`. -ENOENT: they leapt over it. */
int zone_to_utc(const struct zone *zone, int64_t local_s, int64_t *ret_utc_s) _must_use_;
