/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_api mayfly_deploy mayfly_store mayfly_auth mayfly_functions mayfly_core mayfly_base

/* Resource policies: what a statement may say and looks like, whom it lets in, whose it is, how it
 * is kept. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "agent/api/grant.h"
#include "agent/deploy/alias_directory.h"
#include "agent/deploy/policy_directory.h"
#include "tests/unit/versions_harness.h"

#define ARN     "arn:aws:lambda:" REGION ":" TENANT ":function:f"
#define OTHER   "210987654321"
#define MISSING "999999999999"
#define ANN     "arn:aws:iam::" OTHER ":user/ann"

static struct policy_request statement(const char *sid, const char *action, const char *principal)
{
	return (struct policy_request){ .sid = sid,
					.action = action,
					.principal = principal,
					.source_arn = "",
					.source_account = "",
					.event_source_token = "",
					.principal_org_id = "",
					.function_url_auth_type = "" };
}

/* -- rules -- */

static void assert_statement(const struct policy_request *request, const char *json)
{
	_cleanup_(policy_free_p) struct policy *policy = NULL;
	_cleanup_error_ struct error error = ERROR_INIT;
	_cleanup_free_ char *text = NULL;

	if (policy_add(NULL, request, ARN, &policy, &error) < 0)
		fail_msg("%s: %s", request->principal, error_text(&error));
	text = policy_statement_json(&policy->statements[0], ARN);
	assert_string_equal(text, json);
}

#define HEAD     "{\"Sid\":\"s\",\"Effect\":\"Allow\",\"Principal\":"
#define MIDDLE   ",\"Action\":\"lambda:InvokeFunction\",\"Resource\":\"" ARN "\""
#define INVOKING "lambda:InvokeFunction"

static void test_what_a_statement_looks_like(void **state _unused_)
{
	static const char *const principals[][2] = {
		{ "*", "\"*\"" },
		{ OTHER, "{\"AWS\":\"arn:aws:iam::" OTHER ":root\"}" },
		{ "arn:aws:iam::" OTHER ":root", "{\"AWS\":\"arn:aws:iam::" OTHER ":root\"}" },
		{ ANN, "{\"AWS\":\"" ANN "\"}" },
		{ "s3.amazonaws.com", "{\"Service\":\"s3.amazonaws.com\"}" },
	};
	struct policy_request request;

	for (size_t i = 0; i < ARRAY_SIZE(principals); i++) {
		char json[512];

		(void)snprintf(json, sizeof(json), HEAD "%s" MIDDLE "}", principals[i][1]);
		request = statement("s", INVOKING, principals[i][0]);
		assert_statement(&request, json);
	}
	request = statement("s", INVOKING, "s3.amazonaws.com");
	request.source_arn = "arn:aws:s3:::bucket";
	request.source_account = OTHER;
	request.event_source_token = "token-1";
	request.principal_org_id = "o-a1b2c3d4e5";
	request.invoked_via_function_url = true;
	assert_statement(&request, HEAD "{\"Service\":\"s3.amazonaws.com\"}" MIDDLE
					",\"Condition\":{\"StringEquals\":{\"aws:PrincipalOrgID\":"
					"\"o-a1b2c3d4e5\",\"AWS:SourceAccount\":\"" OTHER
					"\",\"lambda:EventSourceToken\":\"token-1\"},\"Bool\":{"
					"\"lambda:InvokedViaFunctionUrl\":\"true\"},\"ArnLike\":{"
					"\"AWS:SourceArn\":\"arn:aws:s3:::bucket\"}}}");
}

static void assert_refused(const struct policy_request *request, enum error_code code,
			   const char *text)
{
	struct policy *policy = NULL;
	_cleanup_error_ struct error error = ERROR_INIT;

	assert_true(policy_add(NULL, request, ARN, &policy, &error) < 0);
	assert_int_equal(error.code, code);
	if (!strstr(error_text(&error), text))
		fail_msg("%s, not %s", error_text(&error), text);
}

