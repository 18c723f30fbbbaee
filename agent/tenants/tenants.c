/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/tenants/internal.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"

#define PROOF_KEY "auth/master-key-proof"

/* -- looking up -- */

struct entry *tenants_entry(const struct tenants *tenants, const char *id)
{
	struct entry *entry;

	HASH_FIND_STR(tenants->entries, id, entry);
	return entry;
}

struct entry *tenants_living_entry(const struct tenants *tenants, const char *id)
{
	struct entry *entry = tenants_entry(tenants, id);

	return entry && !entry->deleted && !entry->going ? entry : NULL;
}

const struct tenant *tenants_find(const struct tenants *tenants, const char *id)
{
	struct entry *entry = tenants_living_entry(tenants, id);

	return entry ? &entry->tenant : NULL;
}

const char *tenants_default(const struct tenants *tenants)
{
	return tenants->config.default_tenant;
}

void tenants_set_listener(struct tenants *tenants, loop_fn *fn, void *arg)
{
	tenants->changed = fn;
	tenants->changed_arg = arg;
}

unsigned tenants_count(const struct tenants *tenants)
{
	return tenants->count;
}

unsigned tenants_count_functions(const struct tenants *tenants, const char *id)
{
	return tenants->config.count_functions
		       ? tenants->config.count_functions(id, tenants->config.user)
		       : 0;
}

int tenants_check(const struct tenants *tenants, const char *id, enum access_effect effect,
		  bool is_operator, struct error *error)
{
	const struct tenant *tenant = tenants_find(tenants, id);

	if (!tenant)
		return tenant_set_not_found(id, error);
	if (tenant->state == TENANT_ACTIVE || effect == ACCESS_READ ||
	    (effect == ACCESS_MANAGE && is_operator))
		return 0;
	return error_set(error, ERROR_ACCESS_DENIED, "tenant",
			 "Tenant %s is suspended: its functions can be read, but not invoked or "
			 "changed, until an operator of the node resumes it.",
			 id);
}

/* Those that one node would have to keep apart, and cannot. */
const char *tenants_why_not_run(const struct tenants *tenants, const char *id)
{
	return tenants->config.only_one && strcmp(id, tenants->config.default_tenant) != 0
		       ? tenants->only_default_runs
		       : NULL;
}

int tenants_check_runs(const struct tenants *tenants, const char *id, struct error *error)
{
	const char *why = tenants_why_not_run(tenants, id);

	return why ? error_set(error, ERROR_ACCESS_DENIED, "tenant", "%s", why) : 0;
}

const char *tenants_warning(const struct tenants *tenants)
{
	return tenants->count > 1 ? tenants->only_default_runs : NULL;
}

int tenants_list(const struct tenants *tenants, unsigned max_items, const char *marker,
		 struct tenants_page *ret, struct error *error)
{
	size_t max = max_items && max_items < TENANTS_PAGE_ITEMS ? max_items : TENANTS_PAGE_ITEMS;

	if (max_items > TENANTS_MAX_ITEMS)
		return error_set(error, ERROR_INVALID_PARAMETER, "max_items",
				 "At most %d tenants can be asked for.", TENANTS_MAX_ITEMS);
	if (marker[0] && !tenant_id_is_valid(marker))
		return error_set(error, ERROR_INVALID_PARAMETER, "marker",
				 "The marker is not one that a page of this list ended with.");
	*ret = (struct tenants_page){ 0 };
	for (const struct entry *entry = tenants->entries; entry; entry = entry->hh.next) {
		if (entry->deleted || entry->going || strcmp(entry->id, marker) <= 0)
			continue;
		if (ret->count == max) {
			memcpy(ret->next_marker, ret->tenants[max - 1]->id, TENANT_ID_BYTES);
			break;
		}
		ret->tenants[ret->count++] = &entry->tenant;
	}
	return 0;
}

/* -- opening -- */

static int by_id(const struct entry *a, const struct entry *b)
{
	return strcmp(a->id, b->id);
}

void tenants_install(struct tenants *tenants, const struct tenant *tenant, bool deleted)
{
	struct entry *entry = tenants_entry(tenants, tenant->id);

	if (!entry) {
		entry = calloc(1, sizeof(*entry));
		if (!entry)
			abort(); /* as loop_post() */
		entry->deleted = true;
		memcpy(entry->id, tenant->id, sizeof(entry->id));
		HASH_ADD_KEYPTR_INORDER(hh, tenants->entries, entry->id, TENANT_ID_DIGITS, entry,
					by_id);
	}
	tenants->count += (unsigned)entry->deleted;
	tenants->count -= (unsigned)deleted;
	entry->tenant = *tenant;
	entry->deleted = deleted;
	entry->going = false;
}

struct loading {
	struct tenants *tenants;
	struct error *error;
};

static int load_tenant(const char *key, struct slice value, uint64_t revision _unused_, void *arg)
{
	struct loading *loading = arg;
	struct tenant tenant;
	bool deleted;
	int r = record_decode_tenant(value, &tenant, &deleted, loading->error);

	if (r < 0) {
		error_wrap(loading->error, "%s", key);
		return r;
	}
	tenants_install(loading->tenants, &tenant, deleted);
	return 0;
}

