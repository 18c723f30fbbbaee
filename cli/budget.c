/* SPDX-License-Identifier: Apache-2.0 */

/* What tenants and functions may use in a day or a month. */

#include <inttypes.h>
#include <string.h>

#include "cli/json_fields.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "mayfly/clock.h"

/* An optional field is there when its case is its number. */
#define SOFT_IS_SET 4 /* of PutBudgetRequest */
#define HARD_IS_SET 5

/* -- words -- */

static const char *measure_name(int measure)
{
	return measure == MAYFLY__V1__BUDGET_MEASURE__BUDGET_MEASURE_GB_SECONDS ? "gb-seconds"
										: "requests";
}

static const char *period_name(int period)
{
	return period == MAYFLY__V1__BUDGET_PERIOD__BUDGET_PERIOD_DAY ? "day" : "month";
}

static Mayfly__V1__BudgetMeasure measure_of(const struct arguments *arguments)
{
	const char *text = argument(arguments, "measure");

	return text && strcmp(text, "gb-seconds") == 0
		       ? MAYFLY__V1__BUDGET_MEASURE__BUDGET_MEASURE_GB_SECONDS
		       : MAYFLY__V1__BUDGET_MEASURE__BUDGET_MEASURE_REQUESTS;
}

static Mayfly__V1__BudgetPeriod period_of(const struct arguments *arguments)
{
	const char *text = argument(arguments, "period");

	return text && strcmp(text, "day") == 0 ? MAYFLY__V1__BUDGET_PERIOD__BUDGET_PERIOD_DAY
						: MAYFLY__V1__BUDGET_PERIOD__BUDGET_PERIOD_MONTH;
}

static const char *state_name(const Mayfly__V1__Budget *budget)
{
	return budget->hard_reached   ? "used up"
	       : budget->soft_reached ? "soft limit reached"
				      : "ok";
}

/* -- output -- */

static json_t *budget_json(const Mayfly__V1__Budget *budget)
{
	json_t *object = json_object();

	json_put_text(object, "Tenant", budget->tenant);
	json_put_text(object, "FunctionName", budget->function_name);
	json_put_text(object, "Measure", measure_name((int)budget->measure));
	json_put_text(object, "Period", period_name((int)budget->period));
	if (budget->_soft_limit_case)
		json_put_number(object, "SoftLimit", budget->soft_limit);
	if (budget->_hard_limit_case)
		json_put_number(object, "HardLimit", budget->hard_limit);
	(void)json_object_set_new(object, "Used", json_real(budget->used));
	json_put_number(object, "Running", budget->running);
	json_put_time(object, "PeriodBegins", budget->period_begins_us);
	json_put_time(object, "PeriodEnds", budget->period_ends_us);
	(void)json_object_set_new(object, "SoftReached", json_boolean(budget->soft_reached));
	(void)json_object_set_new(object, "HardReached", json_boolean(budget->hard_reached));
	json_put_time(object, "LastModified", budget->last_modified_us);
	return object;
}

static void add_row(struct table *table, const Mayfly__V1__Budget *budget)
{
	char ends[CLOCK_ISO8601_BYTES];

	clock_format_iso8601(budget->period_ends_us, ends);
	table_cell(table, "%s", budget->tenant);
	table_cell(table, "%s", budget->function_name[0] ? budget->function_name : "(all)");
	table_cell(table, "%s", measure_name((int)budget->measure));
	table_cell(table, "%s", period_name((int)budget->period));
	if (budget->measure == MAYFLY__V1__BUDGET_MEASURE__BUDGET_MEASURE_REQUESTS)
		table_cell(table, "%.0f", budget->used);
	else
		table_cell(table, "%.3f", budget->used);
	if (budget->_soft_limit_case)
		table_cell(table, "%" PRIu64, budget->soft_limit);
	else
		table_cell(table, "-");
	if (budget->_hard_limit_case)
		table_cell(table, "%" PRIu64, budget->hard_limit);
	else
		table_cell(table, "-");
	table_cell(table, "%s", state_name(budget));
	table_cell(table, "%.16sZ", ends);
}

static void print_table(Mayfly__V1__Budget *const *budgets, size_t count)
{
	static const char *const headers[] = { "TENANT", "FUNCTION", "MEASURE", "PERIOD", "USED",
					       "SOFT",   "HARD",     "STATE",   "UNTIL",  NULL };
	_cleanup_table_ struct table table = { .headers = headers };

	for (size_t i = 0; i < count; i++)
		add_row(&table, budgets[i]);
	table_print(&table);
}

static int print_budget(const struct context *context, Mayfly__V1__Budget *budget)
{
	if (context->json)
		return output_json(budget_json(budget));
	print_table(&budget, 1);
	return 0;
}

/* -- verbs -- */