static void test_bad_statements(void **state _unused_)
{
	static const char *const principals[] = { "12345678901",
						  "ann",
						  "arn:aws:iam::12:root",
						  "arn:aws:iam::" OTHER ":user/",
						  "arn:aws:iam:" OTHER ":root",
						  "arn:aws:iam::" OTHER ":group/g",
						  "amazonaws.com",
						  ".amazonaws.com",
						  "S3.amazonaws.com",
						  "arn:aws:iam::" OTHER ":root:x" };
	static const struct {
		size_t field;
		const char *value, *path;
	} fields[] = {
		{ offsetof(struct policy_request, sid), "", "'statementId'" },
		{ offsetof(struct policy_request, sid), "a b", "'statementId'" },
		{ offsetof(struct policy_request, action), "s3:Get", "'action'" },
		{ offsetof(struct policy_request, action), "lambda:Invoke*", "'action'" },
		{ offsetof(struct policy_request, action), "lambda:", "'action'" },
		{ offsetof(struct policy_request, principal), "", "'principal'" },
		{ offsetof(struct policy_request, principal), "a b", "'principal'" },
		{ offsetof(struct policy_request, source_arn), "bucket", "'sourceArn'" },
		{ offsetof(struct policy_request, source_arn), "arn:aws:s3", "'sourceArn'" },
		{ offsetof(struct policy_request, source_arn), "arn:aws:s3::12:b", "'sourceArn'" },
		{ offsetof(struct policy_request, source_account), "12", "'sourceAccount'" },
		{ offsetof(struct policy_request, event_source_token), "a b",
		  "'eventSourceToken'" },
		{ offsetof(struct policy_request, principal_org_id), "o-1", "'principalOrgID'" },
		{ offsetof(struct policy_request, function_url_auth_type), "SOME",
		  "[NONE, AWS_IAM]" },
		{ offsetof(struct policy_request, function_url_auth_type), "NONE",
		  "FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(principals); i++) {
		struct policy_request request = statement("s", INVOKING, principals[i]);

		assert_refused(&request, ERROR_INVALID_PARAMETER,
			       "The provided principal was invalid. Please check the principal and "
			       "try again.");
	}
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		struct policy_request request = statement("s", INVOKING, "*");

		*(const char **)((char *)&request + fields[i].field) = fields[i].value;
		assert_refused(&request, ERROR_INVALID_PARAMETER, fields[i].path);
	}
}

static void test_statements_follow_each_other(void **state _unused_)
{
	const struct policy_request a = statement("a", INVOKING, "*"),
				    b = statement("b", "lambda:*", OTHER);
	_cleanup_(policy_free_p) struct policy *one = NULL, *two = NULL, *left = NULL;
	struct policy *none;
	_cleanup_error_ struct error twice = ERROR_INIT, absent = ERROR_INIT, empty = ERROR_INIT;
	_cleanup_free_ char *json = NULL;

	assert_int_equal(policy_add(NULL, &a, ARN, &one, NULL), 0);
	assert_int_equal(policy_add(one, &b, ARN, &two, NULL), 0);
	assert_true(policy_add(two, &a, ARN, &none, &twice) < 0);
	assert_int_equal(twice.code, ERROR_CONFLICT);
	assert_string_equal(error_text(&twice),
			    "The statement id (a) provided already exists. Please provide a new "
			    "statement id, or remove the existing statement.");
	json = policy_json(two, ARN);
	assert_string_equal(json, "{\"Version\":\"2012-10-17\",\"Id\":\"default\",\"Statement\":["
				  "{\"Sid\":\"a\",\"Effect\":\"Allow\",\"Principal\":\"*\"" MIDDLE
				  "},{\"Sid\":\"b\",\"Effect\":\"Allow\",\"Principal\":{\"AWS\":"
				  "\"arn:aws:iam::" OTHER ":root\"},\"Action\":\"lambda:*\","
				  "\"Resource\":\"" ARN "\"}]}");
	assert_true(policy_remove(two, "c", &none, &absent) < 0);
	assert_string_equal(error_text(&absent), "Statement c is not found in resource policy.");
	assert_int_equal(policy_remove(two, "a", &left, NULL), 0);
	assert_int_equal(left->count, 1);
	assert_string_equal(left->statements[0].sid, "b");
	assert_int_equal(policy_remove(left, "b", &none, NULL), 0);
	assert_null(none);
	assert_true(policy_remove(NULL, "b", &none, &empty) < 0);
	assert_string_equal(error_text(&empty), "No policy is associated with the given resource.");
}

