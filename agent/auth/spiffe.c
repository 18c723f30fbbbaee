/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/auth/spiffe.h"

#include <errno.h>
#include <string.h>

#include "agent/auth/access_key.h"

#define SCHEME      "spiffe://"
/* Of a path's segments: no escapes, so that nothing has two spellings. */
#define SEGMENT     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"
#define SEGMENT_MAX ACCESS_KEY_USER_MAX
#define TENANT_WORD "/tenant/"

/* "/WORD/VALUE" at *rest, which is passed. */
static bool take(const char **rest, const char *word, char value[SEGMENT_MAX + 1])
{
	const char *at = *rest;
	size_t len;

	if (*at != '/' || strncmp(at + 1, word, strlen(word)) != 0)
		return false;
	at += 1 + strlen(word);
	if (*at != '/')
		return false;
	at++;
	len = strspn(at, SEGMENT);
	if (len == 0 || len > SEGMENT_MAX || (at[len] && at[len] != '/'))
		return false;
	memcpy(value, at, len);
	value[len] = 0;
	*rest = at + len;
	return strcmp(value, ".") != 0 && strcmp(value, "..") != 0;
}

static bool find_role(const char *name, enum role *ret)
{
	for (unsigned role = 0; role < ROLE_COUNT; role++)
		if (strcmp(role_name((enum role)role), name) == 0) {
			*ret = (enum role)role;
			return true;
		}
	return false;
}

int spiffe_parse(const char *uri, const char *trust_domain, struct principal *ret)
{
	char tenant[SEGMENT_MAX + 1], role_text[SEGMENT_MAX + 1], user[SEGMENT_MAX + 1];
	size_t scheme = strlen(SCHEME), domain = strlen(trust_domain);
	const char *rest;
	enum role role;

	if (strncmp(uri, SCHEME, scheme) != 0 || domain == 0 ||
	    strncmp(uri + scheme, trust_domain, domain) != 0)
		return -EINVAL;
	rest = uri + scheme + domain;
	if (!take(&rest, "tenant", tenant) || !take(&rest, "role", role_text) ||
	    !take(&rest, "user", user) || *rest)
		return -EINVAL;
	if (!tenant_id_is_valid(tenant) || !find_role(role_text, &role) ||
	    access_key_validate_user(user, NULL) < 0)
		return -EINVAL;
	*ret = (struct principal){ .kind = PRINCIPAL_USER, .role = role };
	memcpy(ret->tenant, tenant, sizeof(ret->tenant));
	memcpy(ret->name, user, strlen(user) + 1);
	return 0;
}

bool spiffe_is_user(const char *uri)
{
	const char *path;

	if (strncmp(uri, SCHEME, strlen(SCHEME)) != 0)
		return false;
	path = strchr(uri + strlen(SCHEME), '/');
	return path && strncmp(path, TENANT_WORD, strlen(TENANT_WORD)) == 0;
}
