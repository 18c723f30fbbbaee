/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/deploy/change.h"
#include "mayfly/log.h"

/* Checking an archive inflates it: two at once, so that one large upload does not hold up all. */
#define INTAKE_WIDTH 2

static void make_key(const char *tenant, const char *name, uint64_t version,
		     char key[ENTRY_KEY_BYTES])
{
	char number[FUNCTION_VERSION_BYTES];

	function_version_name(version, number);
	(void)snprintf(key, ENTRY_KEY_BYTES, "%.*s/%.*s%s%s", TENANT_ID_DIGITS, tenant,
		       FUNCTION_NAME_MAX, name, version ? ":" : "", version ? number : "");
}

struct entry *directory_get_entry(struct directory *directory, const char *tenant, const char *name,
				  uint64_t version)
{
	char key[ENTRY_KEY_BYTES];
	struct entry *entry;

	make_key(tenant, name, version, key);
	HASH_FIND_STR(directory->entries, key, entry);
	if (entry)
		return entry;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		abort(); /* as loop_post() */
	memcpy(entry->key, key, sizeof(key));
	entry->head = entry;
	TAILQ_INIT(&entry->changes);
	TAILQ_INIT(&entry->versions);
	TAILQ_INIT(&entry->aliases);
	HASH_ADD_STR(directory->entries, key, entry);
	return entry;
}

void directory_drop_idle_entry(struct directory *directory, struct entry *entry)
{
	if (entry->function || entry->last_version || !TAILQ_EMPTY(&entry->changes))
		return;
	HASH_DEL(directory->entries, entry);
	free(entry);
}

void directory_tell(struct directory *directory, const struct function *function,
		    enum directory_event event)
{
	for (size_t i = 0; i < directory->listener_count; i++)
		directory->listeners[i].fn(function, event, directory->listeners[i].arg);
}

