/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_deploy mayfly_store mayfly_functions mayfly_core mayfly_base

/* Layers in the directory: their numbers, what functions keep of them, what is removed when, and
 * what outlives a node that is killed. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "agent/deploy/layer_directory.h"
#include "agent/deploy/tag_directory.h"
#include "mayfly/id.h"
#include "tests/unit/directory_harness.h"
#include "tests/unit/killed_child.h"

#define OTHER  "210987654321"
#define ROUNDS 15

struct layer_answer {
	bool here;
	uint64_t version;
	struct error error;
};

static void layer_answer_clear(struct layer_answer *answer)
{
	error_clear(&answer->error);
}
#define _cleanup_layer_answer_ _cleanup_(layer_answer_clear)

static void take_layer(const struct layer_version *version, const struct error *error, void *arg)
{
	struct layer_answer *answer = arg;

	answer->here = true;
	answer->version = version ? version->version : 0;
	if (error && error_copy(&answer->error, error) < 0)
		abort();
}

static struct directory_layer_request layer_request(const char *tenant, const char *name,
						    const char *zip)
{
	return (struct directory_layer_request){ .tenant = tenant,
						 .name = name,
						 .zip = slice_from_string(zip) };
}

static uint64_t publish_layer(struct node *node, const char *tenant, const char *name,
			      const char *zip)
{
	const struct directory_layer_request request = layer_request(tenant, name, zip);
	_cleanup_layer_answer_ struct layer_answer answer = { 0 };

	directory_publish_layer(node->directory, &request, take_layer, &answer);
	assert_false(answer.here);
	run_until(node, answer.here);
	if (answer.error.code)
		fail_msg("%s", answer.error.message);
	return answer.version;
}

static void delete_layer(struct node *node, const char *name, uint64_t version)
{
	_cleanup_layer_answer_ struct layer_answer answer = { 0 };

	directory_delete_layer(node->directory, TENANT, name, version, take_layer, &answer);
	run_until(node, answer.here);
	assert_int_equal(answer.error.code, ERROR_NONE);
}

static const char *arn_of(const char *name, unsigned version)
{
	static char texts[8][128];
	static unsigned next;
	char *text = texts[next++ % 8];

	(void)snprintf(text, sizeof(texts[0]), "arn:aws:lambda:" REGION ":" TENANT ":layer:%s:%u",
		       name, version);
	return text;
}

static void give_layers(struct function_patch *patch, const char *const *arns, size_t count)
{
	patch->has_layers = true;
	patch->layer_arns = arns;
	patch->layer_count = count;
}

/* Active with these layers. */
static void create_layered(struct node *node, const char *name, const char *zip,
			   const char *const *arns, size_t count)
{
	struct directory_create_request request = create_request(name, zip);
	_cleanup_answer_ struct answer answer = { 0 };

	give_layers(&request.config, arns, count);
	ask_create(node, &request, &answer);
	if (answer.error.code)
		fail_msg("%s", answer.error.message);
	run_until(node, find(node, name)->state != FUNCTION_PENDING);
}

static void configure_layers(struct node *node, const char *name, const char *const *arns,
			     size_t count, struct answer *answer)
{
	struct function_patch patch = { 0 };

	give_layers(&patch, arns, count);
	ask_update_configuration(node, name, &patch, answer);
	run_until(node, find(node, name)->update_status != UPDATE_IN_PROGRESS);
}

/* What the package of a function is, as package_double.h makes it. */
static void assert_package(struct node *node, const char *name, const char *layers)
{
	_cleanup_free_ char *path =
		package_path(node->folder, find(node, name)->config.package_digest);
	_cleanup_buf_ struct buf content = BUF_INIT;

	assert_int_equal(fs_read_file(path, 4096, &content), 0);
	assert_string_equal(buf_string(&content) + (layers[0] ? 64 : 0),
			    layers[0] ? layers : buf_string(&content));
	assert_int_equal(find(node, name)->config.code_digest != NULL, layers[0] != 0);
}

static void reopen(struct node *node)
{
	crash(node);
	open_directory(node);
}

