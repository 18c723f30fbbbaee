/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tenants/keys.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "agent/tenants/edit.h"
#include "mayfly/clock.h"

/* -- looking up -- */

static struct key_entry *find(const struct tenants *tenants, const char *id)
{
	struct key_entry *entry;

	HASH_FIND_STR(tenants->keys, id, entry);
	return entry;
}

size_t keys_list(const struct tenants *tenants, const char *tenant,
		 const struct access_key *ret[ACCESS_KEYS_MAX])
{
	size_t count = 0;

	for (const struct key_entry *entry = tenants->keys; entry; entry = entry->hh.next)
		if (strcmp(entry->key.tenant, tenant) == 0 && count < ACCESS_KEYS_MAX)
			ret[count++] = &entry->key;
	return count;
}

int keys_authenticate(const struct tenants *tenants, struct slice authorization, int64_t now_us,
		      struct principal *ret)
{
	char id[ACCESS_KEY_ID_BYTES];
	struct slice secret;
	const struct key_entry *entry;
	const struct access_key *key;

	if (access_key_parse(authorization, id, &secret) < 0)
		return -EPERM;
	entry = find(tenants, id);
	key = entry ? &entry->key : NULL;
	if (!access_key_matches(key, secret) || !key || !access_key_is_usable(key, now_us) ||
	    !tenants_find(tenants, key->tenant))
		return -EPERM;
	*ret = (struct principal){ .kind = PRINCIPAL_USER,
				   .role = key->role,
				   .expires_us = key->expires_us };
	(void)snprintf(ret->name, sizeof(ret->name), "%s", key->user);
	(void)snprintf(ret->tenant, sizeof(ret->tenant), "%s", key->tenant);
	(void)snprintf(ret->key_id, sizeof(ret->key_id), "%s", key->id);
	return 0;
}

/* -- in memory -- */

static int by_id(const struct key_entry *a, const struct key_entry *b)
{
	return strcmp(a->key.id, b->key.id);
}

void keys_install(struct tenants *tenants, const struct access_key *key)
{
	struct key_entry *entry = find(tenants, key->id);

	if (entry) {
		entry->key = *key;
		return;
	}
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		abort(); /* as loop_post() */
	entry->key = *key;
	HASH_ADD_KEYPTR_INORDER(hh, tenants->keys, entry->key.id, ACCESS_KEY_ID_CHARS, entry,
				by_id);
}

static void forget(struct tenants *tenants, struct key_entry *entry)
{
	HASH_DEL(tenants->keys, entry);
	free(entry);
}

void keys_forget_tenant(struct tenants *tenants, const char *tenant)
{
	struct key_entry *entry, *next;

	HASH_ITER (hh, tenants->keys, entry, next)
		if (!tenant || strcmp(entry->key.tenant, tenant) == 0)
			forget(tenants, entry);
}

/* -- changing -- */

struct key_edit {
	struct edit edit;
	int (*begin)(struct key_edit *edit);
	keys_answer_fn *answer;
	void *arg;
	bool inactive; /* wanted */
	bool deletes;
	struct access_key key; /* the request, then as it shall be */
	char secret[ACCESS_KEY_SECRET_BYTES];
};

static struct key_edit *of(struct edit *edit)
{
	return container_of(edit, struct key_edit, edit);
}

static int begin(struct edit *base)
{
	struct key_edit *edit = of(base);
	int r = edit_check_request(base);

	if (r == 0 && !tenants_find(base->tenants, edit->key.tenant))
		r = tenant_set_not_found(edit->key.tenant, &base->error);
	if (r == 0)
		r = edit->begin(edit);
	if (r == 0 && !edit->deletes)
		r = record_encode_access_key(&edit->key, &base->value);
	if (r < 0)
		return r;
	record_access_key_key(edit->key.id, edit->deletes ? edit_remove(base) : edit_put(base));
	return 0;
}

static void install(struct edit *base)
{
	struct key_edit *edit = of(base);

	if (edit->deletes)
		forget(base->tenants, find(base->tenants, edit->key.id));
	else
		keys_install(base->tenants, &edit->key);
}

static void answer(struct edit *base, const struct error *error)
{
	struct key_edit *edit = of(base);

	edit->answer(error || edit->deletes ? NULL : &edit->key,
		     !error && edit->secret[0] ? edit->secret : NULL, error, edit->arg);
}

