/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tenants/webhook_secrets.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "agent/tenants/edit.h"
#include "mayfly/clock.h"

#define ROOT_KEY "auth/webhook-root"

/* An address that was rotated. */
struct webhook_entry {
	char key[RECORD_KEY_BYTES];
	struct webhook_record record;
	UT_hash_handle hh;
};

/* -- looking up -- */

static struct webhook_entry *find_entry(const struct tenants *tenants, const char *key)
{
	struct webhook_entry *entry;

	HASH_FIND_STR(tenants->webhooks, key, entry);
	return entry;
}

static int find(const struct tenants *tenants, const char *key, const char *tenant, const char *url,
		int64_t now_us, struct webhook_secrets *ret)
{
	const struct webhook_entry *entry = find_entry(tenants, key);

	*ret = (struct webhook_secrets){ 0 };
	if (!entry)
		return webhook_secret_derive(&tenants->webhook_root, tenant, url, &ret->current);
	*ret = entry->record.secrets;
	if (ret->has_previous && now_us < ret->previous_until_us)
		return 0;
	ret->has_previous = false;
	ret->previous_until_us = 0;
	return 0;
}

int webhook_secrets_find(const struct tenants *tenants, const char *tenant, const char *url,
			 int64_t now_us, struct webhook_secrets *ret)
{
	char key[RECORD_KEY_BYTES];
	int r = record_webhook_key(tenant, url, key);

	return r < 0 ? r : find(tenants, key, tenant, url, now_us, ret);
}

int webhook_secrets_check_url(const char *url, struct error *error)
{
	struct destination destination;

	/* Region and tenant are of ARNs, which are none. */
	if (destination_parse(url, "", "", &destination) == 0 &&
	    destination.kind == DESTINATION_WEBHOOK)
		return 0;
	return error_set(error, ERROR_INVALID_PARAMETER, "url",
			 "The URL must be that of a webhook, https://HOST[:PORT][/PATH], exactly "
			 "as the destination is written.");
}

static unsigned count(const struct tenants *tenants, const char *tenant)
{
	unsigned found = 0;

	for (const struct webhook_entry *entry = tenants->webhooks; entry; entry = entry->hh.next)
		found += strcmp(entry->record.tenant, tenant) == 0;
	return found;
}

/* -- in memory -- */

static void install_record(struct tenants *tenants, const char *key,
			   const struct webhook_record *record)
{
	struct webhook_entry *entry = find_entry(tenants, key);

	if (entry) {
		entry->record = *record;
		return;
	}
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		abort(); /* as loop_post() */
	entry->record = *record;
	(void)snprintf(entry->key, sizeof(entry->key), "%s", key);
	HASH_ADD_STR(tenants->webhooks, key, entry);
}

void webhook_secrets_forget(struct tenants *tenants, const char *tenant)
{
	struct webhook_entry *entry, *next;

	HASH_ITER (hh, tenants->webhooks, entry, next) {
		if (tenant && strcmp(entry->record.tenant, tenant) != 0)
			continue;
		HASH_DEL(tenants->webhooks, entry);
		OPENSSL_cleanse(&entry->record, sizeof(entry->record));
		free(entry);
	}
}

/* -- opening -- */

static int make_root(struct tenants *tenants, struct error *error)
{
	struct webhook_root *root = &tenants->webhook_root;
	_cleanup_buf_ struct buf sealed = BUF_INIT;
	int r;

	webhook_root_draw(root);
	r = seal(&tenants->master, ROOT_KEY, slice_new(root->bytes, sizeof(root->bytes)), &sealed);
	if (r < 0)
		return error_set_errno(error, r, "Cannot keep the webhooks' secrets");
	const struct registry_write write = { .key = ROOT_KEY, .value = buf_slice(&sealed) };
	return registry_commit(tenants->registry, &write, 1, NULL, error);
}

static int load_root(struct tenants *tenants, struct error *error)
{
	_cleanup_buf_ struct buf sealed = BUF_INIT, plain = BUF_INIT;
	uint64_t revision;
	int r = registry_get(tenants->registry, ROOT_KEY, &sealed, &revision, error);

	if (r == -ENOENT)
		return make_root(tenants, error);
	if (r < 0)
		return r;
	r = seal_open(&tenants->master, ROOT_KEY, buf_slice(&sealed), &plain);
	if (r < 0 || plain.len != sizeof(tenants->webhook_root.bytes))
		return error_set(error, ERROR_INTERNAL, NULL,
				 "%s: the secret was changed, or kept under another master key",
				 ROOT_KEY);
	memcpy(tenants->webhook_root.bytes, plain.data, plain.len);
	OPENSSL_cleanse(plain.data, plain.len);
	return 0;
}

struct loading {
	struct tenants *tenants;
	struct error *error;
};