static void test_twenty_kilobytes(void **state _unused_)
{
	_cleanup_(policy_free_p) struct policy *policy = NULL;
	_cleanup_error_ struct error error = ERROR_INIT;
	_cleanup_free_ char *json = NULL;
	unsigned n = 0;
	char sid[16];

	for (int r = 0; r == 0; n++) {
		struct policy_request request = statement(sid, INVOKING, ANN);
		struct policy *next = NULL;

		assert_true(n < 1000);
		(void)snprintf(sid, sizeof(sid), "s%u", n);
		r = policy_add(policy, &request, ARN, &next, &error);
		if (r == 0) {
			policy_free(policy);
			policy = next;
		}
	}
	assert_int_equal(error.code, ERROR_POLICY_LENGTH_EXCEEDED);
	assert_non_null(strstr(error_text(&error), ") is bigger than the limit (20480)."));
	json = policy_json(policy, ARN);
	assert_true(strlen(json) <= POLICY_MAX_BYTES && strlen(json) > POLICY_MAX_BYTES - 300);
}

/* -- deciding -- */

static const struct policy_caller guest = { OTHER, "ann", false, true };
static const struct policy_caller weak_guest = { OTHER, "ann", false, false };
static const struct policy_caller local = { TENANT, "ann", true, false };

static void test_who_is_let_in(void **state _unused_)
{
	/* G a guest whose role would do, W one whose role would not, L one of the own tenant. */
	static const struct {
		const char *principal, *action, *lets;
	} rows[] = {
		{ "*", INVOKING, "GL" },
		{ "*", "lambda:*", "GL" },
		{ "*", "*", "GL" },
		{ "*", "lambda:invokefunction", "GL" },
		{ "*", "lambda:GetFunction", "" },
		{ "*", "lambda:InvokeFunctionUrl", "" },
		{ OTHER, INVOKING, "G" },
		{ "arn:aws:iam::" OTHER ":root", INVOKING, "G" },
		{ ANN, INVOKING, "G" },
		{ "arn:aws:iam::" OTHER ":user/an", INVOKING, "" },
		{ "arn:aws:iam::" OTHER ":user/anne", INVOKING, "" },
		{ "arn:aws:iam::" OTHER ":user/team/ann", INVOKING, "" },
		{ "arn:aws:iam::" OTHER ":role/ann", INVOKING, "" },
		{ MISSING, INVOKING, "" },
		{ TENANT, INVOKING, "" }, /* the own account's roles decide */
		{ "arn:aws:iam::" TENANT ":user/ann", INVOKING, "L" },
		{ "lambda.amazonaws.com", INVOKING, "" },
	};
	static const struct policy_caller *const callers[] = { &guest, &weak_guest, &local };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct policy_request request = statement("s", rows[i].action, rows[i].principal);
		_cleanup_(policy_free_p) struct policy *policy = NULL;

		assert_int_equal(policy_add(NULL, &request, ARN, &policy, NULL), 0);
		for (size_t k = 0; k < ARRAY_SIZE(callers); k++)
			if (policy_grants(policy, INVOKING, callers[k]) !=
			    (strchr(rows[i].lets, "GWL"[k]) != NULL))
				fail_msg("%s %s %c", rows[i].principal, rows[i].action, "GWL"[k]);
	}
	assert_false(policy_grants(NULL, INVOKING, &guest));
}

