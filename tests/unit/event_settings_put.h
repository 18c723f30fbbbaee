/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Destinations of a function in tests, set and waited for. After event_harness.h. */

#include "agent/events/event_settings.h"

static bool are_settings_put;

static void on_settings_put(const struct event_settings *settings _unused_,
			    const struct error *error, void *arg _unused_)
{
	assert_null(error);
	are_settings_put = true;
}

static bool is_settings_put(void)
{
	return are_settings_put;
}

static void _unused_ put_settings_of(const char *name, const char *on_success,
				     const char *on_failure)
{
	struct event_settings_key key = { .tenant = TENANT, .qualifier = "live" };
	struct event_settings settings = { 0 };

	(void)snprintf(key.function, sizeof(key.function), "%s", name);
	(void)snprintf(settings.on_success, sizeof(settings.on_success), "%s", on_success);
	(void)snprintf(settings.on_failure, sizeof(settings.on_failure), "%s", on_failure);
	are_settings_put = false;
	assert_int_equal(
		event_settings_put(place->queue, &key, &settings, on_settings_put, NULL, NULL), 0);
	turn_until(is_settings_put);
}

static void _unused_ put_settings(const char *on_success, const char *on_failure)
{
	put_settings_of("f", on_success, on_failure);
}