static int load_key(const char *record, struct slice value, uint64_t revision _unused_, void *arg)
{
	struct loading *loading = arg;
	struct access_key key;
	int r = record_decode_access_key(value, &key, loading->error);

	if (r == 0 && access_key_unseal(&key, &loading->tenants->master) < 0)
		r = error_set(loading->error, ERROR_INTERNAL, NULL,
			      "the secret was changed, or kept under another master key");
	if (r < 0) {
		error_wrap(loading->error, "%s", record);
		return r;
	}
	keys_install(loading->tenants, &key);
	return 0;
}

static int put(struct tenants *tenants, const char *key, const struct buf *value,
	       struct error *error)
{
	const struct registry_write write = { .key = key, .value = buf_slice(value) };

	return registry_commit(tenants->registry, &write, 1, NULL, error);
}

/* The registry has a text that opens with the right key alone: so a wrong one is found out before
 * anything is kept under it, and one that is missing is not replaced by a new one. */
static int load_master_key(struct tenants *tenants, struct error *error)
{
	const char *path = tenants->config.master_key_path;
	_cleanup_buf_ struct buf proof = BUF_INIT, plain = BUF_INIT;
	uint64_t revision;
	int r = registry_get(tenants->registry, PROOF_KEY, &proof, &revision, error);
	bool is_new = r == -ENOENT;

	if (r < 0 && !is_new)
		return r;
	r = master_key_load(path, is_new && tenants->config.make_master_key, &tenants->master,
			    error);
	if (r < 0)
		return r;
	if (is_new) {
		r = seal(&tenants->master, PROOF_KEY, slice_from_string(PROOF_KEY), &proof);
		return r < 0 ? error_set_errno(error, r, "cannot use the master key %s", path)
			     : put(tenants, PROOF_KEY, &proof, error);
	}
	if (seal_open(&tenants->master, PROOF_KEY, buf_slice(&proof), &plain) < 0)
		return error_set(error, ERROR_INVALID_PARAMETER, "auth.master_key_file",
				 "the master key %s is not the one that this node's secrets were "
				 "kept under; put that one back",
				 path);
	return 0;
}

static int make_default(struct tenants *tenants, struct error *error)
{
	const char *id = tenants->config.default_tenant;
	const struct entry *entry = tenants_entry(tenants, id);
	struct tenant tenant = { .state = TENANT_ACTIVE, .created_us = clock_realtime_us() };
	_cleanup_buf_ struct buf value = BUF_INIT;
	char key[RECORD_KEY_BYTES];
	int r;

	if (entry && entry->deleted)
		return error_set(error, ERROR_CONFLICT, "node.account_id",
				 "node.account_id: tenant %s was deleted, and ids are not given "
				 "again",
				 id);
	if (entry)
		return 0;
	(void)snprintf(tenant.id, sizeof(tenant.id), "%s", id);
	r = record_encode_tenant(&tenant, false, &value);
	if (r < 0)
		return error_set_errno(error, r, "Cannot make the default tenant");
	record_tenant_key(id, key);
	r = put(tenants, key, &value, error);
	if (r == 0)
		tenants_install(tenants, &tenant, false);
	return r;
}

int tenants_open(const struct tenants_config *config, struct registry *registry, struct loop *loop,
		 struct tenants **ret, struct error *error)
{
	_cleanup_(tenants_close_p) struct tenants *tenants = calloc(1, sizeof(*tenants));
	int r;

	if (!tenants)
		return error_set_errno(error, ENOMEM, "Cannot open the tenants");
	tenants->loop = loop;
	tenants->registry = registry;
	tenants->config = *config;
	tenants->config.default_tenant = strdup(config->default_tenant);
	lane_init(&tenants->lane, loop, 1);
	TAILQ_INIT(&tenants->edits);
	if (!tenants->config.default_tenant ||
	    (config->only_one &&
	     asprintf(&tenants->only_default_runs,
		      "Only functions of the node's default tenant run now: invocations of others "
		      "are refused, and their events wait. %s",
		      config->only_one) < 0))
		return error_set_errno(error, ENOMEM, "Cannot open the tenants");
	struct loading loading = { tenants, error };
	r = load_master_key(tenants, error);
	if (r >= 0)
		r = registry_list(registry, TENANT_RECORD_PREFIX, NULL, 0, load_tenant, &loading,
				  error);
	if (r >= 0)
		r = registry_list(registry, ACCESS_KEY_RECORD_PREFIX, NULL, 0, load_key, &loading,
				  error);
	if (r >= 0)
		r = webhook_secrets_load(tenants, error);
	if (r >= 0)
		r = make_default(tenants, error);
	if (r < 0)
		return r;
	if (tenants_warning(tenants))
		log_warning("there are %u tenants. %s", tenants->count, tenants_warning(tenants));
	*ret = TAKE_PTR(tenants);
	return 0;
}

struct tenants *tenants_close(struct tenants *tenants)
{
	struct entry *entry, *next;

	if (!tenants)
		return NULL;
	edits_free(tenants);
	keys_forget_tenant(tenants, NULL);
	webhook_secrets_forget(tenants, NULL);
	explicit_bzero(&tenants->webhook_root, sizeof(tenants->webhook_root));
	master_key_clear(&tenants->master);
	HASH_ITER (hh, tenants->entries, entry, next) {
		HASH_DEL(tenants->entries, entry);
		free(entry);
	}
	free((char *)(uintptr_t)tenants->config.default_tenant);
	free(tenants->only_default_runs);
	free(tenants);
	return NULL;
}
