/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_deploy mayfly_store mayfly_functions mayfly_core mayfly_base

/* Provisioned concurrency: what may have how much, and that it stays with its version or alias. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "agent/deploy/alias_directory.h"
#include "tests/unit/versions_harness.h"

/* "" when it was done, else the message. */
static const char *provision(struct node *node, const char *qualifier, unsigned provisioned)
{
	static char text[256];
	_cleanup_answer_ struct answer answer = { 0 };
	const struct directory_provision_request request = {
		.tenant = TENANT, .name = "f", .qualifier = qualifier, .provisioned = provisioned
	};

	directory_set_provisioned(node->directory, &request, take_answer, &answer);
	assert_false(answer.here);
	run_until(node, answer.here);
	(void)snprintf(text, sizeof(text), "%s",
		       answer.error.code ? error_text(&answer.error) : "");
	return text;
}

static const char *reserve(struct node *node, unsigned reserved)
{
	static char text[256];
	_cleanup_answer_ struct answer answer = { 0 };

	directory_set_reserved_concurrency(node->directory, TENANT, "f", &reserved, take_answer,
					   &answer);
	run_until(node, answer.here);
	(void)snprintf(text, sizeof(text), "%s",
		       answer.error.code ? error_text(&answer.error) : "");
	return text;
}

struct alias_answer {
	bool here;
	enum error_code code;
};

static void on_alias(const struct alias *alias _unused_, const struct error *error, void *arg)
{
	*(struct alias_answer *)arg =
		(struct alias_answer){ true, error ? error->code : ERROR_NONE };
}

typedef void alias_fn(struct directory *directory, const struct directory_alias_request *request,
		      directory_alias_fn *answer, void *arg);

static enum error_code set_alias(struct node *node, alias_fn *fn, const char *name,
				 const char *version)
{
	struct alias_answer answer = { 0 };
	const struct directory_alias_request request = {
		.tenant = TENANT,
		.function_name = "f",
		.name = name,
		.patch = { .version = version },
	};

	fn(node->directory, &request, on_alias, &answer);
	run_until(node, answer.here);
	return answer.code;
}

/* f with versions 1 and 2, an alias live of 1. */
static void make(struct node *node)
{
	create_active(node, "f", "zip one");
	publish(node, "1");
	set_memory(node, 256);
	publish(node, "2");
	assert_int_equal(set_alias(node, directory_create_alias, "live", "1"), ERROR_NONE);
}

static unsigned of_version(struct node *node, const char *version)
{
	return directory_provisioned(node->directory, find_version(node, version));
}

/* As it is listed: "1=2 live=3". */
static const char *listed(struct node *node, unsigned max, const char *marker)
{
	static char text[256];
	static struct directory_provision_page page;
	size_t len = 0;

	text[0] = 0;
	assert_int_equal(
		directory_list_provisions(node->directory, TENANT, "f", max, marker, &page, NULL),
		0);
	for (size_t i = 0; i < page.count; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s=%u", i ? " " : "",
					page.items[i].qualifier, page.items[i].provisioned);
	if (page.next_marker[0])
		(void)snprintf(text + len, sizeof(text) - len, " %s", page.next_marker);
	return text;
}

static void test_it_is_durable(void **state)
{
	struct node *node = *state;
	struct directory_provision got;

	make(node);
	assert_string_equal(provision(node, "2", 4), "");
	assert_string_equal(provision(node, "live", 3), "");
	crash(node);
	open_directory(node);
	assert_int_equal(of_version(node, "1"), 3);
	assert_int_equal(of_version(node, "2"), 4);
	assert_string_equal(listed(node, 0, NULL), "2=4 live=3");
	assert_string_equal(listed(node, 1, NULL), "2=4 32");
	assert_string_equal(listed(node, 1, "32"), "live=3");
	assert_string_equal(provision(node, "2", 0), "");
	assert_string_equal(provision(node, "2", 0), "");
	crash(node);
	open_directory(node);
	assert_string_equal(listed(node, 0, NULL), "live=3");
	assert_int_equal(directory_get_provision(node->directory, TENANT, "f", "live", &got, NULL),
			 0);
	assert_true(got.modified_us > 0);
	assert_int_equal(got.version->version, 1);
}

static void test_it_moves_with_the_alias(void **state)
{
	struct node *node = *state;

	make(node);
	assert_string_equal(provision(node, "live", 3), "");
	assert_int_equal(set_alias(node, directory_update_alias, "live", "2"), ERROR_NONE);
	assert_int_equal(of_version(node, "1"), 0);
	assert_int_equal(of_version(node, "2"), 3);
	crash(node);
	open_directory(node);
	assert_int_equal(of_version(node, "2"), 3);
	assert_int_equal(set_alias(node, directory_update_alias, "live", "$LATEST"),
			 ERROR_INVALID_PARAMETER);
	assert_string_equal(provision(node, "1", 1), "");
	assert_int_equal(set_alias(node, directory_update_alias, "live", "1"), ERROR_CONFLICT);
	assert_int_equal(set_alias(node, directory_delete_alias, "live", NULL), ERROR_NONE);
	assert_int_equal(of_version(node, "2"), 0);
	assert_int_equal(set_alias(node, directory_create_alias, "live", "2"), ERROR_NONE);
	assert_int_equal(of_version(node, "2"), 0);
}