static int run_put(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__Budget *budget = NULL;
	Mayfly__V1__PutBudgetRequest request = MAYFLY__V1__PUT_BUDGET_REQUEST__INIT;
	int r = argument_number(arguments, "soft", UINT64_MAX, &request.soft_limit,
				&context->error);

	if (r == 0)
		r = argument_number(arguments, "hard", UINT64_MAX, &request.hard_limit,
				    &context->error);
	if (r < 0)
		return r;
	request.function_name = (char *)operand(arguments, 0);
	request.measure = measure_of(arguments);
	request.period = period_of(arguments);
	if (argument(arguments, "soft"))
		request._soft_limit_case = SOFT_IS_SET;
	if (argument(arguments, "hard"))
		request._hard_limit_case = HARD_IS_SET;
	r = client_budget_put(context->client, &request, &budget, &context->error);
	return r < 0 ? r : print_budget(context, budget);
}

static int run_get(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__Budget *budget = NULL;
	Mayfly__V1__GetBudgetRequest request = MAYFLY__V1__GET_BUDGET_REQUEST__INIT;
	int r;

	request.function_name = (char *)operand(arguments, 0);
	request.measure = measure_of(arguments);
	request.period = period_of(arguments);
	r = client_budget_get(context->client, &request, &budget, &context->error);
	return r < 0 ? r : print_budget(context, budget);
}

static int run_list(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__ListBudgetsResponse *list = NULL;
	Mayfly__V1__ListBudgetsRequest request = MAYFLY__V1__LIST_BUDGETS_REQUEST__INIT;
	json_t *budgets;
	int r;

	request.all_tenants = argument_flag(arguments, "all-tenants");
	r = client_budget_list(context->client, &request, &list, &context->error);
	if (r < 0)
		return r;
	if (!context->json) {
		print_table(list->budgets, list->n_budgets);
		return 0;
	}
	budgets = json_array();
	for (size_t i = 0; i < list->n_budgets; i++)
		(void)json_array_append_new(budgets, budget_json(list->budgets[i]));
	return output_json(json_pack("{s:o}", "Budgets", budgets));
}

static int run_delete(struct context *context, const struct arguments *arguments)
{
	_cleanup_message_ Mayfly__V1__DeleteBudgetResponse *response = NULL;
	Mayfly__V1__DeleteBudgetRequest request = MAYFLY__V1__DELETE_BUDGET_REQUEST__INIT;

	request.function_name = (char *)operand(arguments, 0);
	request.measure = measure_of(arguments);
	request.period = period_of(arguments);
	return client_budget_delete(context->client, &request, &response, &context->error);
}

#define KEY_OPTIONS                                                                                \
	{ "measure", 0, OPTION_CHOICE, "requests|gb-seconds", "what is limited (requests)" },      \
	{                                                                                          \
		"period", 0, OPTION_CHOICE, "day|month", "for how long, UTC (month)"               \
	}

static const struct verb_option put_options[] = {
	KEY_OPTIONS,
	{ "soft", 0, OPTION_TEXT, "N", "told when it is reached, once in a period" },
	{ "hard", 0, OPTION_TEXT, "N", "from then on nothing more runs in the period" },
	{ 0 },
};

static const struct verb_option key_options[] = {
	KEY_OPTIONS,
	{ 0 },
};

static const struct verb_option list_options[] = {
	{ "all-tenants", 0, OPTION_FLAG, NULL, "of every tenant, for the operator" },
	{ 0 },
};

const struct verb verb_budget_put = {
	.name = "budget put",
	.operands = "[NAME]",
	.max = 1,
	.summary = "Limit what a tenant or function uses",
	.help = "Without NAME it is about all functions of the tenant. Replaces the budget of the "
		"same\n"
		"measure and period. What was used in the period until now counts.\n\n"
		"Examples:\n"
		"  mayfly budget put --tenant 123456789012 --soft 800000 --hard 1000000\n"
		"  mayfly budget put area --measure gb-seconds --period day --hard 5000\n",
	.options = put_options,
	.run = run_put,
};

const struct verb verb_budget_get = {
	.name = "budget get",
	.operands = "[NAME]",
	.max = 1,
	.summary = "Show a budget and what is used of it",
	.help = "Examples:\n"
		"  mayfly budget get\n"
		"  mayfly budget get area --measure gb-seconds --period day\n",
	.options = key_options,
	.run = run_get,
};

const struct verb verb_budget_list = {
	.name = "budget list",
	.operands = "",
	.summary = "List budgets",
	.help = "Examples:\n"
		"  mayfly budget list\n"
		"  mayfly budget list --all-tenants --output json\n",
	.options = list_options,
	.run = run_list,
};

const struct verb verb_budget_delete = {
	.name = "budget delete",
	.operands = "[NAME]",
	.max = 1,
	.summary = "Delete a budget",
	.help = "Examples:\n"
		"  mayfly budget delete area --measure gb-seconds --period day\n",
	.options = key_options,
	.run = run_delete,
};