static int load(const char *key, struct slice value, uint64_t revision _unused_, void *arg)
{
	struct loading *loading = arg;
	struct webhook_record record;
	int r = record_decode_webhook(value, key, &loading->tenants->master, &record,
				      loading->error);

	if (r == 0)
		install_record(loading->tenants, key, &record);
	else
		error_wrap(loading->error, "%s", key);
	OPENSSL_cleanse(&record, sizeof(record));
	return r;
}

int webhook_secrets_load(struct tenants *tenants, struct error *error)
{
	struct loading loading = { tenants, error };
	int r = load_root(tenants, error);

	if (r >= 0)
		r = registry_list(tenants->registry, WEBHOOK_RECORD_PREFIX, NULL, 0, load, &loading,
				  error);
	return r;
}

/* -- rotating -- */

struct rotation {
	struct edit edit;
	webhook_secrets_answer_fn *answer;
	void *arg;
	int64_t overlap_us;
	char key[RECORD_KEY_BYTES];
	struct webhook_record record; /* the request, then as it shall be */
};

static struct rotation *of(struct edit *edit)
{
	return container_of(edit, struct rotation, edit);
}

/* The former one's end was promised to who is still to change. */
static int check_overlap(const struct rotation *rotation, const struct webhook_secrets *now,
			 struct error *error)
{
	if (!now->has_previous || rotation->overlap_us == 0)
		return 0;
	return error_set(
		error, ERROR_CONFLICT, "url",
		"The secret was rotated already, and the former one signs, too, for "
		"another %lld s. An overlap of 0 ends that at once.",
		(long long)((now->previous_until_us - clock_realtime_us()) / USEC_PER_SEC + 1));
}

static int begin(struct edit *base)
{
	struct rotation *rotation = of(base);
	struct webhook_record *record = &rotation->record;
	struct webhook_secrets *secrets = &record->secrets, now;
	int64_t now_us = clock_realtime_us();
	int r = edit_check_request(base);

	if (r == 0 && !tenants_find(base->tenants, record->tenant))
		r = tenant_set_not_found(record->tenant, &base->error);
	if (r == 0)
		r = record_webhook_key(record->tenant, record->url, rotation->key);
	if (r == 0 && !find_entry(base->tenants, rotation->key) &&
	    count(base->tenants, record->tenant) >= WEBHOOK_ROTATED_MAX)
		r = error_set(&base->error, ERROR_TOO_MANY_REQUESTS, "url",
			      "Tenant %s has rotated the secrets of %d addresses, and may have no "
			      "more.",
			      record->tenant, WEBHOOK_ROTATED_MAX);
	if (r == 0)
		r = find(base->tenants, rotation->key, record->tenant, record->url, now_us, &now);
	if (r == 0)
		r = check_overlap(rotation, &now, &base->error);
	if (r < 0)
		return r;
	secrets->has_previous = rotation->overlap_us > 0;
	if (secrets->has_previous)
		secrets->previous = now.current;
	secrets->previous_until_us = secrets->has_previous ? now_us + rotation->overlap_us : 0;
	secrets->rotated_us = now_us;
	webhook_secret_draw(&secrets->current);
	OPENSSL_cleanse(&now, sizeof(now));
	r = record_encode_webhook(record, rotation->key, &base->tenants->master, &base->value);
	if (r == 0)
		memcpy(edit_put(base), rotation->key, sizeof(rotation->key));
	return r;
}

static void install(struct edit *base)
{
	install_record(base->tenants, of(base)->key, &of(base)->record);
}

static void answer(struct edit *base, const struct error *error)
{
	struct rotation *rotation = of(base);

	rotation->answer(error ? NULL : &rotation->record.secrets, rotation->record.tenant,
			 rotation->record.url, error, rotation->arg);
}

static void clear(struct edit *base)
{
	OPENSSL_cleanse(&of(base)->record, sizeof(struct webhook_record));
}

static const struct edit_kind rotation_kind = {
	.begin = begin,
	.install = install,
	.answer = answer,
	.free = clear,
};

void webhook_secrets_rotate(struct tenants *tenants, const char *tenant, const char *url,
			    int64_t overlap_us, webhook_secrets_answer_fn *answers, void *arg)
{
	struct rotation *rotation = of(edit_new(tenants, &rotation_kind, sizeof(struct rotation)));
	struct error *error = &rotation->edit.error;

	rotation->answer = answers;
	rotation->arg = arg;
	rotation->overlap_us = overlap_us;
	if (tenant_validate_id(tenant, error) == 0)
		(void)snprintf(rotation->record.tenant, TENANT_ID_BYTES, "%s", tenant);
	if (webhook_secrets_check_url(url, error) == 0)
		(void)snprintf(rotation->record.url, sizeof(rotation->record.url), "%s", url);
	if (overlap_us < 0 || overlap_us > WEBHOOK_OVERLAP_MAX_US)
		(void)error_set(error, ERROR_INVALID_PARAMETER, "overlap_s",
				"The overlap must be 0 to %lld seconds.",
				WEBHOOK_OVERLAP_MAX_US / USEC_PER_SEC);
	edit_enqueue(&rotation->edit);
}