int directory_add_listener(struct directory *directory, directory_listener *listener, void *arg)
{
	struct listener *grown =
		reallocarray(directory->listeners, directory->listener_count + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	directory->listeners = grown;
	grown[directory->listener_count++] = (struct listener){ listener, arg };
	return 0;
}

/* -- jobs and stopping -- */

void directory_submit(struct directory *directory, struct lane *lane, struct lane_job *job)
{
	directory->jobs++;
	lane_submit(lane, job);
}

void directory_check_stopped(struct directory *directory)
{
	if (!directory->stopped || directory->jobs || directory->changes)
		return;
	loop_post(directory->loop, directory->stopped, directory->stopped_arg);
	directory->stopped = NULL;
}

void directory_job_done(struct directory *directory)
{
	directory->jobs--;
	directory_check_stopped(directory);
}

void directory_stop(struct directory *directory, loop_fn *done, void *arg)
{
	struct preparation *preparation;

	directory->stopping = true;
	directory->stopped = done;
	directory->stopped_arg = arg;
	LIST_FOREACH (preparation, &directory->preparations, link)
		timer_disarm(&preparation->retry);
	directory_check_stopped(directory);
}

/* -- opening -- */

static int copy_config(struct directory *directory, const struct directory_config *config)
{
	directory->master_key = *config->master_key;
	directory->concurrency_limit = config->concurrency_limit;
	directory->limit_of_tenant = config->limit_of_tenant;
	directory->code_storage_of_tenant = config->code_storage_of_tenant;
	directory->limit_of_tenant_arg = config->limit_of_tenant_arg;
	directory->provisioned_mb_of_tenant = config->provisioned_mb_of_tenant;
	directory->unreserved_minimum = config->unreserved_minimum;
	directory->share_packages = config->share_packages;
	directory->state_dir = strdup(config->state_dir);
	directory->region = strdup(config->region);
	directory->default_tenant = strdup(config->default_tenant);
	directory->runtimes = calloc(config->runtime_count + 1, sizeof(*directory->runtimes));
	if (!directory->state_dir || !directory->region || !directory->default_tenant ||
	    !directory->runtimes)
		return -ENOMEM;
	for (; directory->runtime_count < config->runtime_count; directory->runtime_count++) {
		const char *runtime = config->runtimes[directory->runtime_count];

		directory->runtimes[directory->runtime_count] = strdup(runtime);
		if (!directory->runtimes[directory->runtime_count])
			return -ENOMEM;
	}
	return 0;
}

struct loading {
	struct directory *directory;
	struct error *error;
};

static int load_function(const char *key, struct slice value, uint64_t revision _unused_, void *arg)
{
	struct loading *loading = arg;
	struct directory *directory = loading->directory;
	_cleanup_(function_free_p) struct function *function = NULL;
	_cleanup_free_ char *upload_id = NULL;
	char expected[RECORD_KEY_BYTES];
	struct entry *entry;
	int r;

	r = record_decode(value, &directory->master_key, &function, &upload_id, loading->error);
	if (r < 0) {
		error_wrap(loading->error, "%s", key);
		return r;
	}
	record_key(function->tenant, function->name, function->version, expected);
	if (strcmp(expected, key) != 0)
		return error_set(loading->error, ERROR_INTERNAL, NULL,
				 "The registry keeps %s under the name %s.", expected, key);
	function->generation = ++directory->last_generation;
	entry = directory_get_entry(directory, function->tenant, function->name, function->version);
	copy_id(entry->upload_id, upload_id);
	entry->function = TAKE_PTR(function);
	return 0;
}

static int load_numbering(const char *key, struct slice value, uint64_t revision _unused_,
			  void *arg)
{
	struct loading *loading = arg;
	struct numbering numbering;
	int r = numbering_decode(value, &numbering, loading->error);

	if (r < 0) {
		error_wrap(loading->error, "%s", key);
		return r;
	}
	directory_get_entry(loading->directory, numbering.tenant, numbering.name, 0)->last_version =
		numbering.last_version;
	return 0;
}

static int load_alias(const char *key, struct slice value, uint64_t revision _unused_, void *arg)
{
	struct loading *loading = arg;
	struct alias_record record = { 0 };
	struct entry *head;
	int r = record_alias_decode(value, &record, loading->error);

	if (r < 0) {
		error_wrap(loading->error, "%s", key);
		alias_free(record.alias);
		return r;
	}
	head = directory_get_entry(loading->directory, record.tenant, record.function_name, 0);
	alias_put(head, record.alias);
	if (!head->function)
		return error_set(loading->error, ERROR_INTERNAL, NULL,
				 "The registry keeps %s without its function.", key);
	return 0;
}

static int link_versions(struct directory *directory, struct error *error)
{
	struct entry *entry, *head;

	for (entry = directory->entries; entry; entry = entry->hh.next) {
		const struct function *function = entry->function;

		if (!function || function->version == 0)
			continue;
		head = directory_get_entry(directory, function->tenant, function->name, 0);
		if (!head->function)
			return error_set(error, ERROR_INTERNAL, NULL,
					 "The registry keeps %s without its function.", entry->key);
		entry_link_version(head, entry);
	}
	return 0;
}

static void warn_of_missing_package(const struct directory *directory,
				    const struct function *function)
{
	const struct log_fields fields = { .tenant = function->tenant, .function = function->name };
	const char *digest = function->config.package_digest;

	if (digest && !package_exists(directory->state_dir, digest))
		log_write(LOG_ERR, &fields,
			  "the package of %s is missing; it cannot start until its code is updated",
			  function->name);
}

static int load(struct directory *directory, struct error *error)
{
	struct loading loading = { directory, error };
	int r;

	r = registry_list(directory->registry, RECORD_PREFIX, NULL, 0, load_function, &loading,
			  error);
	if (r == 0)
		r = registry_list(directory->registry, NUMBERING_PREFIX, NULL, 0, load_numbering,
				  &loading, error);
	if (r == 0)
		r = link_versions(directory, error);
	if (r == 0)
		r = registry_list(directory->registry, ALIAS_PREFIX, NULL, 0, load_alias, &loading,
				  error);
	if (r < 0)
		return r;
	r = layers_load(directory, error);
	if (r == 0)
		r = upload_collect(directory, error);
	if (r == 0)
		r = layers_collect(directory, error);
	if (r < 0)
		return r;
	r = garbage_collect_all(directory, error);
	if (r < 0)
		return r;
	for (struct entry *entry = directory->entries; entry; entry = entry->hh.next)
		if (entry->function)
			warn_of_missing_package(directory, entry->function);
	return 0;
}

int directory_open(const struct directory_config *config, struct registry *registry,
		   struct loop *loop, struct directory **ret, struct error *error)
{
	_cleanup_(directory_close_p) struct directory *directory = calloc(1, sizeof(*directory));
	int r;

	if (!directory)
		return error_set_errno(error, ENOMEM, "Cannot open the directory of functions");
	directory->loop = loop;
	directory->registry = registry;
	LIST_INIT(&directory->preparations);
	SLIST_INIT(&directory->candidates);
	LIST_INIT(&directory->removals);
	LIST_INIT(&directory->layer_changes);
	lane_init(&directory->registry_lane, loop, 1);
	lane_init(&directory->intake_lane, loop, INTAKE_WIDTH);
	lane_init(&directory->build_lane, loop, 1);
	if (copy_config(directory, config) < 0)
		return error_set_errno(error, ENOMEM, "Cannot open the directory of functions");
	r = load(directory, error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(directory);
	return 0;
}

void directory_set_hooks(struct directory *directory, const struct deploy_hooks *hooks)
{
	directory->hooks = *hooks;
}

static bool is_unfinished(const struct entry *entry)
{
	const struct function *function = entry->function;

	if (!function || entry->preparation || entry == entry_waiting_version(entry->head))
		return false;
	return function->state == FUNCTION_PENDING || function->update;
}

void directory_start(struct directory *directory)
{
	for (struct entry *entry = directory->entries; entry; entry = entry->hh.next)
		if (is_unfinished(entry))
			preparation_start(directory, entry);
}

static void free_entries(struct directory *directory)
{
	struct entry *entry, *next;

	HASH_ITER (hh, directory->entries, entry, next) {
		HASH_DEL(directory->entries, entry);
		change_free_queue(directory, entry);
		alias_drop_all(entry);
		function_free(entry->function);
		free(entry);
	}
}

struct directory *directory_close(struct directory *directory)
{
	struct preparation *preparation;

	if (!directory)
		return NULL;
	while ((preparation = LIST_FIRST(&directory->preparations)))
		preparation_free(preparation);
	free_entries(directory);
	garbage_forget(directory);
	layer_changes_forget(directory);
	layers_free(directory);
	for (size_t i = 0; i < directory->runtime_count; i++)
		free(directory->runtimes[i]);
	free(directory->runtimes);
	free(directory->listeners);
	free(directory->state_dir);
	free(directory->region);
	free(directory->default_tenant);
	free(directory);
	return NULL;
}
