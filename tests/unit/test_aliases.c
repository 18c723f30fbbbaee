/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_deploy mayfly_store mayfly_functions mayfly_core mayfly_base

/* Aliases: their rules, how they are made, changed, listed and deleted, what they hold, and what
 * outlives a crash. */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "agent/deploy/alias_directory.h"
#include "tests/unit/versions_harness.h"

#define ARN "arn:aws:lambda:" REGION ":" TENANT ":function:"

/* -- rules -- */

static void test_names(void **state)
{
	static const char *const good[] = { "a", "prod-1_B", "1a", "-" };
	static const char *const bad[] = { "", "1", "007", "a.b", "$LATEST", "a b", "\xc3\xa4" };
	_cleanup_error_ struct error error = ERROR_INIT;
	char name[ALIAS_NAME_MAX + 2];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(alias_validate_name(good[i], NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (alias_validate_name(bad[i], NULL) == 0)
			fail_msg("%s is a name", bad[i]);
	assert_true(alias_validate_name("7", &error) < 0);
	assert_string_equal(error_text(&error),
			    "1 validation error detected: Value '7' at 'name' failed to satisfy "
			    "constraint: Member must satisfy regular expression pattern: "
			    "(?!^[0-9]+$)([a-zA-Z0-9-_]+)");
	memset(name, 'a', sizeof(name));
	name[ALIAS_NAME_MAX + 1] = 0;
	assert_true(alias_validate_name(name, NULL) < 0);
	name[ALIAS_NAME_MAX] = 0;
	assert_int_equal(alias_validate_name(name, NULL), 0);
}

static void assert_refused(const char *version, const struct alias_weight *weights, size_t count,
			   const char *expected)
{
	_cleanup_(alias_free_p) struct alias *alias = calloc(1, sizeof(*alias));
	const struct alias_patch patch = {
		.version = version, .has_routing = true, .weights = weights, .weight_count = count
	};
	_cleanup_error_ struct error error = ERROR_INIT;

	assert_true(alias_apply(alias, &patch, &error) < 0);
	assert_int_equal(error.code, ERROR_INVALID_PARAMETER);
	assert_string_equal(error_text(&error), expected);
}

#define VALUE_CONSTRAINT                                                                           \
	"}' at 'routingConfig.additionalVersionWeights' failed to satisfy constraint: Map value "  \
	"must satisfy constraint: [Member must have value less than or equal to 1.0, Member must " \
	"have value greater than or equal to 0.0, Member must not be null]"

static void test_weights_that_are_refused(void **state)
{
	const struct alias_weight two[] = { { "1", 0.1 }, { "2", 0.1 } };
	const struct alias_weight heavy = { "2", 1.5 }, negative = { "2", -0.5 },
				  none = { "2", NAN }, unpublished = { "$LATEST", 0.5 },
				  good = { "2", 0.5 };

	(void)state;
	assert_refused("3", two, 2,
		       "Number of items in AdditionalVersionWeights cannot be greater than 1");
	assert_refused("1", &heavy, 1,
		       "1 validation error detected: Value '{2=1.5" VALUE_CONSTRAINT);
	assert_refused("1", &negative, 1,
		       "1 validation error detected: Value '{2=-0.5" VALUE_CONSTRAINT);
	assert_refused("1", &none, 1,
		       "1 validation error detected: Value '{2=nan" VALUE_CONSTRAINT);
	assert_refused("1", &unpublished, 1,
		       "1 validation error detected: Value '{$LATEST=0.5}' at "
		       "'routingConfig.additionalVersionWeights' failed to satisfy constraint: Map "
		       "keys must satisfy constraint: [Member must have length less than or equal "
		       "to 1024, Member must have length greater than or equal to 1, Member must "
		       "satisfy regular expression pattern: [0-9]+]");
	assert_refused("2", &good, 1,
		       "Invalid function version 2. Function version 2 is already included in "
		       "routing configuration.");
	assert_refused("$LATEST", &good, 1,
		       "$LATEST is not supported for an alias pointing to more than 1 version");
	assert_refused("x", NULL, 0,
		       "1 validation error detected: Value 'x' at 'functionVersion' failed to "
		       "satisfy constraint: Member must satisfy regular expression pattern: "
		       "(\\$LATEST|[0-9]+)");
}

static void test_routing(void **state)
{
	struct alias alias = { .version = 1, .additional_version = 2, .weight = 0.25 };

	(void)state;
	assert_int_equal(alias_choose(&alias, 0.0), 1); /* the rest of what was cleared */
	alias.is_weighted = true;
	assert_int_equal(alias_choose(&alias, 0.0), 2);
	assert_int_equal(alias_choose(&alias, 0.2499), 2);
	assert_int_equal(alias_choose(&alias, 0.25), 1);
	assert_int_equal(alias_choose(&alias, 0.9999), 1);
	alias.weight = 0.0;
	assert_int_equal(alias_choose(&alias, 0.0), 1);
	alias.weight = 1.0;
	assert_int_equal(alias_choose(&alias, 0.9999), 2);
}

/* -- requests -- */

struct alias_answer {
	bool here;
	struct alias *alias; /* copy */
	struct error error;
};

static void take_alias(const struct alias *alias, const struct error *error, void *arg)
{
	struct alias_answer *answer = arg;

	assert_false(answer->here);
	answer->here = true;
	if (alias)
		assert_int_equal(alias_copy(alias, &answer->alias), 0);
	if (error)
		assert_int_equal(error_copy(&answer->error, error), 0);
}

static void alias_answer_clear(struct alias_answer *answer)
{
	alias_free(answer->alias);
	error_clear(&answer->error);
}
#define _cleanup_alias_answer_ _cleanup_(alias_answer_clear)

typedef void alias_command(struct directory *directory,
			   const struct directory_alias_request *request,
			   directory_alias_fn *answer, void *arg);

static void ask_alias(struct node *node, alias_command *ask, struct directory_alias_request request,
		      struct alias_answer *answer)
{
	request.tenant = TENANT;
	request.function_name = "f";
	ask(node->directory, &request, take_alias, answer);
	assert_false(answer->here);
	run_until(node, answer->here);
}

/* Runs it, and forgets the answer; the error's text must be this one, NULL: none. */
static void command(struct node *node, alias_command *ask, struct directory_alias_request request,
		    const char *error)
{
	_cleanup_alias_answer_ struct alias_answer answer = { 0 };

	ask_alias(node, ask, request, &answer);
	assert_string_equal(answer.error.code ? error_text(&answer.error) : "", error ? error : "");
}

static struct directory_alias_request to_version(const char *name, const char *version)
{
	return (struct directory_alias_request){ .name = name, .patch = { .version = version } };
}

static const struct alias *find_alias(struct node *node, const char *name)
{
	return directory_find_alias(node->directory, TENANT, "f", name);
}

/* A function f with versions 1 and 2. */
static void create_versions(struct node *node)
{
	create_active(node, "f", "zip one");
	publish(node, "1");
	set_memory(node, 256);
	publish(node, "2");
}

static void test_create(void **state)
{
	struct node *node = *state;
	_cleanup_alias_answer_ struct alias_answer answer = { 0 };
	const struct alias_weight weight = { "2", 0.5 }, missing = { "9", 0.5 };
	struct directory_alias_request request = to_version("prod", "1");

	command(node, directory_create_alias, request, "Function not found: " ARN "f:1");
	create_versions(node);
	request.patch.description = "what all use";
	request.patch.has_routing = true;
	request.patch.weight_count = 1;
	request.patch.weights = &missing;
	command(node, directory_create_alias, request, "Function not found: " ARN "f:9");
	request.patch.weights = &weight;
	ask_alias(node, directory_create_alias, request, &answer);
	assert_int_equal(answer.error.code, ERROR_NONE);
	assert_string_equal(answer.alias->description, "what all use");
	assert_int_equal(answer.alias->version, 1);
	assert_int_equal(answer.alias->additional_version, 2);
	assert_int_equal(strlen(answer.alias->revision_id), UUID_BYTES - 1);

	command(node, directory_create_alias, request, "Alias already exists: " ARN "f:prod");
	command(node, directory_create_alias, to_version("beta", "9"),
		"Function not found: " ARN "f:9");
	command(node, directory_create_alias, to_version("beta", "99999999999999999999999"),
		"Function not found: " ARN "f:99999999999999999999999");
	command(node, directory_create_alias, to_version("latest", "$LATEST"), NULL);
	assert_ptr_equal(find_version(node, "latest"), find(node, "f"));
	assert_ptr_equal(find_version(node, "prod"), find_version(node, "1"));
	assert_null(find_version(node, "beta"));
}

static void test_update(void **state)
{
	struct node *node = *state;
	const struct alias_weight weight = { "1", 0.5 };
	struct directory_alias_request request = to_version("prod", "2");
	char revision[UUID_BYTES];

	command(node, directory_update_alias, request, "Function not found: " ARN "f");
	create_versions(node);
	command(node, directory_update_alias, request, "Alias not found: " ARN "f:prod");
	command(node, directory_create_alias, to_version("prod", "1"), NULL);
	memcpy(revision, find_alias(node, "prod")->revision_id, sizeof(revision));

	request.revision_id = "00000000-0000-4000-8000-000000000000";
	command(node, directory_update_alias, request,
		"The Revision Id provided does not match the latest Revision Id. Call the "
		"GetFunction/GetAlias API to retrieve the latest Revision Id");
	assert_string_equal(find_alias(node, "prod")->revision_id, revision);
	request.revision_id = revision;
	request.patch.has_routing = true;
	request.patch.weight_count = 1;
	request.patch.weights = &weight;
	command(node, directory_update_alias, request, NULL);
	assert_int_equal(find_alias(node, "prod")->version, 2);
	assert_true(find_alias(node, "prod")->is_weighted);
	assert_string_not_equal(find_alias(node, "prod")->revision_id, revision);

	/* What is not given stays; the whole is checked. */
	command(node, directory_update_alias, to_version("prod", "1"),
		"Invalid function version 1. Function version 1 is already included in routing "
		"configuration.");
	command(node, directory_update_alias,
		(struct directory_alias_request){ .name = "prod",
						  .patch = { .description = "new" } },
		NULL);
	assert_true(find_alias(node, "prod")->is_weighted);
	assert_string_equal(find_alias(node, "prod")->description, "new");
	command(node, directory_update_alias,
		(struct directory_alias_request){ .name = "prod",
						  .patch = { .has_routing = true } },
		NULL);
	assert_false(find_alias(node, "prod")->is_weighted);
	assert_int_equal(find_alias(node, "prod")->version, 2);
}

static void test_what_an_alias_holds(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer held = { 0 }, second = { 0 }, freed = { 0 };
	const struct alias_weight weight = { "2", 0.0 };
	struct directory_alias_request request = to_version("prod", "1");

	create_versions(node);
	request.patch.has_routing = true;
	request.patch.weight_count = 1;
	request.patch.weights = &weight;
	command(node, directory_create_alias, request, NULL);
	command(node, directory_create_alias, to_version("beta", "1"), NULL);
	ask_delete_version(node, 1, &held);
	assert_int_equal(held.error.code, ERROR_CONFLICT);
	assert_string_equal(error_text(&held.error),
			    "Unable to delete version because the following aliases reference it: "
			    "[beta, prod]");
	ask_delete_version(node, 2, &second);
	assert_string_equal(error_text(&second.error),
			    "Unable to delete version because the following aliases reference it: "
			    "[prod]");
	command(node, directory_delete_alias, to_version("prod", NULL), NULL);
	command(node, directory_delete_alias, to_version("prod", NULL), NULL);
	assert_null(find_alias(node, "prod"));
	ask_delete_version(node, 2, &freed);
	assert_int_equal(freed.error.code, ERROR_NONE);
	assert_string_equal(list(node), "$LATEST 1");
}

static void test_pages_and_the_filter(void **state)
{
	struct node *node = *state;
	struct directory_alias_list request = {
		.tenant = TENANT, .function_name = "f", .version = "", .max_items = 2
	};
	_cleanup_error_ struct error error = ERROR_INIT;
	struct directory_alias_page page;

	assert_true(directory_list_aliases(node->directory, &request, &page, &error) < 0);
	assert_int_equal(error.code, ERROR_NOT_FOUND);
	create_versions(node);
	command(node, directory_create_alias, to_version("c", "1"), NULL);
	command(node, directory_create_alias, to_version("a", "2"), NULL);
	command(node, directory_create_alias, to_version("b", "1"), NULL);
	assert_int_equal(directory_list_aliases(node->directory, &request, &page, NULL), 0);
	assert_int_equal(page.count, 2);
	assert_string_equal(page.aliases[0]->name, "a");
	assert_string_equal(page.aliases[1]->name, "b");
	request.marker = page.next_marker;
	assert_int_equal(directory_list_aliases(node->directory, &request, &page, NULL), 0);
	assert_int_equal(page.count, 1);
	assert_string_equal(page.aliases[0]->name, "c");
	assert_string_equal(page.next_marker, "");
	request.marker = NULL;
	request.version = "1";
	assert_int_equal(directory_list_aliases(node->directory, &request, &page, NULL), 0);
	assert_int_equal(page.count, 2);
	assert_string_equal(page.aliases[0]->name, "b");
	assert_string_equal(page.next_marker, "");
}

/* -- crashes -- */

static void test_aliases_survive_a_crash(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer gone = { 0 };
	const struct alias_weight weight = { "2", 0.125 };
	struct directory_alias_request request = to_version("prod", "1");
	char revision[UUID_BYTES];

	create_versions(node);
	request.patch.description = "kept";
	request.patch.has_routing = true;
	request.patch.weight_count = 1;
	request.patch.weights = &weight;
	command(node, directory_create_alias, request, NULL);
	command(node, directory_create_alias, to_version("beta", "$LATEST"), NULL);
	command(node, directory_delete_alias, to_version("beta", NULL), NULL);
	memcpy(revision, find_alias(node, "prod")->revision_id, sizeof(revision));
	crash(node);
	open_directory(node);
	assert_null(find_alias(node, "beta"));
	assert_string_equal(find_alias(node, "prod")->revision_id, revision);
	assert_string_equal(find_alias(node, "prod")->description, "kept");
	assert_int_equal(find_alias(node, "prod")->version, 1);
	assert_int_equal(find_alias(node, "prod")->additional_version, 2);
	assert_true(find_alias(node, "prod")->weight == 0.125);

	/* With the function its aliases go, all at once. */
	ask_delete(node, "f", &gone);
	assert_null(find_alias(node, "prod"));
	crash(node);
	open_directory(node);
	create_active(node, "f", "zip one");
	assert_null(find_alias(node, "prod"));
}

static void test_a_full_disk_changes_nothing(void **state)
{
	struct node *node = *state;

	create_versions(node);
	command(node, directory_create_alias, to_version("prod", "1"), NULL);
	__atomic_store_n(&node->registry.full, true, __ATOMIC_SEQ_CST);
	command(node, directory_create_alias, to_version("beta", "1"), "The disk is full.");
	command(node, directory_update_alias, to_version("prod", "2"), "The disk is full.");
	command(node, directory_delete_alias, to_version("prod", NULL), "The disk is full.");
	assert_null(find_alias(node, "beta"));
	assert_int_equal(find_alias(node, "prod")->version, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_weights_that_are_refused),
		cmocka_unit_test(test_routing),
		BOTH(test_create),
		BOTH(test_update),
		BOTH(test_what_an_alias_holds),
		BOTH(test_pages_and_the_filter),
		BOTH(test_aliases_survive_a_crash),
		BOTH(test_a_full_disk_changes_nothing),
	};

	log_set_max_priority(LOG_WARNING);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
