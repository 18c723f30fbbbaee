/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_schedules mayfly_base

/* Input: a file of tzdata. Of what is accepted every moment has an offset of less than 26 hours,
 * and what a local time means is shown at that moment. Nothing may be read beyond the end. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/schedules/zone.h"

#define STEP_S (40 * 86400LL)
#define END_S  7258118400LL /* the year 2200 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ uint8_t *copy = malloc(size + !size); /* without a NUL behind it */
	_cleanup_(zone_free_p) struct zone *zone = NULL;
	int64_t utc_s;

	if (!copy)
		return 0;
	if (size)
		memcpy(copy, data, size);
	if (zone_parse(slice_new(copy, size), &zone) < 0)
		return 0;
	for (int64_t t = 0; t < END_S; t += STEP_S) {
		int32_t offset = zone_offset(zone, t);

		if (offset < -90000 || offset > 93600)
			abort();
		if (zone_to_utc(zone, t, &utc_s) == 0 && utc_s + zone_offset(zone, utc_s) != t)
			abort();
	}
	return 0;
}
