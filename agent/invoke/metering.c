/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/invoke/metering.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HASH_FUNCTION HASH_FNV
#include <uthash.h>

#include "agent/functions/function.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"

#define KEY_BYTES (TENANT_ID_DIGITS + 1 + FUNCTION_NAME_MAX + 1 + FUNCTION_VERSION_BYTES)

/* A version with provisioned sandboxes. */
struct provisioned {
	char key[KEY_BYTES]; /* TENANT/NAME/VERSION */
	char tenant[TENANT_ID_DIGITS + 1];
	char name[FUNCTION_NAME_MAX + 1];
	char version[FUNCTION_VERSION_BYTES];
	unsigned wanted;
	bool old;
	UT_hash_handle hh;
};

struct metering {
	struct loop *loop;
	struct directory *directory;
	struct pool *pool;
	struct account *account;
	struct provisioned *versions;
	struct timer timer;
};

int metering_new(struct loop *loop, struct directory *directory, struct pool *pool,
		 struct account *account, struct metering **ret)
{
	struct metering *metering = calloc(1, sizeof(*metering));

	if (!metering)
		return -ENOMEM;
	*metering = (struct metering){
		.loop = loop, .directory = directory, .pool = pool, .account = account
	};
	*ret = metering;
	return 0;
}

static void drop(struct metering *metering, struct provisioned *version)
{
	HASH_DEL(metering->versions, version);
	free(version);
}

struct metering *metering_free(struct metering *metering)
{
	struct provisioned *version, *next;

	if (!metering)
		return NULL;
	timer_disarm(&metering->timer);
	HASH_ITER (hh, metering->versions, version, next)
		drop(metering, version);
	free(metering);
	return NULL;
}

static void meter(struct metering *metering, const struct account_metered *now)
{
	if (account_meter(metering->account, now) < 0)
		log_warning("What %s:%s has is not billed as it is: out of memory", now->function,
			    now->version);
}

/* -- provisioned sandboxes -- */

static void look(struct metering *metering, struct provisioned *version)
{
	const struct function *function = directory_find_qualified(
		metering->directory, version->tenant, version->name, version->version);
	struct pool_provision provision = { 0 };

	if (!function)
		return;
	pool_get_provision(metering->pool, function, &provision);
	meter(metering, &(struct account_metered){ .kind = LEDGER_ALLOCATION,
						   .tenant = version->tenant,
						   .function = version->name,
						   .version = version->version,
						   .memory_mb = function->config.memory_size_mb,
						   .wanted = version->wanted,
						   .available = provision.available,
						   .old = version->old });
}

static void on_time(void *arg)
{
	struct metering *metering = arg;

	for (struct provisioned *version = metering->versions; version; version = version->hh.next)
		look(metering, version);
	if (metering->versions &&
	    timer_arm(&metering->timer, metering->loop, clock_monotonic_us() + METERING_US, on_time,
		      metering) < 0)
		log_warning("Provisioned sandboxes are billed as they are now until that changes: "
			    "out of memory");
}

static struct provisioned *find(struct metering *metering, const struct function *function,
				char key[KEY_BYTES])
{
	char number[FUNCTION_VERSION_BYTES];
	struct provisioned *version;

	function_version_name(function->version, number);
	(void)snprintf(key, KEY_BYTES, "%s/%s/%s", function->tenant, function->name, number);
	HASH_FIND_STR(metering->versions, key, version);
	return version;
}

static struct provisioned *add(struct metering *metering, const struct function *function,
			       const char key[KEY_BYTES])
{
	struct provisioned *version = calloc(1, sizeof(*version));

	if (!version)
		return NULL;
	memcpy(version->key, key, KEY_BYTES);
	(void)snprintf(version->tenant, sizeof(version->tenant), "%s", function->tenant);
	(void)snprintf(version->name, sizeof(version->name), "%s", function->name);
	function_version_name(function->version, version->version);
	HASH_ADD_STR(metering->versions, key, version);
	return version;
}

static void give_back(struct metering *metering, struct provisioned *version)
{
	meter(metering, &(struct account_metered){ .kind = LEDGER_ALLOCATION,
						   .tenant = version->tenant,
						   .function = version->name,
						   .version = version->version });
	drop(metering, version);
}

void metering_set_provisioned(struct metering *metering, const struct function *function,
			      unsigned wanted, bool old)
{
	char key[KEY_BYTES];
	struct provisioned *version = find(metering, function, key);
	bool first = !metering->versions;

	if (wanted == 0) {
		if (version)
			give_back(metering, version);
		return;
	}
	if (!version) {
		version = add(metering, function, key);
		if (!version) {
			log_warning("Provisioned sandboxes of %s are not billed: out of memory",
				    function->name);
			return;
		}
		version->old = old;
	}
	version->wanted = wanted;
	look(metering, version);
	if (first)
		on_time(metering);
}

/* -- snapshots -- */

void metering_set_snapshot(struct metering *metering, const struct function *function, bool old)
{
	char number[FUNCTION_VERSION_BYTES];
	bool kept = function->state == FUNCTION_ACTIVE &&
		    function_config_has_snap_start(&function->config, function->version);

	function_version_name(function->version, number);
	meter(metering, &(struct account_metered){ .kind = LEDGER_CACHE,
						   .tenant = function->tenant,
						   .function = function->name,
						   .version = number,
						   .memory_mb = function->config.memory_size_mb,
						   .wanted = kept,
						   .available = kept,
						   .old = old });
}

void metering_forget(struct metering *metering, const struct function *function)
{
	char key[KEY_BYTES], number[FUNCTION_VERSION_BYTES];
	struct provisioned *version = find(metering, function, key);

	if (version)
		give_back(metering, version);
	function_version_name(function->version, number);
	meter(metering, &(struct account_metered){ .kind = LEDGER_CACHE,
						   .tenant = function->tenant,
						   .function = function->name,
						   .version = number });
}