/* What cannot be known here does not hold. */
static void test_a_condition_lets_nobody_in(void **state _unused_)
{
	static const struct {
		size_t field;
		const char *value;
	} conditions[] = {
		{ offsetof(struct policy_request, source_arn), "arn:aws:s3:::b" },
		{ offsetof(struct policy_request, source_account), OTHER },
		{ offsetof(struct policy_request, event_source_token), "t" },
		{ offsetof(struct policy_request, principal_org_id), "o-a1b2c3d4e5" },
	};
	struct policy_request request = statement("s", INVOKING, "*");
	_cleanup_(policy_free_p) struct policy *url = NULL;

	request.invoked_via_function_url = true;
	assert_int_equal(policy_add(NULL, &request, ARN, &url, NULL), 0);
	assert_false(policy_grants(url, INVOKING, &guest));
	for (size_t i = 0; i < ARRAY_SIZE(conditions); i++) {
		_cleanup_(policy_free_p) struct policy *policy = NULL;

		request = statement("s", INVOKING, "*");
		*(const char **)((char *)&request + conditions[i].field) = conditions[i].value;
		assert_int_equal(policy_add(NULL, &request, ARN, &policy, NULL), 0);
		assert_false(policy_grants(policy, INVOKING, &guest));
	}
}

/* -- in the directory -- */

static void ask(struct node *node, bool adds, const char *qualifier, const char *sid,
		const char *revision_id, struct answer *answer)
{
	const struct directory_permission request = {
		.tenant = TENANT,
		.function_name = "f",
		.qualifier = qualifier,
		.revision_id = revision_id,
		.statement = statement(sid, INVOKING, "*"),
	};

	if (adds)
		directory_add_permission(node->directory, &request, take_answer, answer);
	else
		directory_remove_permission(node->directory, &request, take_answer, answer);
	run_until(node, answer->here);
}

static void change(struct node *node, bool adds, const char *qualifier, const char *sid)
{
	_cleanup_answer_ struct answer answer = { 0 };

	ask(node, adds, qualifier, sid, "", &answer);
	if (answer.error.code)
		fail_msg("%s", error_text(&answer.error));
}

static void assert_answer(struct node *node, bool adds, const char *qualifier, const char *sid,
			  const char *revision_id, enum error_code code, const char *text)
{
	_cleanup_answer_ struct answer answer = { 0 };

	ask(node, adds, qualifier, sid, revision_id, &answer);
	assert_int_equal(answer.error.code, code);
	assert_string_equal(error_text(&answer.error), text);
}

/* Its sids, "" when it is empty; NULL when there is nobody whose it could be. */
static const char *sids(struct node *node, const char *qualifier)
{
	static char text[64];
	const struct policy *policy;
	const char *revision_id;
	size_t len = 0;

	if (!directory_find_policy(node->directory, TENANT, "f", qualifier, &policy, &revision_id))
		return NULL;
	text[0] = 0;
	for (size_t i = 0; policy && i < policy->count; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s",
					policy->statements[i].sid);
	return text;
}

static void set_here(const struct alias *alias _unused_, const struct error *error, void *arg)
{
	assert_null(error);
	*(bool *)arg = true;
}

static const struct directory_alias_request alias_request = {
	.tenant = TENANT, .function_name = "f", .name = "live", .patch = { .version = "1" }
};

static void make_alias(struct node *node)
{
	bool here = false;

	directory_create_alias(node->directory, &alias_request, set_here, &here);
	run_until(node, here);
}

static void make_all(struct node *node)
{
	create_active(node, "f", "one");
	publish(node, "1");
	make_alias(node);
}

static void assert_all(struct node *node)
{
	assert_string_equal(sids(node, ""), "ab");
	assert_string_equal(sids(node, "$LATEST"), "ab");
	assert_string_equal(sids(node, "1"), "c");
	assert_string_equal(sids(node, "live"), "d");
}

