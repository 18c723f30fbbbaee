/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/metrics_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "agent/account/budget.h"
#include "mayfly/clock.h"

/* One page on its way. */
struct page {
	const struct metrics_sources *sources;
	struct buf *text;
	int result;
};

static void print(struct page *page, const char *format, ...) _printf_(2, 3);
static void print(struct page *page, const char *format, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, format);
	int n = vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	if (page->result >= 0)
		page->result = n < 0 || (size_t)n >= sizeof(line)
				       ? -ENOBUFS
				       : buf_append(page->text, line, (size_t)n);
}

static void head(struct page *page, const char *name, const char *type, const char *help)
{
	print(page, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* -- per function. Ids and names have no character that would have to be escaped. -- */

#define LABELS "tenant=\"%s\",function=\"%s\""

static void print_invocations(const struct function_metrics *row, void *arg)
{
	print(arg, "mayfly_invocations_total{" LABELS "} %" PRIu64 "\n", row->tenant,
	      row->function_name, row->invocations);
}

static void print_errors(const struct function_metrics *row, void *arg)
{
	print(arg, "mayfly_errors_total{" LABELS "} %" PRIu64 "\n", row->tenant, row->function_name,
	      row->errors);
}

static void print_throttles(const struct function_metrics *row, void *arg)
{
	print(arg, "mayfly_throttles_total{" LABELS "} %" PRIu64 "\n", row->tenant,
	      row->function_name, row->throttles);
}

static void print_starts(const struct function_metrics *row, void *arg)
{
	for (unsigned i = 0; i < _METRICS_START_MAX; i++)
		if (row->starts[i] > 0)
			print(arg, "mayfly_starts_total{" LABELS ",start=\"%s\"} %" PRIu64 "\n",
			      row->tenant, row->function_name, metrics_start_names[i],
			      row->starts[i]);
}

static void print_concurrency(const struct function_metrics *row, void *arg)
{
	struct page *page = arg;

	print(page, "mayfly_concurrent_executions{" LABELS "} %u\n", row->tenant,
	      row->function_name,
	      invoker_function_concurrency(page->sources->invoker, row->tenant,
					   row->function_name));
}

static void print_provisioned(const struct function_metrics *row, void *arg)
{
	print(arg, "mayfly_provisioned_concurrency_invocations_total{" LABELS "} %" PRIu64 "\n",
	      row->tenant, row->function_name, row->provisioned);
}

static void print_spilled_over(const struct function_metrics *row, void *arg)
{
	print(arg,
	      "mayfly_provisioned_concurrency_spillover_invocations_total{" LABELS "} %" PRIu64
	      "\n",
	      row->tenant, row->function_name, row->spilled_over);
}

static void print_provisioned_in_use(const struct function_metrics *row, void *arg)
{
	struct page *page = arg;

	print(page, "mayfly_provisioned_concurrent_executions{" LABELS "} %u\n", row->tenant,
	      row->function_name,
	      invoker_provisioned_concurrency(page->sources->invoker, row->tenant,
					      row->function_name));
}

static void print_utilization(const struct function_metrics *row, void *arg)
{
	struct page *page = arg;
	const struct invoker *invoker = page->sources->invoker;
	unsigned available =
		invoker_provisioned_available(invoker, row->tenant, row->function_name);

	if (available > 0)
		print(page, "mayfly_provisioned_concurrency_utilization{" LABELS "} %.4f\n",
		      row->tenant, row->function_name,
		      (double)invoker_provisioned_concurrency(invoker, row->tenant,
							      row->function_name) /
			      available);
}

static void print_event(const struct function_metrics *row, enum metrics_event event,
			const char *name, void *arg)
{
	print(arg, "%s{" LABELS "} %" PRIu64 "\n", name, row->tenant, row->function_name,
	      row->events[event]);
}

static void print_events_dropped(const struct function_metrics *row, void *arg)
{
	print_event(row, METRICS_EVENT_DROPPED, "mayfly_async_events_dropped_total", arg);
}

static void print_destination_failures(const struct function_metrics *row, void *arg)
{
	print_event(row, METRICS_DESTINATION_FAILED, "mayfly_destination_delivery_failures_total",
		    arg);
}

static void print_dead_letter_errors(const struct function_metrics *row, void *arg)
{
	print_event(row, METRICS_DEAD_LETTER_FAILED, "mayfly_dead_letter_errors_total", arg);
}

static void print_recursive(const struct function_metrics *row, void *arg)
{
	print_event(row, METRICS_RECURSION_DROPPED, "mayfly_recursive_invocations_dropped_total",
		    arg);
}

/* `labels` is empty or ends with a comma. */
static void print_histogram(struct page *page, const char *name, const char *labels,
			    const struct histogram *histogram)
{
	char bare[160];
	uint64_t sum = 0;
	size_t len = strlen(labels);

	for (unsigned i = 0; i < METRICS_BUCKETS; i++) {
		sum += histogram->counts[i];
		if (i + 1 < METRICS_BUCKETS)
			print(page, "%s_bucket{%sle=\"%g\"} %" PRIu64 "\n", name, labels,
			      (double)metrics_bounds_us[i] / USEC_PER_SEC, sum);
		else
			print(page, "%s_bucket{%sle=\"+Inf\"} %" PRIu64 "\n", name, labels, sum);
	}
	(void)snprintf(bare, sizeof(bare), "{%.*s}", len > 0 ? (int)len - 1 : 0, labels);
	print(page, "%s_sum%s %.6f\n", name, bare, (double)histogram->sum_us / USEC_PER_SEC);
	print(page, "%s_count%s %" PRIu64 "\n", name, bare, histogram->count);
}

static void print_duration(const struct function_metrics *row, void *arg)
{
	char labels[128];

	(void)snprintf(labels, sizeof(labels), LABELS ",", row->tenant, row->function_name);
	print_histogram(arg, "mayfly_duration_seconds", labels, &row->duration);
}

static const struct family {
	const char *name, *type, *help;
	void (*row)(const struct function_metrics *row, void *arg);
} families[] = {
	{ "mayfly_invocations_total", "counter",
	  "Invocations whose code ran, with or without a function error.", print_invocations },
	{ "mayfly_errors_total", "counter", "Invocations that ended with a function error.",
	  print_errors },
	{ "mayfly_throttles_total", "counter",
	  "Invocations refused by a limit of concurrency or rate, by a budget, or for want of room "
	  "to wait.",
	  print_throttles },
	{ "mayfly_starts_total", "counter", "Invocations by how their sandbox came to be.",
	  print_starts },
	{ "mayfly_concurrent_executions", "gauge", "Invocations that run now.", print_concurrency },
	{ "mayfly_provisioned_concurrency_invocations_total", "counter",
	  "Invocations that ran in a provisioned place.", print_provisioned },
	{ "mayfly_provisioned_concurrency_spillover_invocations_total", "counter",
	  "Invocations of a provisioned version that found no provisioned place free.",
	  print_spilled_over },
	{ "mayfly_provisioned_concurrent_executions", "gauge",
	  "Invocations that run in provisioned places now.", print_provisioned_in_use },
	{ "mayfly_provisioned_concurrency_utilization", "gauge",
	  "The part of the provisioned sandboxes that runs now.", print_utilization },
	{ "mayfly_async_events_dropped_total", "counter",
	  "Asynchronous invocations of the function that ended without success.",
	  print_events_dropped },
	{ "mayfly_destination_delivery_failures_total", "counter",
	  "Records of them that could not be delivered to a destination.",
	  print_destination_failures },
	{ "mayfly_dead_letter_errors_total", "counter",
	  "Of them that could not be put into the dead letter queue.", print_dead_letter_errors },
	{ "mayfly_recursive_invocations_dropped_total", "counter",
	  "Invocations not made because destinations lead in a circle.", print_recursive },
	{ "mayfly_duration_seconds", "histogram", "Duration of invocations, as REPORT has it.",
	  print_duration },
};

/* -- of tenants, those with rows -- */

struct tenants {
	const char **ids; /* borrowed of the rows */
	size_t count;
	int result;
};

static void take_tenant(const struct function_metrics *row, void *arg)
{
	struct tenants *tenants = arg;
	size_t count = tenants->count;
	const char **more;

	if (tenants->result < 0)
		return;
	if ((count & (count - 1)) == 0) { /* it is full */
		more = (const char **)reallocarray((void *)tenants->ids, count ? 2 * count : 1,
						   sizeof(*more));
		if (!more) {
			tenants->result = -ENOMEM;
			return;
		}
		tenants->ids = more;
	}
	tenants->ids[tenants->count++] = row->tenant;
}

static int compare_ids(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static unsigned in_use_of(const struct concurrency_usage *usage)
{
	return usage->in_use;
}

static unsigned unreserved_of(const struct concurrency_usage *usage)
{
	return usage->unreserved_in_use;
}

static unsigned claimed_of(const struct concurrency_usage *usage)
{
	return usage->unreserved_in_use + usage->reserved;
}

static const struct tenant_gauge {
	const char *name, *help;
	unsigned (*value)(const struct concurrency_usage *usage);
} tenant_gauges[] = {
	{ "mayfly_tenant_concurrent_executions", "Invocations of the tenant that run now.",
	  in_use_of },
	{ "mayfly_unreserved_concurrent_executions",
	  "Of them, those of functions without a reservation.", unreserved_of },
	{ "mayfly_claimed_account_concurrency",
	  "What runs unreserved, and what is reserved or provisioned.", claimed_of },
};

static void print_tenants(struct page *page, const struct metrics *metrics)
{
	struct tenants tenants = { 0 };
	struct concurrency_usage usage;

	metrics_each(metrics, take_tenant, &tenants);
	if (tenants.result < 0)
		page->result = tenants.result;
	if (tenants.count > 0)
		qsort((void *)tenants.ids, tenants.count, sizeof(*tenants.ids), compare_ids);
	for (size_t g = 0; g < ARRAY_SIZE(tenant_gauges); g++) {
		const struct tenant_gauge *gauge = &tenant_gauges[g];

		head(page, gauge->name, "gauge", gauge->help);
		for (size_t i = 0; i < tenants.count; i++) {
			if (i > 0 && strcmp(tenants.ids[i - 1], tenants.ids[i]) == 0)
				continue;
			invoker_tenant_concurrency(page->sources->invoker, tenants.ids[i], &usage);
			print(page, "%s{tenant=\"%s\"} %u\n", gauge->name, tenants.ids[i],
			      gauge->value(&usage));
		}
	}
	free((void *)tenants.ids);
}

/* -- of the node -- */

static void print_phases(struct page *page, const struct metrics *metrics)
{
	char labels[48];

	head(page, "mayfly_phase_seconds", "histogram",
	     "place: the wait for a sandbox; the others of starts with nothing prepared.");
	for (unsigned i = 0; i < _METRICS_PHASE_MAX; i++) {
		(void)snprintf(labels, sizeof(labels), "phase=\"%s\",", metrics_phase_names[i]);
		print_histogram(page, "mayfly_phase_seconds", labels,
				metrics_phase(metrics, (enum metrics_phase)i));
	}
}

static void print_value(struct page *page, const char *name, const char *type, const char *help,
			uint64_t value)
{
	head(page, name, type, help);
	print(page, "%s %" PRIu64 "\n", name, value);
}

static void count(const struct function *function _unused_, void *arg)
{
	++*(uint64_t *)arg;
}

static void print_node(struct page *page)
{
	struct invoker_gauges invoker;
	struct pool_gauges pool;
	uint64_t functions = 0;

	invoker_gauges(page->sources->invoker, &invoker);
	pool_gauges(page->sources->pool, &pool);
	directory_each(page->sources->directory, count, &functions);
	head(page, "mayfly_sandboxes", "gauge", "Sandboxes by what they are doing.");
	print(page, "mayfly_sandboxes{state=\"busy\"} %u\n", pool.busy);
	print(page, "mayfly_sandboxes{state=\"frozen\"} %u\n", pool.frozen);
	print(page, "mayfly_sandboxes{state=\"spare\"} %u\n", pool.spare);
	print(page, "mayfly_sandboxes{state=\"starting\"} %u\n", pool.starting);
	print_value(page, "mayfly_functions", "gauge", "Functions of the node.", functions);
	print_value(page, "mayfly_invocations_running", "gauge",
		    "Invocations admitted and not answered.", invoker.running);
	print_value(page, "mayfly_invocations_waiting", "gauge",
		    "Invocations that wait for a sandbox.", pool.waiting);
	print_value(page, "mayfly_waiting_bytes", "gauge", "Bytes of their events.",
		    invoker.waiting_bytes);
	print_value(page, "mayfly_waiting_refused_total", "counter",
		    "Invocations refused because too much waited.", invoker.waiting_refused);
	print_value(page, "mayfly_waiting_displaced_total", "counter",
		    "The same, after they had waited, to make room for other tenants.",
		    invoker.waiting_displaced);
	print_value(page, "mayfly_sandbox_starts_total", "counter", "Sandboxes started.",
		    pool.starts);
	print_value(page, "mayfly_sandbox_start_failures_total", "counter",
		    "Sandboxes that did not become ready.", pool.start_failures);
	print_value(page, "mayfly_evictions_total", "counter",
		    "Idle sandboxes ended because another function needed the room.",
		    pool.evictions);
	print_value(page, "mayfly_sandbox_memory_bytes", "gauge",
		    "Memory of sandboxes as the budget counts it.", pool.memory_committed_bytes);
	print_value(page, "mayfly_sandbox_memory_budget_bytes", "gauge",
		    "What sandboxes may have in all.", pool.memory_budget_bytes);
}

static void print_events(struct page *page)
{
	struct event_gauges events;

	event_queue_gauges(page->sources->events, &events);
	print_value(page, "mayfly_events_waiting", "gauge",
		    "Asynchronous invocations that have not ended and do not run now.",
		    events.waiting);
	print_value(page, "mayfly_events_running", "gauge", "Asynchronous invocations that run.",
		    events.running);
	print_value(page, "mayfly_events_delivering", "gauge",
		    "Outcomes of asynchronous invocations that no destination has yet.",
		    events.delivering);
	print_value(page, "mayfly_events_delivered_total", "counter",
		    "Outcomes that a destination has.", events.delivered);
	print_value(page, "mayfly_events_received_total", "counter",
		    "Asynchronous invocations taken.", events.received);
	print_value(page, "mayfly_events_succeeded_total", "counter",
		    "Asynchronous invocations that ended with success.", events.succeeded);
	print_value(page, "mayfly_events_retried_total", "counter",
		    "Further tries that a function error made necessary.", events.retried);
	print_value(page, "mayfly_events_delayed_total", "counter",
		    "Tries that a limit or the node did not let run.", events.delayed);
	print_value(page, "mayfly_events_dropped_total", "counter",
		    "Asynchronous invocations that ended without success.", events.dropped);
	head(page, "mayfly_events_oldest_age_seconds", "gauge",
	     "Age of the oldest asynchronous invocation that has not ended.");
	print(page, "mayfly_events_oldest_age_seconds %.3f\n",
	      (double)events.oldest_age_us / USEC_PER_SEC);
}

static void print_budgets(struct page *page)
{
	struct account_budget_counts counts;

	account_budget_counts(page->sources->account, &counts);
	print_value(page, "mayfly_ledger_waiting_records", "gauge",
		    "Usage records that are not in the ledger yet.",
		    account_waiting(page->sources->account));
	print_value(page, "mayfly_budget_soft_reached_total", "counter",
		    "Budgets whose soft limit was reached, once in each period.",
		    counts.soft_reached);
	print_value(page, "mayfly_budget_hard_reached_total", "counter",
		    "Budgets whose hard limit was reached, once in each period.",
		    counts.hard_reached);
	print_value(page, "mayfly_budget_refusals_total", "counter",
		    "Invocations refused because a budget was used up.", counts.refused);
}

static void print_schedules(struct page *page)
{
	struct schedules_gauges schedules;

	schedules_gauges(page->sources->schedules, &schedules);
	print_value(page, "mayfly_schedules", "gauge", "Schedules of the node.", schedules.count);
	print_value(page, "mayfly_schedules_fired_total", "counter",
		    "Occurrences that became events.", schedules.fired);
	print_value(page, "mayfly_schedules_retried_total", "counter",
		    "Further tries to make an occurrence an event.", schedules.retried);
	print_value(page, "mayfly_schedules_failed_total", "counter",
		    "Occurrences that did not become events, and were given up.", schedules.failed);
	print_value(page, "mayfly_schedules_missed_total", "counter",
		    "Occurrences that passed without a try.", schedules.missed);
	head(page, "mayfly_schedules_lag_seconds_total", "counter",
	     "How much later than due occurrences became events, in sum.");
	print(page, "mayfly_schedules_lag_seconds_total %.3f\n",
	      (double)schedules.lag_us / USEC_PER_SEC);
	head(page, "mayfly_schedules_overdue_seconds", "gauge",
	     "How long the occurrence that waits longest has been due.");
	print(page, "mayfly_schedules_overdue_seconds %.3f\n",
	      (double)schedules.overdue_us / USEC_PER_SEC);
}

int metrics_text_write(const struct metrics_sources *sources, struct buf *ret)
{
	struct page page = { .sources = sources, .text = ret };
	const struct metrics *metrics = invoker_metrics(sources->invoker);

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		head(&page, families[i].name, families[i].type, families[i].help);
		metrics_each(metrics, families[i].row, &page);
	}
	print_tenants(&page, metrics);
	print_phases(&page, metrics);
	print_node(&page);
	print_events(&page);
	print_budgets(&page);
	print_schedules(&page);
	return page.result;
}
