/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_auth mayfly_functions mayfly_rpc mayfly_proto_api mayfly_core mayfly_base

/* Who may call what: every method that the node describes, and every kind of caller. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <google/protobuf/descriptor.pb-c.h>

#include "agent/auth/access.h"
#include "rpc/rpc_server.h"

#define DEFAULT "123456789012"
#define OWN     "111111111111"
#define FOREIGN "222222222222"
#define ABSENT  "999999999999"

/* Callers, in the order of the letters below. */
static const struct principal callers[] = {
	{ .kind = PRINCIPAL_NOBODY },
	{ .kind = PRINCIPAL_OPERATOR, .name = "uid 0" },
	{ .kind = PRINCIPAL_USER, .tenant = OWN, .name = "ann", .role = ROLE_ADMIN },
	{ .kind = PRINCIPAL_USER, .tenant = OWN, .name = "dan", .role = ROLE_DEVELOPER },
	{ .kind = PRINCIPAL_USER, .tenant = OWN, .name = "ivy", .role = ROLE_INVOKER },
	{ .kind = PRINCIPAL_USER, .tenant = OWN, .name = "amy", .role = ROLE_AUDITOR },
};

/* What is meant, said a second time: N nobody, O operator, A admin, D developer, I invoker, U
 * auditor. `tenant`: it is about the tenant that the request names. */