static void numbers_are_given_once(void **state)
{
	struct node *node = *state;

	assert_int_equal(publish_layer(node, TENANT, "l", "one"), 1);
	assert_int_equal(publish_layer(node, TENANT, "l", "two"), 2);
	assert_int_equal(publish_layer(node, TENANT, "other", "two"), 1);
	assert_int_equal(publish_layer(node, OTHER, "l", "two"), 1);
	delete_layer(node, "l", 2);
	delete_layer(node, "l", 2);
	delete_layer(node, "none", 1);
	assert_null(directory_find_layer(node->directory, TENANT, "l", 2));
	reopen(node);
	assert_int_equal(publish_layer(node, TENANT, "l", "three"), 3);
	assert_int_equal(directory_find_layer(node->directory, TENANT, "l", 1)->code_size_bytes, 3);
	assert_int_equal(directory_count_layers(node->directory, TENANT), 3);
	assert_int_equal(count_files(node, "layers"), 4);
}

static void two_at_once_have_two_numbers(void **state)
{
	struct node *node = *state;
	const struct directory_layer_request request = layer_request(TENANT, "l", "one");
	_cleanup_layer_answer_ struct layer_answer one = { 0 }, two = { 0 };

	directory_publish_layer(node->directory, &request, take_layer, &one);
	directory_publish_layer(node->directory, &request, take_layer, &two);
	run_until(node, one.here && two.here);
	assert_int_equal(one.version + two.version, 3);
	assert_int_equal(count_files(node, "layers"), 2);
}

static void what_is_refused_leaves_nothing(void **state)
{
	struct node *node = *state;
	struct directory_layer_request request = layer_request(TENANT, "l", "BAD");
	_cleanup_layer_answer_ struct layer_answer bad = { 0 }, empty = { 0 }, full = { 0 };

	directory_publish_layer(node->directory, &request, take_layer, &bad);
	run_until(node, bad.here);
	assert_int_equal(bad.error.code, ERROR_INVALID_ZIP);
	request.zip = SLICE_INIT;
	directory_publish_layer(node->directory, &request, take_layer, &empty);
	run_until(node, empty.here);
	assert_string_equal(empty.error.message, "Uploaded file must be a non-empty zip");
	request.zip = slice_from_string("good");
	node->registry.full = true;
	directory_publish_layer(node->directory, &request, take_layer, &full);
	run_until(node, full.here);
	assert_int_equal(full.error.code, ERROR_UNAVAILABLE);
	node->registry.full = false;
	assert_int_equal(directory_count_layers(node->directory, TENANT), 0);
	assert_int_equal(count_files(node, "layers"), 0);
	/* The number went with it. */
	assert_int_equal(publish_layer(node, TENANT, "l", "good"), 2);
}

static void functions_get_their_layers_in_order(void **state)
{
	struct node *node = *state;
	const char *arns[] = { arn_of("a", 1), arn_of("b", 1) };
	const char *turned[] = { arns[1], arns[0] };
	_cleanup_answer_ struct answer answer = { 0 }, none = { 0 }, same = { 0 };
	unsigned hooked;

	(void)publish_layer(node, TENANT, "a", "AAA");
	(void)publish_layer(node, TENANT, "b", "BBB");
	create_layered(node, "f", "zip", arns, 2);
	assert_int_equal(find(node, "f")->state, FUNCTION_ACTIVE);
	assert_package(node, "f", "AAABBB");
	assert_int_equal(find(node, "f")->config.layers[0].code_size_bytes, 3);
	assert_string_equal(find(node, "f")->config.layers[1].arn, arns[1]);
	configure_layers(node, "f", turned, 2, &answer);
	assert_package(node, "f", "BBBAAA");
	reopen(node);
	assert_package(node, "f", "BBBAAA");
	assert_string_equal(find(node, "f")->config.layers[0].arn, arns[1]);
	hooked = node->hooked;
	configure_layers(node, "f", turned, 2, &same);
	assert_package(node, "f", "BBBAAA");
	assert_int_equal(node->hooked, hooked + 1);
	configure_layers(node, "f", NULL, 0, &none);
	assert_int_equal(find(node, "f")->config.layer_count, 0);
	assert_package(node, "f", "");
	/* The code's package is left, and nothing of what was merged. */
	run_until(node, count_files(node, "packages") == 1);
	assert_int_equal(count_files(node, "layers"), 2);
}

