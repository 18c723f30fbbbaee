/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/budget_service.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "agent/account/budget.h"
#include "mayfly/v1/budget.pb-c.h"

#define MB_MS_PER_GB_SECOND 1024000
#define LIMIT_MAX           1000000000000ULL

#define SOFT_IS_SET         MAYFLY__V1__BUDGET___SOFT_LIMIT_SOFT_LIMIT
#define HARD_IS_SET         MAYFLY__V1__BUDGET___HARD_LIMIT_HARD_LIMIT

struct budget_service {
	struct account *account;
	struct trail *trail;
	struct usage_service *usage;
	const struct api_context *context;
};

/* -- messages -- */

static int64_t unit_of(enum ledger_measure measure)
{
	return measure == LEDGER_MEASURE_MB_MS ? MB_MS_PER_GB_SECOND : 1;
}

/* Strings are borrowed from the budget. */
static void encode(const struct account_budget *from, Mayfly__V1__Budget *to)
{
	const struct ledger_budget *rule = &from->rule;
	int64_t unit = unit_of(rule->measure);

	mayfly__v1__budget__init(to);
	to->tenant = (char *)(uintptr_t)rule->tenant;
	to->function_name = (char *)(uintptr_t)rule->function;
	to->measure = rule->measure == LEDGER_MEASURE_REQUESTS
			      ? MAYFLY__V1__BUDGET_MEASURE__BUDGET_MEASURE_REQUESTS
			      : MAYFLY__V1__BUDGET_MEASURE__BUDGET_MEASURE_GB_SECONDS;
	to->period = rule->period == LEDGER_PERIOD_DAY
			     ? MAYFLY__V1__BUDGET_PERIOD__BUDGET_PERIOD_DAY
			     : MAYFLY__V1__BUDGET_PERIOD__BUDGET_PERIOD_MONTH;
	if (rule->soft >= 0) {
		to->_soft_limit_case = SOFT_IS_SET;
		to->soft_limit = (uint64_t)(rule->soft / unit);
	}
	if (rule->hard >= 0) {
		to->_hard_limit_case = HARD_IS_SET;
		to->hard_limit = (uint64_t)(rule->hard / unit);
	}
	to->used = (double)from->used / (double)unit;
	to->running = (uint64_t)from->running;
	to->period_begins_us = from->begins_us;
	to->period_ends_us = from->ends_us;
	to->soft_reached = rule->soft >= 0 && from->used >= rule->soft;
	to->hard_reached = rule->hard >= 0 && from->used >= rule->hard;
	to->last_modified_us = rule->modified_us;
}

/* -- requests -- */

static int decode_key(const struct budget_service *service, const char *named,
		      const char *function_name, int measure, int period, struct ledger_budget *ret,
		      struct error *error)
{
	struct function_reference reference = { 0 };
	const char *tenant;
	int r = api_resolve_tenant(service->context, named, &tenant, error);

	if (r == 0 && function_name[0])
		r = api_parse_unqualified(service->context, function_name, tenant, &reference,
					  error);
	if (r < 0)
		return r;
	if (measure != MAYFLY__V1__BUDGET_MEASURE__BUDGET_MEASURE_REQUESTS &&
	    measure != MAYFLY__V1__BUDGET_MEASURE__BUDGET_MEASURE_GB_SECONDS)
		return error_set(error, ERROR_INVALID_PARAMETER, "measure",
				 "The measure must be REQUESTS or GB_SECONDS.");
	if (period != MAYFLY__V1__BUDGET_PERIOD__BUDGET_PERIOD_DAY &&
	    period != MAYFLY__V1__BUDGET_PERIOD__BUDGET_PERIOD_MONTH)
		return error_set(error, ERROR_INVALID_PARAMETER, "period",
				 "The period must be DAY or MONTH.");
	*ret = (struct ledger_budget){
		.measure = measure == MAYFLY__V1__BUDGET_MEASURE__BUDGET_MEASURE_REQUESTS
				   ? LEDGER_MEASURE_REQUESTS
				   : LEDGER_MEASURE_MB_MS,
		.period = period == MAYFLY__V1__BUDGET_PERIOD__BUDGET_PERIOD_DAY
				  ? LEDGER_PERIOD_DAY
				  : LEDGER_PERIOD_MONTH,
		.soft = -1,
		.hard = -1,
	};
	(void)snprintf(ret->tenant, sizeof(ret->tenant), "%s", tenant);
	(void)snprintf(ret->function, sizeof(ret->function), "%s", reference.name);
	return 0;
}

