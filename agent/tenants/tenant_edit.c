/* SPDX-License-Identifier: Apache-2.0 */

/* What each request about a tenant means. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/tenants/edit.h"
#include "mayfly/clock.h"

struct tenant_edit {
	struct edit edit;
	int (*begin)(struct tenant_edit *edit);
	tenants_answer_fn *answer;
	void *arg;

	/* The request. */
	char id[TENANT_ID_BYTES];
	bool has_name, has_limits;
	char name[TENANT_NAME_MAX + 1];
	struct tenant_limits limits;
	enum tenant_state state;

	struct tenant next;
	bool deletes;
};

static struct tenant_edit *of(struct edit *edit)
{
	return container_of(edit, struct tenant_edit, edit);
}

/* -- the steps of every change -- */

static int begin(struct edit *base)
{
	struct tenant_edit *edit = of(base);
	int r = edit_check_request(base);

	if (r == 0)
		r = edit->begin(edit);
	if (r == 0)
		r = record_encode_tenant(&edit->next, edit->deletes, &base->value);
	if (r < 0)
		return r;
	record_tenant_key(edit->next.id, edit_put(base));
	if (!edit->deletes)
		return 0;
	tenants_entry(base->tenants, edit->id)->going = true;
	for (const struct key_entry *key = base->tenants->keys; key; key = key->hh.next)
		if (strcmp(key->key.tenant, edit->id) == 0)
			record_access_key_key(key->key.id, edit_remove(base));
	record_webhook_prefix(edit->id, edit_remove_all(base));
	return 0;
}

static void install(struct edit *base)
{
	struct tenant_edit *edit = of(base);

	const struct tenants_config *config = &base->tenants->config;

	tenants_install(base->tenants, &edit->next, edit->deletes);
	if (edit->deletes) {
		keys_forget_tenant(base->tenants, edit->id);
		webhook_secrets_forget(base->tenants, edit->id);
	}
	if (config->changed)
		config->changed(edit->next.id, config->changed_arg);
}

static void answer(struct edit *base, const struct error *error)
{
	struct tenant_edit *edit = of(base);
	struct entry *entry = tenants_entry(base->tenants, edit->id);

	if (entry)
		entry->going = false;
	edit->answer(error || edit->deletes ? NULL : &edit->next, error, edit->arg);
}

static const struct edit_kind tenant_kind = {
	.begin = begin,
	.install = install,
	.answer = answer,
};

/* -- what each means -- */

static void take_request(struct tenant_edit *edit, const struct tenants_request *request)
{
	struct error *error = &edit->edit.error;

	edit->has_name = request->name != NULL;
	if (request->name && tenant_validate_name(request->name, error) == 0)
		(void)snprintf(edit->name, sizeof(edit->name), "%s", request->name);
	edit->has_limits = request->limits != NULL;
	if (request->limits && tenant_validate_limits(request->limits, error) == 0)
		edit->limits = *request->limits;
}

static void apply(struct tenant_edit *edit)
{
	if (edit->has_name)
		memcpy(edit->next.name, edit->name, sizeof(edit->next.name));
	if (edit->has_limits)
		edit->next.limits = edit->limits;
}

static void draw_free_id(struct tenant_edit *edit)
{
	do
		tenant_draw_id(edit->id);
	while (tenants_entry(edit->edit.tenants, edit->id));
}

static int begin_create(struct tenant_edit *edit)
{
	struct tenants *tenants = edit->edit.tenants;
	struct error *error = &edit->edit.error;
	const struct entry *entry;

	if (tenants->config.only_one)
		return error_set(error, ERROR_CONFLICT, NULL, "%s", tenants->config.only_one);
	if (!edit->id[0])
		draw_free_id(edit);
	entry = tenants_entry(tenants, edit->id);
	if (entry)
		return error_set(error, ERROR_CONFLICT, "tenant",
				 entry->deleted ? "Tenant %s was deleted, and ids are not given "
						  "again."
						: "Tenant already exists: %s",
				 edit->id);
	edit->next = (struct tenant){ .state = TENANT_ACTIVE, .created_us = clock_realtime_us() };
	memcpy(edit->next.id, edit->id, sizeof(edit->next.id));
	apply(edit);
	return 0;
}