static void test_each_has_its_own_and_it_is_kept(void **state)
{
	struct node *node = *state;

	make_all(node);
	change(node, true, "", "a");
	change(node, true, "", "b");
	change(node, true, "1", "c");
	change(node, true, "live", "d");
	assert_all(node);
	crash(node);
	open_directory(node);
	assert_all(node);
	/* Updates of function and alias leave it, a new version begins without. */
	set_memory(node, 256);
	publish(node, "2");
	assert_string_equal(sids(node, "2"), "");
	assert_all(node);
	change(node, false, "", "a");
	change(node, false, "live", "d");
	crash(node);
	open_directory(node);
	assert_string_equal(sids(node, ""), "b");
	assert_string_equal(sids(node, "live"), "");
}

static void test_it_goes_with_whose_it_is(void **state)
{
	struct node *node = *state;
	_cleanup_answer_ struct answer version = { 0 }, function = { 0 };
	bool here = false;

	make_all(node);
	change(node, true, "", "a");
	change(node, true, "1", "c");
	change(node, true, "live", "d");
	directory_delete_alias(node->directory, &alias_request, set_here, &here);
	run_until(node, here);
	assert_null(sids(node, "live"));
	make_alias(node);
	assert_string_equal(sids(node, "live"), "");
	here = false;
	directory_delete_alias(node->directory, &alias_request, set_here, &here);
	run_until(node, here);
	ask_delete_version(node, 1, &version);
	assert_null(sids(node, "1"));
	ask_delete(node, "f", &function);
	assert_null(sids(node, ""));
	create_active(node, "f", "two");
	crash(node);
	open_directory(node);
	assert_string_equal(sids(node, ""), "");
}

static void test_revisions(void **state)
{
	static const char mismatch[] =
		"The Revision Id provided does not match the latest Revision Id. Call the "
		"GetPolicy API to retrieve the latest Revision Id";
	struct node *node = *state;
	const struct policy *policy;
	const char *revision_id;
	char before[37];

	make_all(node);
	memcpy(before, find(node, "f")->revision_id, sizeof(before));
	assert_answer(node, true, "", "a", "stale", ERROR_PRECONDITION_FAILED, mismatch);
	assert_string_equal(sids(node, ""), "");
	{
		_cleanup_answer_ struct answer answer = { 0 };

		ask(node, true, "", "a", before, &answer);
		assert_int_equal(answer.error.code, ERROR_NONE);
	}
	assert_string_not_equal(find(node, "f")->revision_id, before);
	assert_answer(node, false, "", "a", before, ERROR_PRECONDITION_FAILED, mismatch);
	assert_string_equal(sids(node, ""), "a");
	assert_true(
		directory_find_policy(node->directory, TENANT, "f", "live", &policy, &revision_id));
	memcpy(before, revision_id, sizeof(before));
	change(node, true, "live", "d");
	assert_true(
		directory_find_policy(node->directory, TENANT, "f", "live", &policy, &revision_id));
	assert_string_not_equal(revision_id, before);
}

static void test_what_is_not_there(void **state)
{
	struct node *node = *state;

	assert_answer(node, true, "", "a", "", ERROR_NOT_FOUND, "Function not found: " ARN);
	assert_answer(node, false, "", "a", "", ERROR_NOT_FOUND, "No policy found for: " ARN);
	make_all(node);
	assert_answer(node, true, "$LATEST", "a", "", ERROR_INVALID_PARAMETER,
		      "We currently do not support adding policies for $LATEST.");
	assert_answer(node, true, "7", "a", "", ERROR_NOT_FOUND, "Function not found: " ARN ":7");
	assert_answer(node, true, "dead", "a", "", ERROR_NOT_FOUND,
		      "Cannot find alias arn: " ARN ":dead");
	assert_answer(node, false, "", "a", "", ERROR_NOT_FOUND,
		      "No policy is associated with the given resource.");
}

