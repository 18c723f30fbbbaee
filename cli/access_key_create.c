/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>

#include "cli/access_key_output.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "mayfly/clock.h"
#include "mayfly/fs.h"

static int find_role(const char *text)
{
	for (int role = MAYFLY__V1__ROLE__ROLE_ADMIN; role <= MAYFLY__V1__ROLE__ROLE_AUDITOR;
	     role++)
		if (strcmp(text, name_of_role(role)) == 0)
			return role;
	return MAYFLY__V1__ROLE__ROLE_UNSPECIFIED;
}

static int print(const struct context *context, const Mayfly__V1__CreateAccessKeyResponse *made)
{
	if (context->json) {
		json_t *key = access_key_json(made->access_key);
		(void)json_object_set_new(key, "SecretAccessKey",
					  json_string(made->secret_access_key));
		return output_json(json_pack("{s:o}", "AccessKey", key));
	}
	int r = access_key_print(context, made->access_key);
	output_field("Secret", "%s", made->secret_access_key);
	output_field("", "Nobody can see the secret again.");
	return r;
}

/* What --access-key-file reads. */
static int write_file(struct context *context, const char *path,
		      const Mayfly__V1__CreateAccessKeyResponse *made)
{
	_cleanup_free_ char *text = NULL;

	if (asprintf(&text, "%s:%s\n", made->access_key->access_key_id, made->secret_access_key) <
	    0)
		return error_set_errno(&context->error, ENOMEM, "cannot write %s", path);
	int r = fs_write_file_atomic(path, slice_from_string(text), 0600);
	if (r < 0)
		return error_set_errno(&context->error, r, "cannot write %s", path);
	return 0;
}

static int run(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__CreateAccessKeyResponse *made = NULL;
	Mayfly__V1__CreateAccessKeyRequest request = MAYFLY__V1__CREATE_ACCESS_KEY_REQUEST__INIT;
	const char *role = argument(arguments, "role");
	int64_t expires_in_us = 0;

	int r = argument_duration(arguments, "expires-in", &expires_in_us, &context->error);
	if (r < 0)
		return r;
	request.user = (char *)operand(arguments, 0);
	request.role = (Mayfly__V1__Role)find_role(role ? role : "developer");
	request.expires_at_us = expires_in_us ? clock_realtime_us() + expires_in_us : 0;
	r = client_access_key_create(context->client, &request, &made, &context->error);
	if (r < 0)
		return r;
	if (argument(arguments, "to-file"))
		return write_file(context, argument(arguments, "to-file"), made);
	return print(context, made);
}

static const struct verb_option options[] = {
	{ "role", 0, OPTION_CHOICE, "admin|developer|invoker|auditor", "developer by default" },
	{ "expires-in", 0, OPTION_TEXT, "TIME", "30d, 12h and so on; never by default" },
	{ "to-file", 0, OPTION_FILE, "FILE",
	  "write it there, as --access-key-file reads it, and print nothing" },
	{ 0 },
};

const struct verb verb_access_key_create = {
	.name = "access-key create",
	.operands = "USER",
	.min = 1,
	.max = 1,
	.summary = "Make an access key for a user of a tenant",
	.help = "admin may do everything in the tenant, developer deploy, invoke and read, "
		"invoker\n"
		"only invoke, auditor only read. The secret is shown this once.\n\n"
		"Examples:\n"
		"  mayfly access-key create ann --tenant 210987654321 --role admin\n"
		"  mayfly access-key create ci --expires-in 90d --to-file ./ci.key\n",
	.options = options,
	.run = run,
};
