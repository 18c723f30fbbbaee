/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/webhook_output.h"

#include "cli/output.h"
#include "mayfly/clock.h"

static int print_json(const Mayfly__V1__WebhookSecret *secret)
{
	json_t *json = json_pack("{s:s, s:s, s:s}", "Tenant", secret->tenant, "Url", secret->url,
				 "Secret", secret->secret);

	if (secret->rotated_at_us)
		(void)json_object_set_new(json, "RotatedAtUs",
					  json_integer((json_int_t)secret->rotated_at_us));
	if (secret->previous_until_us)
		(void)json_object_set_new(json, "PreviousUntilUs",
					  json_integer((json_int_t)secret->previous_until_us));
	return output_json(json);
}

int webhook_secret_output(const struct context *context, const Mayfly__V1__WebhookSecret *secret)
{
	int64_t left_us = secret->previous_until_us - clock_realtime_us();
	char text[TEXT_BYTES];

	if (context->json)
		return print_json(secret);
	output_field("Webhook", "%s", secret->url);
	output_field("Secret", "%s", secret->secret);
	if (secret->previous_until_us && left_us > 0)
		output_field("Former secret", "signs, too, for another %s",
			     text_duration(left_us, text));
	return 0;
}