/* The tenant as it is, to be changed. */
static int take_present(struct tenant_edit *edit)
{
	struct error *error = &edit->edit.error;
	const struct tenant *tenant;
	int r = tenant_validate_id(edit->id, error);

	if (r < 0)
		return r;
	tenant = tenants_find(edit->edit.tenants, edit->id);
	if (!tenant)
		return tenant_set_not_found(edit->id, error);
	edit->next = *tenant;
	return 0;
}

static int begin_update(struct tenant_edit *edit)
{
	int r = take_present(edit);

	if (r == 0)
		apply(edit);
	return r;
}

static int begin_set_state(struct tenant_edit *edit)
{
	int r = take_present(edit);

	if (r < 0)
		return r;
	if (!state_may_follow(&tenant_states, edit->next.state, edit->state))
		return -EINVAL;
	edit->next.state = edit->state;
	return 0;
}

static int begin_delete(struct tenant_edit *edit)
{
	struct tenants *tenants = edit->edit.tenants;
	struct error *error = &edit->edit.error;
	unsigned functions, layers, schedules;
	int r = take_present(edit);

	if (r < 0)
		return r;
	if (strcmp(edit->id, tenants->config.default_tenant) == 0)
		return error_set(error, ERROR_CONFLICT, "tenant",
				 "Tenant %s is the node's default tenant, which cannot be deleted.",
				 edit->id);
	functions = tenants_count_functions(tenants, edit->id);
	if (functions)
		return error_set(error, ERROR_CONFLICT, "tenant",
				 "Tenant %s has %u function%s, which must be deleted before it.",
				 edit->id, functions, functions == 1 ? "" : "s");
	layers = tenants->config.count_layers
			 ? tenants->config.count_layers(edit->id, tenants->config.user)
			 : 0;
	if (layers)
		return error_set(error, ERROR_CONFLICT, "tenant",
				 "Tenant %s has %u layer version%s, which must be deleted before "
				 "it.",
				 edit->id, layers, layers == 1 ? "" : "s");
	schedules = tenants->config.count_schedules
			    ? tenants->config.count_schedules(edit->id,
							      tenants->config.count_schedules_arg)
			    : 0;
	if (schedules)
		return error_set(error, ERROR_CONFLICT, "tenant",
				 "Tenant %s has %u schedule%s, which must be deleted before it.",
				 edit->id, schedules, schedules == 1 ? "" : "s");
	edit->deletes = true;
	return 0;
}

/* -- the door -- */

static struct tenant_edit *new_change(struct tenants *tenants,
				      int (*begins)(struct tenant_edit *edit), const char *id,
				      tenants_answer_fn *answers, void *arg)
{
	struct tenant_edit *edit = of(edit_new(tenants, &tenant_kind, sizeof(struct tenant_edit)));

	edit->begin = begins;
	edit->answer = answers;
	edit->arg = arg;
	if (id[0] && tenant_validate_id(id, &edit->edit.error) < 0)
		id = ""; /* what is wrong is in the error */
	(void)snprintf(edit->id, sizeof(edit->id), "%s", id);
	return edit;
}

void tenants_create(struct tenants *tenants, const struct tenants_request *request,
		    tenants_answer_fn *answers, void *arg)
{
	struct tenant_edit *edit = new_change(tenants, begin_create, request->id, answers, arg);

	take_request(edit, request);
	edit_enqueue(&edit->edit);
}

void tenants_update(struct tenants *tenants, const struct tenants_request *request,
		    tenants_answer_fn *answers, void *arg)
{
	struct tenant_edit *edit = new_change(tenants, begin_update, request->id, answers, arg);

	take_request(edit, request);
	edit_enqueue(&edit->edit);
}

void tenants_set_state(struct tenants *tenants, const char *id, enum tenant_state state,
		       tenants_answer_fn *answers, void *arg)
{
	struct tenant_edit *edit = new_change(tenants, begin_set_state, id, answers, arg);

	edit->state = state;
	edit_enqueue(&edit->edit);
}

void tenants_delete(struct tenants *tenants, const char *id, tenants_answer_fn *answers, void *arg)
{
	edit_enqueue(&new_change(tenants, begin_delete, id, answers, arg)->edit);
}
