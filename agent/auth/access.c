/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/auth/access.h"

#include <stdio.h>
#include <string.h>

#define BIT(role)      (1U << (role))
#define ADMINS         BIT(ROLE_ADMIN)
#define DEVELOPERS     (ADMINS | BIT(ROLE_DEVELOPER))
#define INVOKERS       (DEVELOPERS | BIT(ROLE_INVOKER))
#define READERS        (DEVELOPERS | BIT(ROLE_AUDITOR))
#define OVERSEERS      (ADMINS | BIT(ROLE_AUDITOR))
#define OPERATORS      0U

#define FUNCTIONS(m)   "/mayfly.v1.FunctionService/" m
#define ALIASES(m)     "/mayfly.v1.AliasService/" m
#define LAYERS(m)      "/mayfly.v1.LayerService/" m
#define TAGS(m)        "/mayfly.v1.TagService/" m
#define CONCURRENCY(m) "/mayfly.v1.ConcurrencyService/" m
#define USAGE(m)       "/mayfly.v1.UsageService/" m
#define BUDGETS(m)     "/mayfly.v1.BudgetService/" m
#define METRICS(m)     "/mayfly.v1.MetricsService/" m
#define INVOKE(m)      "/mayfly.v1.InvokeService/" m
#define LOGS(m)        "/mayfly.v1.LogService/" m
#define NODE(m)        "/mayfly.v1.NodeService/" m
#define TEMPLATES(m)   "/mayfly.v1.TemplateService/" m
#define TENANTS(m)     "/mayfly.v1.TenantService/" m
#define KEYS(m)        "/mayfly.v1.AccessKeyService/" m
#define EVENTS(m)      "/mayfly.v1.EventService/" m
#define POLICIES(m)    "/mayfly.v1.PolicyService/" m
#define SCHEDULES(m)   "/mayfly.v1.SchedulerService/" m
#define QUEUES(m)      "/mayfly.v1.QueueService/" m
#define WEBHOOKS(m)    "/mayfly.v1.WebhookService/" m
#define AUDIT(m)       "/mayfly.v1.AuditService/" m