static void new_code_is_merged_with_the_layers(void **state)
{
	struct node *node = *state;
	const char *arns[] = { arn_of("a", 1) };
	_cleanup_answer_ struct answer answer = { 0 }, late = { 0 };

	(void)publish_layer(node, TENANT, "a", "AAA");
	create_layered(node, "f", "zip one", arns, 1);
	/* Deleted, but the function has it. */
	delete_layer(node, "a", 1);
	ask_update_code(node, "f", "zip two", false, NULL, &answer);
	run_until(node, find(node, "f")->update_status == UPDATE_SUCCESSFUL);
	assert_package(node, "f", "AAA");
	run_until(node, count_files(node, "packages") == 2);
	ask_update_code(node, "f", "LATE", false, NULL, &late);
	run_until(node, find(node, "f")->update_status == UPDATE_FAILED);
	assert_package(node, "f", "AAA");
	assert_int_equal(count_files(node, "layers"), 1);
}

static void a_layer_that_cannot_be_merged_fails_the_update(void **state)
{
	struct node *node = *state;
	const char *arns[] = { arn_of("a", 1) };
	_cleanup_answer_ struct answer answer = { 0 };

	(void)publish_layer(node, TENANT, "a", "LATE");
	create_active(node, "f", "zip");
	configure_layers(node, "f", arns, 1, &answer);
	assert_int_equal(find(node, "f")->update_status, UPDATE_FAILED);
	assert_string_equal(find(node, "f")->update_reason, "Damaged on the way");
	assert_package(node, "f", "");
	create_layered(node, "g", "other zip", arns, 1);
	assert_int_equal(find(node, "g")->state, FUNCTION_FAILED);
	/* The code of g was built for nothing. */
	run_until(node, count_files(node, "packages") == 1);
}

static void contents_go_with_their_last_user(void **state)
{
	struct node *node = *state;
	const char *arns[] = { arn_of("a", 1) };
	const struct directory_publish_request publish = { .tenant = TENANT, .name = "f" };
	_cleanup_answer_ struct answer version = { 0 }, none = { 0 }, deleted = { 0 };

	(void)publish_layer(node, TENANT, "a", "AAA");
	create_layered(node, "f", "zip", arns, 1);
	directory_publish(node->directory, &publish, take_answer, &version);
	run_until(node, version.here);
	run_until(node, directory_find_qualified(node->directory, TENANT, "f", "1")->state ==
				FUNCTION_ACTIVE);
	configure_layers(node, "f", NULL, 0, &none);
	delete_layer(node, "a", 1);
	reopen(node);
	assert_int_equal(count_files(node, "layers"), 1);
	assert_int_equal(count_files(node, "packages"), 2);
	assert_string_equal(
		directory_find_qualified(node->directory, TENANT, "f", "1")->config.layers[0].arn,
		arns[0]);
	directory_delete_version(node->directory, TENANT, "f", 1, take_answer, &deleted);
	run_until(node, deleted.here);
	run_until(node, count_files(node, "layers") == 0);
	run_until(node, count_files(node, "packages") == 1);
}

static void leftovers_are_collected_at_start(void **state)
{
	struct node *node = *state;
	char path[160];

	(void)publish_layer(node, TENANT, "a", "AAA");
	crash(node);
	(void)snprintf(path, sizeof(path), "%s/layers/0123456789abcdef0123456789abcdef",
		       node->folder);
	assert_int_equal(fs_write_file_atomic(path, slice_from_string("x"), 0600), 0);
	(void)snprintf(path, sizeof(path), "%s/layers/.half.tmp", node->folder);
	assert_int_equal(fs_write_file_atomic(path, slice_from_string("x"), 0600), 0);
	open_directory(node);
	assert_false(fs_exists(path));
	assert_int_equal(count_files(node, "layers"), 1);
}

static void an_update_goes_on_after_a_crash(void **state)
{
	struct node *node = *state;
	const char *arns[] = { arn_of("a", 1) };
	struct function_patch patch = { 0 };
	_cleanup_answer_ struct answer answer = { 0 };

	(void)publish_layer(node, TENANT, "a", "SLOW");
	create_active(node, "f", "zip");
	give_layers(&patch, arns, 1);
	ask_update_configuration(node, "f", &patch, &answer);
	assert_int_equal(find(node, "f")->update_status, UPDATE_IN_PROGRESS);
	/* Meanwhile the layer goes: the update has it already. */
	delete_layer(node, "a", 1);
	reopen(node);
	set_gate(true);
	run_until(node, find(node, "f")->update_status == UPDATE_SUCCESSFUL);
	assert_package(node, "f", "SLOW");
}

