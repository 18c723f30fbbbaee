/* SPDX-License-Identifier: Apache-2.0 */

/* How long an agent takes to know its functions when there are very many, and to list one tenant's:
 * the real registry and directory, on a disk. Prints both beside the same of a hundredth of the
 * functions.
 *
 * usage: mayfly-bench-functions [FUNCTIONS [TENANTS]]   (10,000 of 100) */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/auth/master_key.h"
#include "agent/deploy/directory.h"
#include "agent/deploy/record.h"
#include "agent/store/registry.h"
#include "mayfly/clock.h"
#include "mayfly/fs.h"
#include "mayfly/id.h"
#include "mayfly/log.h"

#define LIST_ROUNDS 20

static const struct master_key master_key;

struct figures {
	double fill_ms, open_ms, list_ms;
	unsigned listed;
};

static void die(const char *what, const char *why)
{
	(void)fprintf(stderr, "mayfly-bench-functions: %s: %s\n", what, why);
	exit(1);
}

static char *own(const char *text)
{
	return (char *)(uintptr_t)text;
}

static double since_ms(int64_t from_us)
{
	return (double)(clock_monotonic_us() - from_us) / USEC_PER_MSEC;
}

static void tenant_name(unsigned tenant, char out[TENANT_ID_DIGITS + 1])
{
	(void)snprintf(out, TENANT_ID_DIGITS + 1, "%012u", tenant % 1000000000);
}

/* -- the registry -- */

struct batch {
	struct registry_write writes[REGISTRY_WRITES];
	char keys[REGISTRY_WRITES][RECORD_KEY_BYTES];
	struct buf values[REGISTRY_WRITES];
	size_t count;
};

static void commit(struct registry *registry, struct batch *batch)
{
	_cleanup_error_ struct error error = ERROR_INIT;

	if (batch->count > 0 &&
	    registry_commit(registry, batch->writes, batch->count, NULL, &error) < 0)
		die("the registry", error_text(&error));
	for (size_t i = 0; i < batch->count; i++)
		buf_free(&batch->values[i]);
	batch->count = 0;
}

static void add_function(struct registry *registry, struct batch *batch, unsigned number,
			 unsigned tenants)
{
	char tenant[TENANT_ID_DIGITS + 1], name[32];
	struct environment_variable variables[] = { { own("STAGE"), own("production") },
						    { own("TABLE"), own("orders") } };
	struct function function = {
		.tenant = tenant,
		.name = name,
		.config = { .runtime = own("python3.13"),
			    .handler = own("index.handler"),
			    .description = own("one of very many"),
			    .memory_size_mb = 128,
			    .timeout_seconds = 3,
			    .environment = variables,
			    .environment_count = ARRAY_SIZE(variables),
			    .ephemeral_storage_mb = 512,
			    .log_group = own("/aws/lambda/many"),
			    .system_log_level = own("INFO"),
			    .package_digest = own("0000000000000000000000000000000000000000"
						  "000000000000000000000000"),
			    .code_sha256 = own("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
			    .code_size_bytes = 1234 },
		.state = FUNCTION_ACTIVE,
		.update_status = UPDATE_SUCCESSFUL,
		.last_modified_us = clock_realtime_us(),
	};
	size_t i = batch->count++;

	tenant_name(number % tenants, tenant);
	(void)snprintf(name, sizeof(name), "function-%06u", number);
	uuid_generate(function.revision_id);
	record_key(tenant, name, 0, batch->keys[i]);
	batch->values[i] = BUF_INIT;
	if (record_encode(&function, "", &master_key, &batch->values[i]) < 0)
		die("a record", strerror(ENOMEM));
	batch->writes[i] = (struct registry_write){ .key = batch->keys[i],
						    .value = buf_slice(&batch->values[i]),
						    .revision = REGISTRY_ANY_REVISION };
	if (batch->count == REGISTRY_WRITES)
		commit(registry, batch);
}

static void fill(struct registry *registry, unsigned functions, unsigned tenants)
{
	static struct batch batch;

	for (unsigned i = 0; i < functions; i++)
		add_function(registry, &batch, i, tenants);
	commit(registry, &batch);
}

/* -- the directory -- */

/* All pages of one tenant. */
static unsigned list_tenant(const struct directory *directory, const char *tenant)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	struct directory_page page = { 0 };
	unsigned n = 0;

	do {
		if (directory_list(directory, tenant, false, 0, page.next_marker, &page, &error) <
		    0)
			die("the list", error_text(&error));
		n += (unsigned)page.count;
	} while (page.next_marker[0]);
	return n;
}

static void measure(const char *state, struct registry *registry, struct figures *figures)
{
	static const char *const runtimes[] = { "python3.13" };
	const struct directory_config config = { .state_dir = state,
						 .region = "us-east-1",
						 .default_tenant = "000000000000",
						 .runtimes = runtimes,
						 .runtime_count = 1,
						 .master_key = &master_key };
	_cleanup_error_ struct error error = ERROR_INIT;
	struct directory *directory;
	struct loop *loop;
	int64_t from_us;

	if (loop_new(1, &loop) < 0)
		die("the loop", strerror(ENOMEM));
	from_us = clock_monotonic_us();
	if (directory_open(&config, registry, loop, &directory, &error) < 0)
		die("the directory", error_text(&error));
	figures->open_ms = since_ms(from_us);
	from_us = clock_monotonic_us();
	for (unsigned i = 0; i < LIST_ROUNDS; i++)
		figures->listed = list_tenant(directory, "000000000000");
	figures->list_ms = since_ms(from_us) / LIST_ROUNDS;
	(void)loop_free(loop);
	(void)directory_close(directory);
}

static void run(unsigned functions, unsigned tenants, struct figures *figures)
{
	char state[] = "/var/tmp/mayfly-functions-XXXXXX";
	_cleanup_error_ struct error error = ERROR_INIT;
	struct registry *registry;
	char path[64];
	int64_t from_us;

	if (!mkdtemp(state))
		die(state, strerror(errno));
	(void)snprintf(path, sizeof(path), "%s/registry.db", state);
	if (registry_open_sqlite(path, &registry, &error) < 0)
		die(path, error_text(&error));
	from_us = clock_monotonic_us();
	fill(registry, functions, tenants);
	figures->fill_ms = since_ms(from_us);
	measure(state, registry, figures);
	(void)registry_close(registry);
	if (fs_remove_tree(state) < 0)
		die(state, "it cannot be removed");
}

static unsigned number(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*end || value == 0 || value > 1000000)
		die("usage", "mayfly-bench-functions [FUNCTIONS [TENANTS]], 1 to 1,000,000 each");
	return (unsigned)value;
}

int main(int argc, char **argv)
{
	unsigned functions = argc > 1 ? number(argv[1]) : 10000;
	unsigned tenants = argc > 2 ? number(argv[2]) : 100;
	struct figures many = { 0 }, few = { 0 };

	log_set_max_priority(LOG_CRIT); /* their packages are missing, each says */
	run(functions / 100 > 0 ? functions / 100 : 1, tenants, &few);
	run(functions, tenants, &many);
	(void)printf("%u functions of %u tenants\n"
		     "  open the directory   %8.1f ms, %.1f times that of a hundredth\n"
		     "  list one tenant's %u  %8.3f ms, %.1f times that of a hundredth\n"
		     "  (to write them       %8.0f ms, %u in a transaction)\n",
		     functions, tenants, many.open_ms, many.open_ms / few.open_ms, many.listed,
		     many.list_ms, many.list_ms / few.list_ms, many.fill_ms, REGISTRY_WRITES);
	return 0;
}