/* Version 1 has 128 MB, version 2 256. */
static void test_it_takes_no_more_memory_than_its_tenant_may(void **state)
{
	struct node *node = *state;

	node->provisioned_mb = 1024;
	crash(node);
	open_directory(node);
	make(node);
	assert_string_equal(
		provision(node, "live", 9),
		"1152 MB for Provisioned Concurrency, with the 0 MB that this account has "
		"already, are more than the 1024 MB that it may have on this node.");
	assert_string_equal(provision(node, "live", 4), "");
	assert_string_equal(
		provision(node, "2", 3),
		"768 MB for Provisioned Concurrency, with the 512 MB that this account "
		"has already, are more than the 1024 MB that it may have on this node.");
	assert_string_equal(provision(node, "2", 2), "");
	assert_string_equal(provision(node, "2", 0), "");
	/* It moves to where a place costs more. */
	assert_string_equal(provision(node, "live", 5), "");
	assert_int_equal(set_alias(node, directory_update_alias, "live", "2"),
			 ERROR_INVALID_PARAMETER);
	assert_int_equal(of_version(node, "1"), 5);
	assert_string_equal(provision(node, "live", 4), "");
	assert_int_equal(set_alias(node, directory_update_alias, "live", "2"), ERROR_NONE);
	/* A limit that was lowered takes nothing away, and forbids nothing that makes it less. */
	node->provisioned_mb = 300;
	assert_string_equal(provision(node, "live", 3), "");
	assert_int_equal(set_alias(node, directory_update_alias, "live", "1"), ERROR_NONE);
	assert_non_null(strstr(provision(node, "live", 4), "more than the 300 MB"));
}

static void test_a_version_has_it_once(void **state)
{
	struct node *node = *state;

	make(node);
	assert_string_equal(provision(node, "live", 3), "");
	assert_string_equal(provision(node, "1", 1),
			    "Version is pointed by a Provisioned Concurrency alias");
	assert_string_equal(provision(node, "live", 0), "");
	assert_string_equal(provision(node, "1", 1), "");
	assert_string_equal(provision(node, "live", 3),
			    "Alias can't be used for Provisioned Concurrency configuration on an "
			    "already Provisioned version");
	assert_string_equal(listed(node, 0, NULL), "1=1");
	assert_int_equal(set_alias(node, directory_create_alias, "head", "$LATEST"), ERROR_NONE);
	assert_string_equal(provision(node, "head", 1),
			    "Provisioned Concurrency Configs cannot be applied to unpublished "
			    "function versions.");
	assert_non_null(strstr(provision(node, "7", 1), "Function not found: "));
	assert_non_null(strstr(provision(node, "none", 1), ":function:f:none"));
}

static void test_it_counts_against_the_tenant(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer answer = { 0 };
	const unsigned most = 895;

	make(node);
	assert_string_equal(provision(node, "1", 1001),
			    "Specified ConcurrentExecutions for function is greater than account's "
			    "unreserved concurrency [1000].");
	assert_string_equal(provision(node, "1", 901),
			    "Specified ConcurrentExecutions for function decreases account's "
			    "UnreservedConcurrentExecution below its minimum value of [100].");
	assert_string_equal(provision(node, "1", 900), "");
	assert_non_null(strstr(provision(node, "2", 1), "below its minimum value of [100]"));
	/* Its own is not counted twice. */
	assert_string_equal(provision(node, "1", 4), "");
	assert_string_equal(provision(node, "2", 2), "");
	create_active(node, "g", "zip one");
	directory_set_reserved_concurrency(node->directory, TENANT, "g", &most, take_answer,
					   &answer);
	run_until(node, answer.here);
	assert_int_equal(answer.error.code, ERROR_INVALID_PARAMETER);
}

static void test_it_must_fit_into_a_reservation(void **state)
{
	struct node *node = *state;

	make(node);
	assert_string_equal(provision(node, "1", 2), "");
	assert_string_equal(reserve(node, 1),
			    " ReservedConcurrentExecutions  1 should not be lower than function's "
			    "total provisioned concurrency [2].");
	assert_string_equal(reserve(node, 5), "");
	assert_string_equal(provision(node, "2", 4),
			    "Requested Provisioned Concurrency should not be greater than the "
			    "reservedConcurrentExecution for function");
	assert_string_equal(provision(node, "2", 3), "");
	assert_string_equal(provision(node, "1", 1), "");
}

static void test_it_goes_with_its_version(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer dropped = { 0 }, deleted = { 0 };

	make(node);
	assert_string_equal(provision(node, "2", 5), "");
	ask_delete_version(node, 2, &dropped);
	assert_int_equal(dropped.error.code, ERROR_NONE);
	assert_string_equal(reserve(node, 1), "");
	assert_string_equal(provision(node, "live", 1), "");
	ask_delete(node, "f", &deleted);
	crash(node);
	open_directory(node);
	create_active(node, "f", "zip one");
	assert_string_equal(listed(node, 0, NULL), "");
}

static void test_a_publication_does_not_inherit_it(void **state)
{
	struct node *node = *state;

	make(node);
	assert_string_equal(provision(node, "2", 5), "");
	set_memory(node, 512);
	publish(node, "3");
	assert_int_equal(of_version(node, "3"), 0);
	assert_int_equal(of_version(node, "2"), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_it_is_durable),
		BOTH(test_it_moves_with_the_alias),
		BOTH(test_it_takes_no_more_memory_than_its_tenant_may),
		BOTH(test_a_version_has_it_once),
		BOTH(test_it_counts_against_the_tenant),
		BOTH(test_it_must_fit_into_a_reservation),
		BOTH(test_it_goes_with_its_version),
		BOTH(test_a_publication_does_not_inherit_it),
	};

	log_set_max_priority(LOG_WARNING);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