static void refuse(struct node *node, const char *const *arns, size_t count, enum error_code code,
		   const char *message)
{
	struct directory_create_request request = create_request("refused", "zip");
	_cleanup_answer_ struct answer answer = { 0 };

	give_layers(&request.config, arns, count);
	ask_create(node, &request, &answer);
	assert_int_equal(answer.error.code, code);
	assert_string_equal(answer.error.field, "layers");
	if (!strstr(answer.error.message, message))
		fail_msg("%s", answer.error.message);
	assert_null(find(node, "refused"));
}

static void layers_must_be_there_and_ones_own(void **state)
{
	struct node *node = *state;
	const char *missing[] = { arn_of("a", 2) };
	const char *far[] = { "arn:aws:lambda:us-east-1:" TENANT ":layer:a:1" };
	const char *foreign[] = { "arn:aws:lambda:" REGION ":" OTHER ":layer:a:1" };
	const char *absent[] = { "arn:aws:lambda:" REGION ":" OTHER ":layer:none:1" };

	(void)publish_layer(node, TENANT, "a", "AAA");
	(void)publish_layer(node, OTHER, "a", "AAA");
	refuse(node, missing, 1, ERROR_INVALID_PARAMETER, ":layer:a:2 does not exist.");
	refuse(node, far, 1, ERROR_INVALID_PARAMETER,
	       "Layers are not in the same region as the function. Layers are expected to be in "
	       "region " REGION ".");
	/* In the same words whether it is there or not. */
	refuse(node, foreign, 1, ERROR_ACCESS_DENIED,
	       "because no resource-based policy allows the lambda:GetLayerVersion action");
	refuse(node, absent, 1, ERROR_ACCESS_DENIED,
	       "because no resource-based policy allows the lambda:GetLayerVersion action");
}

static void permit(struct node *node, bool removes, const char *sid, const char *principal,
		   const char *revision_id, struct layer_answer *answer)
{
	const struct directory_layer_permission request = {
		.tenant = OTHER,
		.name = "a",
		.version = 1,
		.revision_id = revision_id,
		.removes = removes,
		.statement = { .sid = sid,
			       .action = "lambda:GetLayerVersion",
			       .principal = principal,
			       .source_arn = "",
			       .source_account = "",
			       .event_source_token = "",
			       .principal_org_id = "",
			       .function_url_auth_type = "" },
	};

	directory_permit_layer(node->directory, &request, take_layer, answer);
	run_until(node, answer->here);
}

static void shared_layers_can_be_used_and_kept(void **state)
{
	struct node *node = *state;
	const char *arns[] = { "arn:aws:lambda:" REGION ":" OTHER ":layer:a:1" };
	_cleanup_layer_answer_ struct layer_answer stale = { 0 }, shared = { 0 }, twice = { 0 };
	_cleanup_layer_answer_ struct layer_answer service = { 0 }, taken = { 0 }, gone = { 0 };
	const struct layer_version *version;
	char revision[UUID_BYTES];

	(void)publish_layer(node, OTHER, "a", "AAA");
	permit(node, false, "s", TENANT, "another", &stale);
	assert_int_equal(stale.error.code, ERROR_PRECONDITION_FAILED);
	permit(node, false, "s", "s3.amazonaws.com", "", &service);
	assert_string_equal(service.error.field, "principal");
	permit(node, false, "s", TENANT, "", &shared);
	assert_int_equal(shared.error.code, ERROR_NONE);
	permit(node, false, "s", "*", "", &twice);
	assert_int_equal(twice.error.code, ERROR_CONFLICT);
	version = directory_find_layer(node->directory, OTHER, "a", 1);
	memcpy(revision, version->revision_id, sizeof(revision));
	reopen(node);
	version = directory_find_layer(node->directory, OTHER, "a", 1);
	assert_string_equal(version->revision_id, revision);
	assert_int_equal(version->policy->count, 1);
	create_layered(node, "f", "zip", arns, 1);
	assert_package(node, "f", "AAA");
	/* Taken back, it cannot be given any more; who has it keeps it. */
	permit(node, true, "s", "", revision, &taken);
	assert_int_equal(taken.error.code, ERROR_NONE);
	refuse(node, arns, 1, ERROR_ACCESS_DENIED, "lambda:GetLayerVersion");
	permit(node, true, "s", "", "", &gone);
	assert_string_equal(gone.error.message, "No policy is associated with the given resource.");
	reopen(node);
	assert_null(directory_find_layer(node->directory, OTHER, "a", 1)->policy);
	assert_package(node, "f", "AAA");
}