/* Nothing is seen of a statement that could not be written down. */
static void test_a_full_disk(void **state)
{
	struct node *node = *state;

	make_all(node);
	__atomic_store_n(&node->registry.full, true, __ATOMIC_SEQ_CST);
	assert_answer(node, true, "", "a", "", ERROR_UNAVAILABLE, "The disk is full.");
	assert_answer(node, true, "live", "a", "", ERROR_UNAVAILABLE, "The disk is full.");
	__atomic_store_n(&node->registry.full, false, __ATOMIC_SEQ_CST);
	assert_string_equal(sids(node, ""), "");
	assert_string_equal(sids(node, "live"), "");
}

/* -- at the gate -- */

static bool is_granted(struct node *node, const struct principal *user, const char *tenant,
		       const char *name, const char *qualifier, bool is_refused)
{
	const struct grant_question question = {
		.row = access_find("/mayfly.v1.InvokeService/Invoke"),
		.user = user,
		.tenant = tenant,
		.function_name = name,
		.qualifier = qualifier,
		.is_refused = is_refused,
	};
	char owner[TENANT_ID_BYTES] = "";
	bool granted = grant_find(node->directory, &question, owner);

	if (granted)
		assert_string_equal(owner, TENANT);
	return granted;
}

static void test_the_question_of_the_gate(void **state)
{
	const struct principal ann = { .kind = PRINCIPAL_USER,
				       .name = "ann",
				       .tenant = OTHER,
				       .role = ROLE_INVOKER },
			       amy = { .kind = PRINCIPAL_USER,
				       .name = "amy",
				       .tenant = OTHER,
				       .role = ROLE_AUDITOR },
			       here = { .kind = PRINCIPAL_USER,
					.name = "eve",
					.tenant = TENANT,
					.role = ROLE_AUDITOR };
	struct node *node = *state;

	make_all(node);
	assert_false(is_granted(node, &ann, "", ARN, "", false));
	change(node, true, "", "a");
	assert_true(is_granted(node, &ann, "", ARN, "", false));
	assert_true(is_granted(node, &ann, "", ARN, "$LATEST", false));
	assert_true(is_granted(node, &ann, "", TENANT ":function:f", "", false));
	assert_true(is_granted(node, &ann, OTHER, ARN, "", false));
	assert_true(is_granted(node, &ann, TENANT, "f", "", true));
	/* Of its qualifiers each has its own. */
	assert_false(is_granted(node, &ann, "", ARN ":1", "", false));
	assert_false(is_granted(node, &ann, "", ARN, "live", false));
	change(node, true, "live", "b");
	assert_true(is_granted(node, &ann, "", ARN ":live", "", false));
	assert_false(is_granted(node, &amy, "", ARN, "", true)); /* nor at home */
	assert_true(is_granted(node, &here, "", "f", "", true));
	assert_false(is_granted(node, &here, "", "f", "", false)); /* not asked for */
	assert_false(is_granted(node, &ann, MISSING, ARN, "", true));
	assert_false(is_granted(node, &ann, "", "f", "", true)); /* the own f, which is not there */
	assert_false(is_granted(node, &ann, "", "arn:aws:lambda:xx-west-1:" TENANT ":function:f",
				"", false));
	assert_false(is_granted(node, &ann, "", ARN ":live:x", "", false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_a_statement_looks_like),
		cmocka_unit_test(test_bad_statements),
		cmocka_unit_test(test_statements_follow_each_other),
		cmocka_unit_test(test_twenty_kilobytes),
		cmocka_unit_test(test_who_is_let_in),
		cmocka_unit_test(test_a_condition_lets_nobody_in),
		cmocka_unit_test_setup_teardown(test_each_has_its_own_and_it_is_kept, set_up_sqlite,
						tear_down),
		cmocka_unit_test_setup_teardown(test_it_goes_with_whose_it_is, set_up_sqlite,
						tear_down),
		cmocka_unit_test_setup_teardown(test_revisions, set_up_memory, tear_down),
		cmocka_unit_test_setup_teardown(test_what_is_not_there, set_up_memory, tear_down),
		cmocka_unit_test_setup_teardown(test_a_full_disk, set_up_memory, tear_down),
		cmocka_unit_test_setup_teardown(test_the_question_of_the_gate, set_up_memory,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