static int decode_limit(bool given, uint64_t limit, const char *field, enum ledger_measure measure,
			int64_t *ret, struct error *error)
{
	if (!given)
		return 0;
	if (limit > LIMIT_MAX)
		return error_set(error, ERROR_INVALID_PARAMETER, field,
				 "A limit must be at most %llu.", LIMIT_MAX);
	*ret = (int64_t)limit * unit_of(measure);
	return 0;
}

static int decode_rule(const struct budget_service *service,
		       const Mayfly__V1__PutBudgetRequest *message, struct ledger_budget *ret,
		       struct error *error)
{
	int r = decode_key(service, message->tenant, message->function_name, (int)message->measure,
			   (int)message->period, ret, error);

	if (r == 0)
		r = decode_limit(message->_soft_limit_case != 0, message->soft_limit, "soft_limit",
				 ret->measure, &ret->soft, error);
	if (r == 0)
		r = decode_limit(message->_hard_limit_case != 0, message->hard_limit, "hard_limit",
				 ret->measure, &ret->hard, error);
	if (r < 0)
		return r;
	if (ret->soft < 0 && ret->hard < 0)
		return error_set(error, ERROR_INVALID_PARAMETER, "hard_limit",
				 "A budget has a soft limit, a hard one or both.");
	if (ret->hard >= 0 && ret->soft > ret->hard)
		return error_set(error, ERROR_INVALID_PARAMETER, "soft_limit",
				 "The soft limit must not be above the hard one.");
	return 0;
}

/* -- answers -- */

static void answer_budget(const struct account_budget *budget, const struct error *error, void *arg)
{
	Mayfly__V1__Budget message;

	if (error) {
		rpc_call_fail(arg, error);
		return;
	}
	encode(budget, &message);
	rpc_call_reply(arg, &message.base);
}

static void answer_deleted(const struct account_budget *budget _unused_, const struct error *error,
			   void *arg)
{
	Mayfly__V1__DeleteBudgetResponse response = MAYFLY__V1__DELETE_BUDGET_RESPONSE__INIT;

	if (error)
		rpc_call_fail(arg, error);
	else
		rpc_call_reply(arg, &response.base);
}

/* -- methods -- */

static void on_put(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	struct budget_service *service = user;
	_cleanup_error_ struct error error = ERROR_INIT;
	struct ledger_budget rule;

	if (decode_rule(service, (const Mayfly__V1__PutBudgetRequest *)message, &rule, &error) <
		    0 ||
	    account_put_budget(service->account, &rule, answer_budget, call, &error) < 0)
		rpc_call_fail(call, &error);
}

static void on_get(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Mayfly__V1__GetBudgetRequest *request = (const Mayfly__V1__GetBudgetRequest *)message;
	struct budget_service *service = user;
	_cleanup_error_ struct error error = ERROR_INIT;
	struct account_budget budget;
	struct ledger_budget key;

	if (decode_key(service, request->tenant, request->function_name, (int)request->measure,
		       (int)request->period, &key, &error) == 0 &&
	    !account_get_budget(service->account, &key, &budget))
		(void)error_set(&error, ERROR_NOT_FOUND, NULL, "There is no such budget.");
	answer_budget(&budget, error.code ? &error : NULL, call);
}

static void reply_list(struct rpc_call *call, const struct account_budget *budgets, size_t count)
{
	Mayfly__V1__ListBudgetsResponse response = MAYFLY__V1__LIST_BUDGETS_RESPONSE__INIT;
	_cleanup_error_ struct error error = ERROR_INIT;
	_cleanup_free_ Mayfly__V1__Budget *messages = calloc(count + 1, sizeof(*messages));
	_cleanup_free_ Mayfly__V1__Budget **pointers =
		(Mayfly__V1__Budget **)calloc(count + 1, sizeof(*pointers));

	if (!messages || !pointers) {
		(void)error_set_errno(&error, ENOMEM, "Cannot answer with budgets");
		rpc_call_fail(call, &error);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		encode(&budgets[i], &messages[i]);
		pointers[i] = &messages[i];
	}
	response.n_budgets = count;
	response.budgets = pointers;
	rpc_call_reply(call, &response.base);
}