/* None is lost, and none comes back with a version that goes. */
static void changes_of_one_version_follow_each_other(void **state)
{
	static const char *const sids[] = { "a", "b", "c", "d" };
	struct node *node = *state;
	struct layer_answer answers[ARRAY_SIZE(sids)] = { 0 }, deleted = { 0 }, late = { 0 };
	struct directory_layer_permission requests[ARRAY_SIZE(sids)];

	(void)publish_layer(node, OTHER, "a", "AAA");
	for (size_t i = 0; i < ARRAY_SIZE(sids); i++) {
		requests[i] = (struct directory_layer_permission){
			.tenant = OTHER, .name = "a", .version = 1, .revision_id = ""
		};
		requests[i].statement = (struct policy_request){
			sids[i], "lambda:GetLayerVersion", TENANT, "", "", "", "", "", false
		};
		directory_permit_layer(node->directory, &requests[i], take_layer, &answers[i]);
	}
	run_until(node, answers[0].here && answers[1].here && answers[2].here && answers[3].here);
	assert_int_equal(directory_find_layer(node->directory, OTHER, "a", 1)->policy->count, 4);
	directory_delete_layer(node->directory, OTHER, "a", 1, take_layer, &deleted);
	requests[0].statement.sid = "e";
	directory_permit_layer(node->directory, &requests[0], take_layer, &late);
	run_until(node, deleted.here && late.here);
	assert_int_equal(late.error.code, ERROR_NOT_FOUND);
	error_clear(&late.error);
	reopen(node);
	assert_null(directory_find_layer(node->directory, OTHER, "a", 1));
}

static void code_and_layers_count_together(void **state)
{
	struct node *node = *state;
	const char *arns[] = { arn_of("a", 1) };
	_cleanup_answer_ struct answer created = { 0 }, code = { 0 }, configured = { 0 };
	struct directory_create_request request = create_request("f", "HUGE");
	struct function_patch patch = { 0 };

	(void)publish_layer(node, TENANT, "a", "HUGE");
	give_layers(&request.config, arns, 1);
	ask_create(node, &request, &created);
	assert_string_equal(created.error.message, "Too much together");
	create_active(node, "huge", "HUGE");
	give_layers(&patch, arns, 1);
	ask_update_configuration(node, "huge", &patch, &configured);
	assert_string_equal(configured.error.message, "Too much together");
	create_layered(node, "small", "zip", arns, 1);
	ask_update_code(node, "small", "HUGE", false, NULL, &code);
	assert_string_equal(code.error.message, "Too much together");
	assert_int_equal(count_files(node, "uploads"), 0);
}

static void every_zip_of_a_tenant_counts(void **state)
{
	const struct directory_layer_request layer = layer_request(TENANT, "b", "1234");
	const struct directory_publish_request publish = { .tenant = TENANT, .name = "f" };
	struct directory_create_request request = create_request("g", "12345");
	_cleanup_layer_answer_ struct layer_answer refused = { 0 };
	_cleanup_answer_ struct answer larger = { 0 }, version = { 0 }, created = { 0 };
	_cleanup_answer_ struct answer smaller = { 0 };
	struct node *node = *state;

	(void)publish_layer(node, TENANT, "a", "123");
	(void)publish_layer(node, OTHER, "a", "123");
	create_active(node, "f", "12345");
	directory_publish(node->directory, &publish, take_answer, &version);
	run_until(node, version.here);
	assert_int_equal(directory_code_bytes(node->directory, TENANT), 3 + 5 + 5);
	node->code_storage = 16;
	directory_publish_layer(node->directory, &layer, take_layer, &refused);
	run_until(node, refused.here);
	assert_int_equal(refused.error.code, ERROR_CODE_STORAGE_EXCEEDED);
	assert_string_equal(refused.error.message, "Code storage limit exceeded.");
	ask_create(node, &request, &created);
	assert_int_equal(created.error.code, ERROR_CODE_STORAGE_EXCEEDED);
	ask_update_code(node, "f", "123456789", false, NULL, &larger);
	assert_int_equal(larger.error.code, ERROR_CODE_STORAGE_EXCEEDED);
	assert_int_equal(count_files(node, "uploads"), 0);
	assert_int_equal(count_files(node, "layers"), 2);
	/* What makes it less is taken, however much there is. */
	node->code_storage = 1;
	ask_update_code(node, "f", "1", false, NULL, &smaller);
	assert_int_equal(smaller.error.code, ERROR_NONE);
	assert_int_equal(directory_code_bytes(node->directory, TENANT), 3 + 5 + 1);
}