/* clang-format off */
static const struct access_row rows[] = {
	{ "/grpc.health.v1.Health/Check",   ACCESS_PUBLIC, 0,          ACCESS_READ },
	{ "/grpc.health.v1.Health/Watch",   ACCESS_PUBLIC, 0,          ACCESS_READ },
	{ "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
					    ACCESS_KNOWN,  0,          ACCESS_READ,
	  .streams = 64 },
	{ "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
					    ACCESS_KNOWN,  0,          ACCESS_READ,
	  .streams = 64 },

	{ FUNCTIONS("Create"),              ACCESS_TENANT, DEVELOPERS, ACCESS_CHANGE },
	{ FUNCTIONS("Get"),                 ACCESS_TENANT, READERS,    ACCESS_READ,
	  .grant = "lambda:GetFunction",
	  .rate = ACCESS_RATE_FUNCTION },
	{ FUNCTIONS("List"),                ACCESS_TENANT, READERS,    ACCESS_READ },
	{ FUNCTIONS("UpdateCode"),          ACCESS_TENANT, DEVELOPERS, ACCESS_CHANGE },
	{ FUNCTIONS("UpdateConfiguration"), ACCESS_TENANT, DEVELOPERS, ACCESS_CHANGE },
	{ FUNCTIONS("Delete"),              ACCESS_TENANT, DEVELOPERS, ACCESS_CHANGE },

	{ FUNCTIONS("PublishVersion"),      ACCESS_TENANT, DEVELOPERS, ACCESS_CHANGE },
	{ FUNCTIONS("ListVersionsByFunction"),
					    ACCESS_TENANT, READERS,    ACCESS_READ },

	{ ALIASES("Create"),                ACCESS_TENANT, DEVELOPERS, ACCESS_CHANGE },
	{ ALIASES("Get"),                   ACCESS_TENANT, READERS,    ACCESS_READ },
	{ ALIASES("List"),                  ACCESS_TENANT, READERS,    ACCESS_READ },
	{ ALIASES("Update"),                ACCESS_TENANT, DEVELOPERS, ACCESS_CHANGE },
	{ ALIASES("Delete"),                ACCESS_TENANT, DEVELOPERS, ACCESS_CHANGE },

	{ POLICIES("AddPermission"),        ACCESS_TENANT, DEVELOPERS, ACCESS_CHANGE },
	{ POLICIES("RemovePermission"),     ACCESS_TENANT, DEVELOPERS, ACCESS_CHANGE },
	{ POLICIES("GetPolicy"),            ACCESS_TENANT, READERS,    ACCESS_READ,
	  .rate = ACCESS_RATE_POLICY },

	{ LAYERS("PublishLayerVersion"),    ACCESS_TENANT, DEVELOPERS, ACCESS_CHANGE },
	{ LAYERS("GetLayerVersion"),        ACCESS_TENANT, READERS,    ACCESS_READ },
	{ LAYERS("GetLayerVersionByArn"),   ACCESS_TENANT, READERS,    ACCESS_READ },
	{ LAYERS("ListLayers"),             ACCESS_TENANT, READERS,    ACCESS_READ },
	{ LAYERS("ListLayerVersions"),      ACCESS_TENANT, READERS,    ACCESS_READ },
	{ LAYERS("DeleteLayerVersion"),     ACCESS_TENANT, DEVELOPERS, ACCESS_CHANGE },
	{ LAYERS("AddLayerVersionPermission"),
					    ACCESS_TENANT, DEVELOPERS, ACCESS_CHANGE },
	{ LAYERS("RemoveLayerVersionPermission"),
					    ACCESS_TENANT, DEVELOPERS, ACCESS_CHANGE },
	{ LAYERS("GetLayerVersionPolicy"),  ACCESS_TENANT, READERS,    ACCESS_READ },

	{ TAGS("TagResource"),              ACCESS_TENANT, DEVELOPERS, ACCESS_CHANGE },
	{ TAGS("UntagResource"),            ACCESS_TENANT, DEVELOPERS, ACCESS_CHANGE },
	{ TAGS("ListTags"),                 ACCESS_TENANT, READERS,    ACCESS_READ },

	{ CONCURRENCY("Put"),               ACCESS_TENANT, DEVELOPERS, ACCESS_CHANGE },
	{ CONCURRENCY("Get"),               ACCESS_TENANT, READERS,    ACCESS_READ },
	{ CONCURRENCY("Delete"),            ACCESS_TENANT, DEVELOPERS, ACCESS_CHANGE },
	{ CONCURRENCY("GetAccountSettings"),
					    ACCESS_TENANT, READERS,    ACCESS_READ },
	{ CONCURRENCY("PutProvisionedConcurrencyConfig"),
					    ACCESS_TENANT, DEVELOPERS, ACCESS_CHANGE },
	{ CONCURRENCY("GetProvisionedConcurrencyConfig"),
					    ACCESS_TENANT, READERS,    ACCESS_READ },
	{ CONCURRENCY("DeleteProvisionedConcurrencyConfig"),
					    ACCESS_TENANT, DEVELOPERS, ACCESS_CHANGE },
	{ CONCURRENCY("ListProvisionedConcurrencyConfigs"),
					    ACCESS_TENANT, READERS,    ACCESS_READ },

	{ EVENTS("PutEventInvokeConfig"),   ACCESS_TENANT, DEVELOPERS, ACCESS_CHANGE },
	{ EVENTS("UpdateEventInvokeConfig"),
					    ACCESS_TENANT, DEVELOPERS, ACCESS_CHANGE },
	{ EVENTS("GetEventInvokeConfig"),   ACCESS_TENANT, READERS,    ACCESS_READ },
	{ EVENTS("DeleteEventInvokeConfig"),
					    ACCESS_TENANT, DEVELOPERS, ACCESS_CHANGE },
	{ EVENTS("ListEventInvokeConfigs"), ACCESS_TENANT, READERS,    ACCESS_READ },

	{ SCHEDULES("CreateSchedule"),      ACCESS_TENANT, DEVELOPERS, ACCESS_CHANGE },
	{ SCHEDULES("GetSchedule"),         ACCESS_TENANT, READERS,    ACCESS_READ },
	{ SCHEDULES("UpdateSchedule"),      ACCESS_TENANT, DEVELOPERS, ACCESS_CHANGE },
	{ SCHEDULES("DeleteSchedule"),      ACCESS_TENANT, DEVELOPERS, ACCESS_CHANGE },
	{ SCHEDULES("ListSchedules"),       ACCESS_TENANT, READERS,    ACCESS_READ },
	{ QUEUES("ListQueues"),             ACCESS_TENANT, READERS,    ACCESS_READ,
	  .rate = ACCESS_RATE_READ },
	{ QUEUES("ListMessages"),           ACCESS_TENANT, READERS,    ACCESS_READ,
	  .rate = ACCESS_RATE_READ },
	{ QUEUES("Redrive"),                ACCESS_TENANT, DEVELOPERS, ACCESS_CHANGE },
	{ QUEUES("DeleteMessage"),          ACCESS_TENANT, DEVELOPERS, ACCESS_CHANGE },
	{ QUEUES("Purge"),                  ACCESS_TENANT, DEVELOPERS, ACCESS_CHANGE },
	/* Who has read a secret is as much worth knowing as who has changed it. */
	{ WEBHOOKS("GetSecret"),            ACCESS_TENANT, ADMINS,     ACCESS_MANAGE },
	{ WEBHOOKS("RotateSecret"),         ACCESS_TENANT, ADMINS,     ACCESS_MANAGE },

	{ USAGE("Query"),                   ACCESS_TENANT, READERS,    ACCESS_READ,
	  .rate = ACCESS_RATE_READ },
	{ USAGE("Export"),                  ACCESS_TENANT, READERS,    ACCESS_READ,
	  .streams = 64, .rate = ACCESS_RATE_READ },
	{ USAGE("Watch"),                   ACCESS_TENANT, READERS,    ACCESS_READ,
	  .streams = 256, .rate = ACCESS_RATE_READ },
	{ USAGE("Reconcile"),               ACCESS_NODE,   OPERATORS,  ACCESS_READ },

	{ BUDGETS("Put"),                   ACCESS_TENANT, OPERATORS,  ACCESS_MANAGE },
	{ BUDGETS("Get"),                   ACCESS_TENANT, READERS,    ACCESS_READ,
	  .rate = ACCESS_RATE_READ },
	{ BUDGETS("List"),                  ACCESS_TENANT, READERS,    ACCESS_READ,
	  .rate = ACCESS_RATE_READ },
	{ BUDGETS("Delete"),                ACCESS_TENANT, OPERATORS,  ACCESS_MANAGE },

	{ METRICS("Watch"),                 ACCESS_TENANT, READERS,    ACCESS_READ,
	  .streams = 64, .rate = ACCESS_RATE_READ },

	{ INVOKE("Invoke"),                 ACCESS_TENANT, INVOKERS,   ACCESS_INVOKE,
	  .grant = "lambda:InvokeFunction" },
	{ INVOKE("InvokeStream"),           ACCESS_TENANT, INVOKERS,   ACCESS_INVOKE,
	  .grant = "lambda:InvokeFunction" },

	{ LOGS("Get"),                      ACCESS_TENANT, READERS,    ACCESS_READ,
	  .rate = ACCESS_RATE_READ },
	{ LOGS("Tail"),                     ACCESS_TENANT, READERS,    ACCESS_READ,
	  .streams = 256, .rate = ACCESS_RATE_READ },

	{ NODE("GetNode"),                  ACCESS_NODE,   OPERATORS,  ACCESS_READ },
	{ NODE("ListSandboxes"),            ACCESS_TENANT, OPERATORS,  ACCESS_READ },
	{ NODE("ListTemplates"),            ACCESS_NODE,   OPERATORS,  ACCESS_READ },
	{ NODE("Watch"),                    ACCESS_NODE,   OPERATORS,  ACCESS_READ,
	  .streams = 64 },
	{ NODE("SetStartPolicy"),           ACCESS_TENANT, OPERATORS,  ACCESS_CHANGE },

	{ TEMPLATES("List"),                ACCESS_NODE,   OPERATORS,  ACCESS_READ },
	{ TEMPLATES("Build"),               ACCESS_NODE,   OPERATORS,  ACCESS_CHANGE },
	{ TEMPLATES("Drop"),                ACCESS_NODE,   OPERATORS,  ACCESS_CHANGE },

	{ TENANTS("Create"),                ACCESS_NODE,   OPERATORS,  ACCESS_MANAGE },
	{ TENANTS("Get"),                   ACCESS_TENANT, OVERSEERS,  ACCESS_READ },
	{ TENANTS("List"),                  ACCESS_NODE,   OPERATORS,  ACCESS_READ },
	{ TENANTS("Update"),                ACCESS_NODE,   OPERATORS,  ACCESS_MANAGE },
	{ TENANTS("Suspend"),               ACCESS_NODE,   OPERATORS,  ACCESS_MANAGE },
	{ TENANTS("Resume"),                ACCESS_NODE,   OPERATORS,  ACCESS_MANAGE },
	{ TENANTS("Delete"),                ACCESS_NODE,   OPERATORS,  ACCESS_MANAGE },

	{ KEYS("Create"),                   ACCESS_TENANT, ADMINS,     ACCESS_MANAGE },
	{ KEYS("List"),                     ACCESS_TENANT, OVERSEERS,  ACCESS_READ },
	{ KEYS("SetState"),                 ACCESS_TENANT, ADMINS,     ACCESS_MANAGE },
	{ KEYS("Delete"),                   ACCESS_TENANT, ADMINS,     ACCESS_MANAGE },

	{ AUDIT("Query"),                   ACCESS_TRAIL,  OVERSEERS,  ACCESS_READ,
	  .rate = ACCESS_RATE_READ },
};
/* clang-format on */