static const struct {
	const char *method;
	const char *may;
	bool tenant;
	enum access_effect effect;
} expected[] = {
	{ "grpc.health.v1.Health/Check", "NOADIU", false, ACCESS_READ },
	{ "grpc.health.v1.Health/Watch", "NOADIU", false, ACCESS_READ },
	{ "grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "OADIU", false, ACCESS_READ },
	{ "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "OADIU", false,
	  ACCESS_READ },
	{ "mayfly.v1.FunctionService/Create", "OAD", true, ACCESS_CHANGE },
	{ "mayfly.v1.FunctionService/Get", "OADU", true, ACCESS_READ },
	{ "mayfly.v1.FunctionService/List", "OADU", true, ACCESS_READ },
	{ "mayfly.v1.FunctionService/UpdateCode", "OAD", true, ACCESS_CHANGE },
	{ "mayfly.v1.FunctionService/UpdateConfiguration", "OAD", true, ACCESS_CHANGE },
	{ "mayfly.v1.FunctionService/Delete", "OAD", true, ACCESS_CHANGE },
	{ "mayfly.v1.FunctionService/PublishVersion", "OAD", true, ACCESS_CHANGE },
	{ "mayfly.v1.FunctionService/ListVersionsByFunction", "OADU", true, ACCESS_READ },
	{ "mayfly.v1.PolicyService/AddPermission", "OAD", true, ACCESS_CHANGE },
	{ "mayfly.v1.PolicyService/RemovePermission", "OAD", true, ACCESS_CHANGE },
	{ "mayfly.v1.PolicyService/GetPolicy", "OADU", true, ACCESS_READ },
	{ "mayfly.v1.EventService/PutEventInvokeConfig", "OAD", true, ACCESS_CHANGE },
	{ "mayfly.v1.EventService/UpdateEventInvokeConfig", "OAD", true, ACCESS_CHANGE },
	{ "mayfly.v1.EventService/GetEventInvokeConfig", "OADU", true, ACCESS_READ },
	{ "mayfly.v1.EventService/DeleteEventInvokeConfig", "OAD", true, ACCESS_CHANGE },
	{ "mayfly.v1.EventService/ListEventInvokeConfigs", "OADU", true, ACCESS_READ },
	{ "mayfly.v1.SchedulerService/CreateSchedule", "OAD", true, ACCESS_CHANGE },
	{ "mayfly.v1.SchedulerService/GetSchedule", "OADU", true, ACCESS_READ },
	{ "mayfly.v1.SchedulerService/UpdateSchedule", "OAD", true, ACCESS_CHANGE },
	{ "mayfly.v1.SchedulerService/DeleteSchedule", "OAD", true, ACCESS_CHANGE },
	{ "mayfly.v1.SchedulerService/ListSchedules", "OADU", true, ACCESS_READ },
	{ "mayfly.v1.QueueService/ListQueues", "OADU", true, ACCESS_READ },
	{ "mayfly.v1.QueueService/ListMessages", "OADU", true, ACCESS_READ },
	{ "mayfly.v1.QueueService/Redrive", "OAD", true, ACCESS_CHANGE },
	{ "mayfly.v1.QueueService/DeleteMessage", "OAD", true, ACCESS_CHANGE },
	{ "mayfly.v1.QueueService/Purge", "OAD", true, ACCESS_CHANGE },
	{ "mayfly.v1.WebhookService/GetSecret", "OA", true, ACCESS_MANAGE },
	{ "mayfly.v1.WebhookService/RotateSecret", "OA", true, ACCESS_MANAGE },
	{ "mayfly.v1.AliasService/Create", "OAD", true, ACCESS_CHANGE },
	{ "mayfly.v1.AliasService/Get", "OADU", true, ACCESS_READ },
	{ "mayfly.v1.AliasService/List", "OADU", true, ACCESS_READ },
	{ "mayfly.v1.AliasService/Update", "OAD", true, ACCESS_CHANGE },
	{ "mayfly.v1.AliasService/Delete", "OAD", true, ACCESS_CHANGE },
	{ "mayfly.v1.LayerService/PublishLayerVersion", "OAD", true, ACCESS_CHANGE },
	{ "mayfly.v1.LayerService/GetLayerVersion", "OADU", true, ACCESS_READ },
	{ "mayfly.v1.LayerService/GetLayerVersionByArn", "OADU", true, ACCESS_READ },
	{ "mayfly.v1.LayerService/ListLayers", "OADU", true, ACCESS_READ },
	{ "mayfly.v1.LayerService/ListLayerVersions", "OADU", true, ACCESS_READ },
	{ "mayfly.v1.LayerService/DeleteLayerVersion", "OAD", true, ACCESS_CHANGE },
	{ "mayfly.v1.LayerService/AddLayerVersionPermission", "OAD", true, ACCESS_CHANGE },
	{ "mayfly.v1.LayerService/RemoveLayerVersionPermission", "OAD", true, ACCESS_CHANGE },
	{ "mayfly.v1.LayerService/GetLayerVersionPolicy", "OADU", true, ACCESS_READ },
	{ "mayfly.v1.TagService/TagResource", "OAD", true, ACCESS_CHANGE },
	{ "mayfly.v1.TagService/UntagResource", "OAD", true, ACCESS_CHANGE },
	{ "mayfly.v1.TagService/ListTags", "OADU", true, ACCESS_READ },
	{ "mayfly.v1.ConcurrencyService/Put", "OAD", true, ACCESS_CHANGE },
	{ "mayfly.v1.ConcurrencyService/Get", "OADU", true, ACCESS_READ },
	{ "mayfly.v1.ConcurrencyService/Delete", "OAD", true, ACCESS_CHANGE },
	{ "mayfly.v1.ConcurrencyService/GetAccountSettings", "OADU", true, ACCESS_READ },
	{ "mayfly.v1.ConcurrencyService/PutProvisionedConcurrencyConfig", "OAD", true,
	  ACCESS_CHANGE },
	{ "mayfly.v1.ConcurrencyService/GetProvisionedConcurrencyConfig", "OADU", true,
	  ACCESS_READ },
	{ "mayfly.v1.ConcurrencyService/DeleteProvisionedConcurrencyConfig", "OAD", true,
	  ACCESS_CHANGE },
	{ "mayfly.v1.ConcurrencyService/ListProvisionedConcurrencyConfigs", "OADU", true,
	  ACCESS_READ },
	{ "mayfly.v1.UsageService/Query", "OADU", true, ACCESS_READ },
	{ "mayfly.v1.UsageService/Export", "OADU", true, ACCESS_READ },
	{ "mayfly.v1.UsageService/Watch", "OADU", true, ACCESS_READ },
	{ "mayfly.v1.UsageService/Reconcile", "O", false, ACCESS_READ },
	{ "mayfly.v1.MetricsService/Watch", "OADU", true, ACCESS_READ },
	{ "mayfly.v1.BudgetService/Put", "O", true, ACCESS_MANAGE },
	{ "mayfly.v1.BudgetService/Get", "OADU", true, ACCESS_READ },
	{ "mayfly.v1.BudgetService/List", "OADU", true, ACCESS_READ },
	{ "mayfly.v1.BudgetService/Delete", "O", true, ACCESS_MANAGE },
	{ "mayfly.v1.InvokeService/Invoke", "OADI", true, ACCESS_INVOKE },
	{ "mayfly.v1.InvokeService/InvokeStream", "OADI", true, ACCESS_INVOKE },
	{ "mayfly.v1.LogService/Get", "OADU", true, ACCESS_READ },
	{ "mayfly.v1.LogService/Tail", "OADU", true, ACCESS_READ },
	{ "mayfly.v1.NodeService/GetNode", "O", false, ACCESS_READ },
	{ "mayfly.v1.NodeService/ListSandboxes", "O", true, ACCESS_READ },
	{ "mayfly.v1.NodeService/ListTemplates", "O", false, ACCESS_READ },
	{ "mayfly.v1.NodeService/Watch", "O", false, ACCESS_READ },
	{ "mayfly.v1.NodeService/SetStartPolicy", "O", true, ACCESS_CHANGE },
	{ "mayfly.v1.TemplateService/List", "O", false, ACCESS_READ },
	{ "mayfly.v1.TemplateService/Build", "O", false, ACCESS_CHANGE },
	{ "mayfly.v1.TemplateService/Drop", "O", false, ACCESS_CHANGE },
	{ "mayfly.v1.TenantService/Create", "O", false, ACCESS_MANAGE },
	{ "mayfly.v1.TenantService/Get", "OAU", true, ACCESS_READ },
	{ "mayfly.v1.TenantService/List", "O", false, ACCESS_READ },
	{ "mayfly.v1.TenantService/Update", "O", false, ACCESS_MANAGE },
	{ "mayfly.v1.TenantService/Suspend", "O", false, ACCESS_MANAGE },
	{ "mayfly.v1.TenantService/Resume", "O", false, ACCESS_MANAGE },
	{ "mayfly.v1.TenantService/Delete", "O", false, ACCESS_MANAGE },
	{ "mayfly.v1.AccessKeyService/Create", "OA", true, ACCESS_MANAGE },
	{ "mayfly.v1.AccessKeyService/List", "OAU", true, ACCESS_READ },
	{ "mayfly.v1.AccessKeyService/SetState", "OA", true, ACCESS_MANAGE },
	{ "mayfly.v1.AccessKeyService/Delete", "OA", true, ACCESS_MANAGE },
	{ "mayfly.v1.AuditService/Query", "OAU", true, ACCESS_READ },
};

static bool is_expected(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		if (strcmp(expected[i].method, path + 1) == 0)
			return true;
	return false;
}

/* A service that is added without a row here and there is found here, not by a user. */
static void test_every_method_has_a_row(void **state _unused_)
{
	struct slice bytes = rpc_embedded_descriptors();
	Google__Protobuf__FileDescriptorSet *set =
		google__protobuf__file_descriptor_set__unpack(NULL, bytes.len, bytes.data);
	size_t methods = 0, rows;

	assert_non_null(set);
	for (size_t f = 0; f < set->n_file; f++)
		for (size_t s = 0; s < set->file[f]->n_service; s++)
			for (size_t m = 0; m < set->file[f]->service[s]->n_method; m++) {
				char path[160];

				(void)snprintf(path, sizeof(path), "/%s.%s/%s",
					       set->file[f]->package,
					       set->file[f]->service[s]->name,
					       set->file[f]->service[s]->method[m]->name);
				if (!access_find(path) || !is_expected(path))
					fail_msg("%s is not in the table", path);
				methods++;
			}
	(void)access_rows(&rows);
	assert_int_equal(rows, methods);
	assert_int_equal(ARRAY_SIZE(expected), methods);
	google__protobuf__file_descriptor_set__free_unpacked(set, NULL);
}

static void test_every_caller_of_every_method(void **state _unused_)
{
	static const char letters[] = "NOADIU";

	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		for (size_t k = 0; k < ARRAY_SIZE(callers); k++) {
			_cleanup_error_ struct error error = ERROR_INIT;
			bool may = strchr(expected[i].may, letters[k]) != NULL;
			char method[160], tenant[TENANT_ID_BYTES];
			int r;

			(void)snprintf(method, sizeof(method), "/%s", expected[i].method);
			assert_int_equal(access_find(method)->effect, expected[i].effect);
			r = access_check(access_find(method), &callers[k], "", DEFAULT, tenant,
					 &error);
			if ((r == 0) != may)
				fail_msg("%s by %c", method, letters[k]);
			if (!may) {
				assert_int_equal(error.code, k == 0 ? ERROR_UNAUTHENTICATED
								    : ERROR_ACCESS_DENIED);
				continue;
			}
			/* An operator sees the audit log of all. */
			bool of_all = k == 1 && strstr(method, "AuditService") != NULL;
			assert_string_equal(tenant, !expected[i].tenant || of_all ? ""
						    : k == 1                      ? DEFAULT
										  : OWN);
		}
}

/* The answer is the same whether the other tenant exists or not, and comes before anything looks.
 */
static void test_a_user_stays_at_home(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		for (size_t k = 2; k < ARRAY_SIZE(callers); k++) {
			_cleanup_error_ struct error foreign = ERROR_INIT, absent = ERROR_INIT;
			char method[160], tenant[TENANT_ID_BYTES];

			if (!expected[i].tenant)
				continue;
			(void)snprintf(method, sizeof(method), "/%s", expected[i].method);
			assert_true(access_check(access_find(method), &callers[k], FOREIGN, DEFAULT,
						 tenant, &foreign) < 0);
			assert_true(access_check(access_find(method), &callers[k], ABSENT, DEFAULT,
						 tenant, &absent) < 0);
			assert_int_equal(foreign.code, ERROR_ACCESS_DENIED);
			assert_int_equal(absent.code, ERROR_ACCESS_DENIED);
			assert_int_equal(strlen(error_text(&foreign)), strlen(error_text(&absent)));
		}
}

static void test_named_tenants(void **state _unused_)
{
	const char *get = "/mayfly.v1.FunctionService/Get";
	_cleanup_error_ struct error error = ERROR_INIT;
	char tenant[TENANT_ID_BYTES];

	assert_int_equal(
		access_check(access_find(get), &callers[1], FOREIGN, DEFAULT, tenant, NULL), 0);
	assert_string_equal(tenant, FOREIGN);
	assert_int_equal(access_check(access_find(get), &callers[2], OWN, DEFAULT, tenant, NULL),
			 0);
	assert_string_equal(tenant, OWN);
	assert_true(access_check(access_find(get), &callers[1], "12", DEFAULT, tenant, &error) < 0);
	assert_int_equal(error.code, ERROR_INVALID_PARAMETER);
	assert_string_equal(error.field, "tenant");
}

static void test_what_is_not_in_the_table(void **state _unused_)
{
	char tenant[TENANT_ID_BYTES];

	for (size_t k = 0; k < ARRAY_SIZE(callers); k++) {
		_cleanup_error_ struct error error = ERROR_INIT;

		assert_true(access_check(access_find("/mayfly.v1.FunctionService/Burn"),
					 &callers[k], "", DEFAULT, tenant, &error) < 0);
		assert_int_equal(error.code, k ? ERROR_ACCESS_DENIED : ERROR_UNAUTHENTICATED);
	}
}

/* What reads a function or runs it may be granted, for it names one; nothing that changes anything.
 */
static void test_what_a_policy_may_grant(void **state _unused_)
{
	size_t count, granted = 0;
	const struct access_row *rows = access_rows(&count);

	for (size_t i = 0; i < count; i++) {
		if (!rows[i].grant)
			continue;
		granted++;
		assert_int_equal(rows[i].scope, ACCESS_TENANT);
		assert_true(rows[i].effect == ACCESS_READ || rows[i].effect == ACCESS_INVOKE);
	}
	assert_int_equal(granted, 3);
	assert_string_equal(access_find("/mayfly.v1.InvokeService/Invoke")->grant,
			    "lambda:InvokeFunction");
	assert_string_equal(access_find("/mayfly.v1.InvokeService/InvokeStream")->grant,
			    "lambda:InvokeFunction");
	assert_string_equal(access_find("/mayfly.v1.FunctionService/Get")->grant,
			    "lambda:GetFunction");
	assert_true(access_role_may(access_find("/mayfly.v1.InvokeService/Invoke"), ROLE_INVOKER));
	assert_false(access_role_may(access_find("/mayfly.v1.InvokeService/Invoke"), ROLE_AUDITOR));
}

/* Of 64: 16 for a tenant, 56 for all users, the rest for operators alone. */
static void test_streams_are_shared(void **state _unused_)
{
	const struct access_row *row = access_find("/mayfly.v1.MetricsService/Watch");
	static const struct {
		struct access_streams open;
		bool user, operator;
	} cases[] = {
		{ { 0, 0, 0 }, true, true },     { { 15, 15, 15 }, true, true },
		{ { 16, 16, 16 }, false, true }, { { 55, 55, 0 }, true, true },
		{ { 56, 56, 0 }, false, true },  { { 63, 56, 1 }, false, true },
		{ { 63, 20, 1 }, true, true },   { { 64, 20, 1 }, false, false },
	};

	assert_int_equal(row->streams, 64);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_error_ struct error error = ERROR_INIT;

		assert_int_equal(access_check_streams(row, &callers[1], &cases[i].open, NULL) == 0,
				 cases[i].operator);
		assert_int_equal(access_check_streams(row, &callers[2], &cases[i].open, &error) ==
					 0,
				 cases[i].user);
		assert_int_equal(error.code, cases[i].user ? ERROR_NONE : ERROR_TOO_MANY_REQUESTS);
	}
}