static void clear(struct edit *base)
{
	OPENSSL_cleanse(of(base)->secret, ACCESS_KEY_SECRET_BYTES);
}

static const struct edit_kind key_kind = {
	.begin = begin,
	.install = install,
	.answer = answer,
	.free = clear,
};

static int begin_create(struct key_edit *edit)
{
	const struct access_key *others[ACCESS_KEYS_MAX];
	struct tenants *tenants = edit->edit.tenants;

	if (keys_list(tenants, edit->key.tenant, others) == ACCESS_KEYS_MAX)
		return error_set(&edit->edit.error, ERROR_CONFLICT, NULL,
				 "Tenant %s has %d access keys already.", edit->key.tenant,
				 ACCESS_KEYS_MAX);
	edit->key.created_us = clock_realtime_us();
	return access_key_draw(&edit->key, &tenants->master, edit->secret);
}

/* A key of another tenant is one that is not there. */
static int take_present(struct key_edit *edit)
{
	const struct key_entry *entry = find(edit->edit.tenants, edit->key.id);

	if (!entry || strcmp(entry->key.tenant, edit->key.tenant) != 0)
		return error_set(&edit->edit.error, ERROR_NOT_FOUND, "access_key_id",
				 "Access key not found: %s", edit->key.id);
	edit->key = entry->key;
	return 0;
}

static int begin_set_inactive(struct key_edit *edit)
{
	int r = take_present(edit);

	if (r == 0)
		edit->key.inactive = edit->inactive;
	return r;
}

static int begin_delete(struct key_edit *edit)
{
	edit->deletes = true;
	return take_present(edit);
}

static struct key_edit *new_change(struct tenants *tenants, int (*begins)(struct key_edit *edit),
				   const char *tenant, keys_answer_fn *answers, void *arg)
{
	struct key_edit *edit = of(edit_new(tenants, &key_kind, sizeof(struct key_edit)));

	edit->begin = begins;
	edit->answer = answers;
	edit->arg = arg;
	if (tenant_validate_id(tenant, &edit->edit.error) == 0)
		(void)snprintf(edit->key.tenant, sizeof(edit->key.tenant), "%s", tenant);
	return edit;
}

static void take_id(struct key_edit *edit, const char *id)
{
	if (access_key_id_is_valid(id))
		(void)snprintf(edit->key.id, sizeof(edit->key.id), "%s", id);
	else
		(void)error_set(&edit->edit.error, ERROR_INVALID_PARAMETER, "access_key_id",
				"The access key id must be AKIA and 16 characters of A-Z2-7.");
}

void keys_create(struct tenants *tenants, const struct keys_create_request *request,
		 keys_answer_fn *answers, void *arg)
{
	struct key_edit *edit = new_change(tenants, begin_create, request->tenant, answers, arg);
	struct error *error = &edit->edit.error;

	if (access_key_validate_user(request->user, error) == 0)
		(void)snprintf(edit->key.user, sizeof(edit->key.user), "%s", request->user);
	if ((unsigned)request->role >= ROLE_COUNT)
		(void)error_set(error, ERROR_INVALID_PARAMETER, "role",
				"The role must be ADMIN, DEVELOPER, INVOKER or AUDITOR.");
	if (request->expires_us && request->expires_us <= clock_realtime_us())
		(void)error_set(error, ERROR_INVALID_PARAMETER, "expires_at_us",
				"The time of expiry must be in the future, or 0 for never.");
	edit->key.role = request->role;
	edit->key.expires_us = request->expires_us;
	edit_enqueue(&edit->edit);
}

void keys_set_inactive(struct tenants *tenants, const char *tenant, const char *id, bool inactive,
		       keys_answer_fn *answers, void *arg)
{
	struct key_edit *edit = new_change(tenants, begin_set_inactive, tenant, answers, arg);

	take_id(edit, id);
	edit->inactive = inactive;
	edit_enqueue(&edit->edit);
}

void keys_delete(struct tenants *tenants, const char *tenant, const char *id,
		 keys_answer_fn *answers, void *arg)
{
	struct key_edit *edit = new_change(tenants, begin_delete, tenant, answers, arg);

	take_id(edit, id);
	edit_enqueue(&edit->edit);
}