static const char *const role_names[ROLE_COUNT] = {
	[ROLE_ADMIN] = "admin",
	[ROLE_DEVELOPER] = "developer",
	[ROLE_INVOKER] = "invoker",
	[ROLE_AUDITOR] = "auditor",
};

const char *role_name(enum role role)
{
	return (unsigned)role < ROLE_COUNT ? role_names[role] : "invalid";
}

const struct access_row *access_rows(size_t *ret_count)
{
	*ret_count = ARRAY_SIZE(rows);
	return rows;
}

const struct access_row *access_find(const char *method)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (strcmp(rows[i].method, method) == 0)
			return &rows[i];
	return NULL;
}

static int refuse(const struct access_row *row, const struct principal *principal,
		  struct error *error)
{
	const char *method = row ? row->method : "/This method";

	if (principal->kind == PRINCIPAL_USER)
		return error_set(error, ERROR_ACCESS_DENIED, NULL,
				 "User: arn:aws:iam::%s:user/%s is not authorized to perform: %s",
				 principal->tenant, principal->name, method + 1);
	return error_set(error, ERROR_ACCESS_DENIED, NULL, "%s may not be called.", method);
}

/* Of a user it must be the own one, whatever else there is. */
static int choose_tenant(const struct principal *principal, const char *named,
			 const char *default_tenant, char ret_tenant[TENANT_ID_BYTES],
			 struct error *error)
{
	const char *own = principal->kind == PRINCIPAL_USER ? principal->tenant : default_tenant;