static void lists_are_paged(void **state)
{
	struct node *node = *state;
	struct directory_layer_list list = {
		.tenant = TENANT, .runtime = "", .architecture = "", .max_items = 2
	};
	_cleanup_error_ struct error error = ERROR_INIT;
	struct directory_layer_page page;
	char marker[sizeof(page.next_marker)];

	(void)publish_layer(node, TENANT, "c", "1");
	(void)publish_layer(node, TENANT, "a", "1");
	(void)publish_layer(node, TENANT, "b", "1");
	(void)publish_layer(node, TENANT, "b", "2");
	(void)publish_layer(node, OTHER, "d", "1");
	assert_int_equal(directory_list_layers(node->directory, &list, &page, &error), 0);
	assert_int_equal(page.count, 2);
	assert_string_equal(page.versions[0]->name, "a");
	assert_int_equal(page.versions[1]->version, 2);
	memcpy(marker, page.next_marker, sizeof(marker));
	list.marker = marker;
	assert_int_equal(directory_list_layers(node->directory, &list, &page, &error), 0);
	assert_int_equal(page.count, 1);
	assert_string_equal(page.versions[0]->name, "c");
	assert_string_equal(page.next_marker, "");
	list = (struct directory_layer_list){ TENANT, "b", "", "", 1, NULL };
	assert_int_equal(directory_list_layers(node->directory, &list, &page, &error), 0);
	assert_int_equal(page.versions[0]->version, 2);
	memcpy(marker, page.next_marker, sizeof(marker));
	list.marker = marker;
	assert_int_equal(directory_list_layers(node->directory, &list, &page, &error), 0);
	assert_int_equal(page.versions[0]->version, 1);
	assert_string_equal(page.next_marker, "");
	list.marker = "zz";
	assert_true(directory_list_layers(node->directory, &list, &page, &error) < 0);
	assert_string_equal(error.field, "marker");
	error_clear(&error);
	list = (struct directory_layer_list){ TENANT, NULL, "", "", 51, NULL };
	assert_true(directory_list_layers(node->directory, &list, &page, &error) < 0);
	assert_string_equal(error.field, "max_items");
}

/* -- tags -- */

static void ask_tags(struct node *node, const char *name, const struct tag *tags,
		     const char *const *keys, size_t count, struct answer *answer)
{
	const struct directory_tag_request request = { TENANT, name, tags, keys, count };

	directory_tag(node->directory, &request, take_answer, answer);
	run_until(node, answer->here);
}

static void tags_outlive_a_crash(void **state)
{
	static const struct tag tags[] = { { (char *)"team", (char *)"blue" },
					   { (char *)"stage", (char *)"" } };
	static const char *const keys[] = { "stage" };
	struct node *node = *state;
	struct directory_create_request request = create_request("f", "SLOW zip");
	_cleanup_answer_ struct answer created = { 0 }, tagged = { 0 }, gone = { 0 },
				       missing = { 0 };
	char revision[UUID_BYTES];

	request.tags = tags;
	request.tag_count = 1;
	ask_create(node, &request, &created);
	memcpy(revision, find(node, "f")->revision_id, sizeof(revision));
	/* While it is being created: what is still to be built stays. */
	ask_tags(node, "f", tags, NULL, 2, &tagged);
	assert_int_equal(tagged.error.code, ERROR_NONE);
	assert_string_equal(find(node, "f")->revision_id, revision);
	reopen(node);
	set_gate(true);
	run_until(node, find(node, "f")->state == FUNCTION_ACTIVE);
	assert_int_equal(find(node, "f")->tags.count, 2);
	ask_tags(node, "f", NULL, keys, 1, &gone);
	reopen(node);
	assert_int_equal(find(node, "f")->tags.count, 1);
	assert_string_equal(find(node, "f")->tags.tags[0].value, "blue");
	ask_tags(node, "none", tags, NULL, 2, &missing);
	assert_int_equal(missing.error.code, ERROR_NOT_FOUND);
}