static void on_list(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Mayfly__V1__ListBudgetsRequest *request =
		(const Mayfly__V1__ListBudgetsRequest *)message;
	struct budget_service *service = user;
	_cleanup_error_ struct error error = ERROR_INIT;
	_cleanup_free_ struct account_budget *budgets = NULL;
	const char *tenant;
	size_t count = 0;
	int r = api_resolve_tenant(service->context, request->tenant, &tenant, &error);

	if (r == 0) {
		r = account_list_budgets(service->account, request->all_tenants ? "" : tenant,
					 &budgets, &count);
		if (r < 0)
			(void)error_set_errno(&error, r, "Cannot list budgets");
	}
	if (r < 0)
		rpc_call_fail(call, &error);
	else
		reply_list(call, budgets, count);
}

static void on_delete(struct rpc_call *call, const ProtobufCMessage *message, void *user)
{
	const Mayfly__V1__DeleteBudgetRequest *request =
		(const Mayfly__V1__DeleteBudgetRequest *)message;
	struct budget_service *service = user;
	_cleanup_error_ struct error error = ERROR_INIT;
	struct ledger_budget key;

	if (decode_key(service, request->tenant, request->function_name, (int)request->measure,
		       (int)request->period, &key, &error) < 0 ||
	    account_delete_budget(service->account, &key, answer_deleted, call, &error) < 0)
		rpc_call_fail(call, &error);
}

static const struct rpc_method_handler handlers[] = {
	{ "Put", on_put },       { "Get", on_get }, { "List", on_list },
	{ "Delete", on_delete }, { NULL, NULL },
};

/* -- news -- */

static void note(struct trail *trail, const struct account_budget *budget, bool hard)
{
	const struct ledger_budget *rule = &budget->rule;
	int64_t limit = (hard ? rule->hard : rule->soft) / unit_of(rule->measure);
	char text[160];
	const struct audit_record record = {
		.principal = "budget",
		.access_key_id = "",
		.tenant = rule->tenant,
		.method = "mayfly.v1.BudgetService/Reached",
		.resource = rule->function,
		.peer = "",
		.result = "OK",
		.message = text,
		.share = rule->tenant,
	};

	(void)snprintf(text, sizeof(text), "the %s limit of %" PRId64 " %s a %s is reached",
		       hard ? "hard" : "soft", limit, account_measure_name(rule->measure),
		       account_period_name(rule->period));
	trail_note(trail, &record);
}

static void on_reached(const struct account_budget *budget, bool hard, void *arg)
{
	struct budget_service *service = arg;
	Mayfly__V1__Budget message;

	encode(budget, &message);
	if (service->trail)
		note(service->trail, budget, hard);
	if (service->usage)
		usage_service_tell_budget(service->usage, &message, hard);
}

int budget_service_register(struct rpc_server *server, struct account *account, struct trail *trail,
			    struct usage_service *usage, const struct api_context *context,
			    struct budget_service **ret, struct error *error)
{
	_cleanup_(budget_service_free_p) struct budget_service *service =
		calloc(1, sizeof(*service));
	int r;

	if (!service)
		return error_set_errno(error, ENOMEM, "Cannot serve budgets");
	*service = (struct budget_service){
		.account = account, .trail = trail, .usage = usage, .context = context
	};
	r = rpc_server_add_service(server, &mayfly__v1__budget_service__descriptor, handlers,
				   service, error);
	if (r < 0)
		return r;
	account_set_budget_listener(account, on_reached, service);
	*ret = TAKE_PTR(service);
	return 0;
}

struct budget_service *budget_service_free(struct budget_service *service)
{
	if (service)
		account_set_budget_listener(service->account, NULL, NULL);
	free(service);
	return NULL;
}