	if (named[0] && !tenant_id_is_valid(named))
		return error_set(error, ERROR_INVALID_PARAMETER, "tenant",
				 "The tenant must be empty or an account id of 12 digits.");
	if (named[0] && principal->kind == PRINCIPAL_USER && strcmp(named, own) != 0)
		return error_set(error, ERROR_ACCESS_DENIED, "tenant",
				 "Tenant %s is not accessible to users of tenant %s.", named, own);
	(void)snprintf(ret_tenant, TENANT_ID_BYTES, "%s", named[0] ? named : own);
	return 0;
}

int access_greet(const struct access_row *row, const struct principal *principal,
		 struct error *error)
{
	if ((row && row->scope == ACCESS_PUBLIC) || principal->kind != PRINCIPAL_NOBODY)
		return 0;
	return error_set(error, ERROR_UNAUTHENTICATED, NULL,
			 "The security token included in the request is invalid.");
}

/* What is for anybody knows no caller whom it could count for; invocations have limits of their
 * own. */
enum access_rate access_rate_of(const struct access_row *row)
{
	if (!row)
		return ACCESS_RATE_CONTROL;
	if (row->scope == ACCESS_PUBLIC || row->effect == ACCESS_INVOKE)
		return ACCESS_RATE_NONE;
	return row->rate;
}

int access_check_streams(const struct access_row *row, const struct principal *principal,
			 const struct access_streams *open, struct error *error)
{
	unsigned kept = row->streams / ACCESS_STREAMS_KEPT;
	unsigned own = row->streams / ACCESS_STREAMS_OF_TENANT;
	bool is_user = principal->kind == PRINCIPAL_USER;

	if (is_user && open->of_tenant >= own)
		return error_set(error, ERROR_TOO_MANY_REQUESTS, NULL,
				 "Tenant %s has %u of these streams open, as many as one tenant "
				 "may have.",
				 principal->tenant, own);
	if (open->all >= row->streams || (is_user && open->of_users >= row->streams - kept))
		return error_set(error, ERROR_TOO_MANY_REQUESTS, NULL,
				 "The node has as many of these streams open as it may have.");
	return 0;
}

bool access_role_may(const struct access_row *row, enum role role)
{
	return (row->roles & BIT(role)) != 0;
}

int access_check(const struct access_row *row, const struct principal *principal, const char *named,
		 const char *default_tenant, char ret_tenant[TENANT_ID_BYTES], struct error *error)
{
	bool is_operator = principal->kind == PRINCIPAL_OPERATOR;
	int r = access_greet(row, principal, error);

	ret_tenant[0] = 0;
	if (r < 0)
		return r;
	if (!row)
		return refuse(row, principal, error);
	if (row->scope == ACCESS_PUBLIC || row->scope == ACCESS_KNOWN)
		return 0;
	if (!is_operator && (row->scope == ACCESS_NODE || !access_role_may(row, principal->role)))
		return refuse(row, principal, error);
	if (row->scope == ACCESS_NODE || (row->scope == ACCESS_TRAIL && is_operator))
		return 0;
	return choose_tenant(principal, named, default_tenant, ret_tenant, error);
}