/* As Lambda's control plane: everything but what is listed, in sum. */
static void test_what_calls_count_as(void **state _unused_)
{
	static const struct {
		const char *method;
		enum access_rate rate;
	} apart[] = {
		{ "/grpc.health.v1.Health/Check", ACCESS_RATE_NONE },
		{ "/grpc.health.v1.Health/Watch", ACCESS_RATE_NONE },
		{ "/mayfly.v1.InvokeService/Invoke", ACCESS_RATE_NONE },
		{ "/mayfly.v1.InvokeService/InvokeStream", ACCESS_RATE_NONE },
		{ "/mayfly.v1.FunctionService/Get", ACCESS_RATE_FUNCTION },
		{ "/mayfly.v1.PolicyService/GetPolicy", ACCESS_RATE_POLICY },
		{ "/mayfly.v1.LogService/Get", ACCESS_RATE_READ },
		{ "/mayfly.v1.LogService/Tail", ACCESS_RATE_READ },
		{ "/mayfly.v1.MetricsService/Watch", ACCESS_RATE_READ },
		{ "/mayfly.v1.UsageService/Query", ACCESS_RATE_READ },
		{ "/mayfly.v1.UsageService/Export", ACCESS_RATE_READ },
		{ "/mayfly.v1.UsageService/Watch", ACCESS_RATE_READ },
		{ "/mayfly.v1.BudgetService/Get", ACCESS_RATE_READ },
		{ "/mayfly.v1.BudgetService/List", ACCESS_RATE_READ },
		{ "/mayfly.v1.QueueService/ListQueues", ACCESS_RATE_READ },
		{ "/mayfly.v1.QueueService/ListMessages", ACCESS_RATE_READ },
		{ "/mayfly.v1.AuditService/Query", ACCESS_RATE_READ },
	};
	const struct access_row *rows;
	size_t count, found = 0;

	rows = access_rows(&count);
	for (size_t i = 0; i < count; i++) {
		enum access_rate rate = ACCESS_RATE_CONTROL;

		for (size_t k = 0; k < ARRAY_SIZE(apart); k++)
			if (strcmp(apart[k].method, rows[i].method) == 0) {
				rate = apart[k].rate;
				found++;
			}
		assert_int_equal(access_rate_of(&rows[i]), rate);
	}
	assert_int_equal(found, ARRAY_SIZE(apart));
	assert_int_equal(access_rate_of(NULL), ACCESS_RATE_CONTROL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_method_has_a_row),
		cmocka_unit_test(test_every_caller_of_every_method),
		cmocka_unit_test(test_a_user_stays_at_home),
		cmocka_unit_test(test_named_tenants),
		cmocka_unit_test(test_what_is_not_in_the_table),
		cmocka_unit_test(test_what_a_policy_may_grant),
		cmocka_unit_test(test_streams_are_shared),
		cmocka_unit_test(test_what_calls_count_as),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
