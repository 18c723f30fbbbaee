/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/access_key_output.h"

#include "cli/output.h"
#include "mayfly/clock.h"

const char *name_of_role(int value)
{
	static const char *const names[] = {
		[MAYFLY__V1__ROLE__ROLE_UNSPECIFIED] = "",
		[MAYFLY__V1__ROLE__ROLE_ADMIN] = "admin",
		[MAYFLY__V1__ROLE__ROLE_DEVELOPER] = "developer",
		[MAYFLY__V1__ROLE__ROLE_INVOKER] = "invoker",
		[MAYFLY__V1__ROLE__ROLE_AUDITOR] = "auditor",
	};

	return value >= 0 && (size_t)value < ARRAY_SIZE(names) ? names[value] : "";
}

static const char *name_of_state(int value)
{
	return value == MAYFLY__V1__ACCESS_KEY_STATE__ACCESS_KEY_STATE_ACTIVE ? "Active"
									      : "Inactive";
}

const char *text_expiry(int64_t expires_at_us, char *out, size_t size)
{
	int64_t left = expires_at_us - clock_realtime_us();
	char text[TEXT_BYTES];

	if (expires_at_us == 0)
		return "never";
	if (left <= 0)
		return "expired";
	(void)snprintf(out, size, "in %s", text_duration(left, text));
	return out;
}

json_t *access_key_json(const Mayfly__V1__AccessKey *key)
{
	json_t *json = json_pack(
		"{s:s, s:s, s:s, s:s, s:s, s:I}", "AccessKeyId", key->access_key_id, "Tenant",
		key->tenant, "UserName", key->user, "Role", name_of_role((int)key->role), "Status",
		name_of_state((int)key->state), "CreatedAtUs", (json_int_t)key->created_at_us);

	if (key->expires_at_us)
		(void)json_object_set_new(json, "ExpiresAtUs",
					  json_integer((json_int_t)key->expires_at_us));
	return json;
}

int access_key_print(const struct context *context, const Mayfly__V1__AccessKey *key)
{
	char text[TEXT_BYTES + 8];

	if (context->json)
		return output_json(access_key_json(key));
	output_field("Access key", "%s", key->access_key_id);
	output_field("User", "%s of tenant %s", key->user, key->tenant);
	output_field("Role", "%s", name_of_role((int)key->role));
	output_field("State", "%s", name_of_state((int)key->state));
	output_field("Expires", "%s", text_expiry(key->expires_at_us, text, sizeof(text)));
	return 0;
}