/* -- a node that is killed: the child without assertions, which are the parent's -- */

static void wait_for(struct node *node, const bool *here)
{
	while (!*here)
		(void)sd_event_run(loop_event(node->loop), UINT64_MAX);
}

static void reopen_registry(struct node *node)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/registry.db", node->folder);
	assert_int_equal(registry_open_sqlite(path, &node->registry.inner, NULL), 0);
}

/* Publishes, deletes again what has an even number, and says the number, over and over. */
static void publish_and_delete(void *arg, unsigned last, int pipe_fd)
{
	const struct directory_layer_request request = layer_request(TENANT, "l", "zip");
	struct node *node = arg;

	reopen_registry(node);
	open_directory(node);
	for (;;) {
		struct layer_answer answer = { 0 }, deleted = { 0 };

		directory_publish_layer(node->directory, &request, take_layer, &answer);
		wait_for(node, &answer.here);
		if (answer.version <= last)
			_exit(1); /* it failed, or a number was given twice */
		last = (unsigned)answer.version;
		if (last % 2 == 0) {
			directory_delete_layer(node->directory, TENANT, "l", last, take_layer,
					       &deleted);
			wait_for(node, &deleted.here);
		}
		say_done(pipe_fd, last);
	}
}

static void what_was_published_outlives_a_kill(void **state)
{
	struct node *node = *state;
	unsigned last = 0;

	crash(node);
	for (unsigned round = 0; round < ROUNDS; round++) {
		registry_close(node->registry.inner);
		last = run_until_killed(publish_and_delete, node, last, 3, round * 90017);
		reopen_registry(node);
		open_directory(node);
		/* Not all numbers were answered in a life that was killed: those of this one were.
		 */
		for (uint64_t n = last - 2; n <= last; n++)
			assert_int_equal(directory_find_layer(node->directory, TENANT, "l", n) !=
						 NULL,
					 n % 2 != 0);
		/* As many contents as versions, the one in flight among them or not. */
		assert_int_equal(count_files(node, "layers"),
				 directory_count_layers(node->directory, TENANT));
		crash(node);
	}
	open_directory(node);
	assert_true(publish_layer(node, TENANT, "l", "zip") > last);
}

int main(void)
{
#define TEST(name)        cmocka_unit_test_setup_teardown(name, set_up_memory, tear_down)
#define TEST_SQLITE(name) cmocka_unit_test_setup_teardown(name, set_up_sqlite, tear_down)
	const struct CMUnitTest tests[] = {
		TEST_SQLITE(numbers_are_given_once),
		TEST(two_at_once_have_two_numbers),
		TEST(what_is_refused_leaves_nothing),
		TEST_SQLITE(functions_get_their_layers_in_order),
		TEST(new_code_is_merged_with_the_layers),
		TEST(a_layer_that_cannot_be_merged_fails_the_update),
		TEST_SQLITE(contents_go_with_their_last_user),
		TEST_SQLITE(leftovers_are_collected_at_start),
		TEST_SQLITE(an_update_goes_on_after_a_crash),
		TEST(layers_must_be_there_and_ones_own),
		TEST_SQLITE(shared_layers_can_be_used_and_kept),
		TEST_SQLITE(changes_of_one_version_follow_each_other),
		TEST(code_and_layers_count_together),
		TEST(every_zip_of_a_tenant_counts),
		TEST(lists_are_paged),
		TEST_SQLITE(tags_outlive_a_crash),
		TEST_SQLITE(what_was_published_outlives_a_kill),
	};

	log_set_max_priority(LOG_ERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
