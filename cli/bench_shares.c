/* SPDX-License-Identifier: Apache-2.0 */

/* What tenants get of a node that is full, against their weights: tenants of the benchmark's own
 * want more than there is, the first of them by far the most. */

#include "cli/bench_cpu.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <time.h>

#include "cli/output.h"
#include "cli/package.h"
#include "cli/tenant_output.h"
#include "cli/verbs.h"
#include "mayfly/clock.h"

#define PARTIES_MAX     8
#define WEIGHT_MAX      1000
#define IN_FLIGHT_MIN   8 /* invocations of each tenant at once, while the CPUs are shared */
#define IN_FLIGHT_MAX   128
#define PER_CPU         4 /* the same: none may lack work while another's waits */
#define GREEDY_TIMES    4 /* as many of the first one */
#define BUSY_LIMIT_US   (60 * USEC_PER_SEC)
#define RESTORES_WANTED 150 /* of each tenant: more than are done in the time */
#define MAX_DURATION_S  600
#define STACK_BYTES     (256U << 10)

/* Works as long as its event says, counted in rounds and not in time; or sleeps. */
static const char source[] = "import time\n\n"
			     "def handler(event, context):\n"
			     "    time.sleep(event.get('sleep_ms', 0) / 1000)\n"
			     "    total = 0\n"
			     "    for i in range(event.get('rounds', 0)):\n"
			     "        total += i\n"
			     "    return total\n";

struct shares;

/* A tenant. */
struct party {
	struct shares *shares;
	struct context context; /* with a client of this tenant's */
	struct bench bench;
	char tenant[16]; /* "" until it is made */
	unsigned weight;
	unsigned in_flight;
	struct bench_cpu before; /* when the measurement began */
	atomic_uint done;        /* invocations that ended within the time */
	atomic_uint failed;
	unsigned restores;
	double cpu_s; /* negative: not known */
};

struct shares {
	struct context *context;
	struct party parties[PARTIES_MAX]; /* owned */
	unsigned n;
	unsigned of_each; /* in flight, while the CPUs are shared */
	int64_t duration_us;
	unsigned rounds;
	char event[64]; /* of the phase under way */
	/* Of threads: */
	atomic_bool counting;
	atomic_bool over;
};

static bool says(const struct shares *shares)
{
	return !shares->over && !interrupted;
}

/* -- tenants and their functions -- */

static int make_tenant(struct shares *shares, struct party *party)
{
	_cleanup_message_ Mayfly__V1__Tenant *tenant = NULL;
	Mayfly__V1__CreateTenantRequest request = MAYFLY__V1__CREATE_TENANT_REQUEST__INIT;
	Mayfly__V1__TenantLimits limits = MAYFLY__V1__TENANT_LIMITS__INIT;
	struct error *e = &shares->context->error;

	request.name = (char *)(uintptr_t) "mayfly bench shares";
	limits._weight_case = MAYFLY__V1__TENANT_LIMITS___WEIGHT_WEIGHT;
	limits.weight = party->weight;
	request.limits = &limits;
	int r = client_tenant_create(shares->context->client, &request, &tenant, e);
	if (r < 0)
		return r;
	(void)snprintf(party->tenant, sizeof(party->tenant), "%s", tenant->tenant);
	party->context.options = shares->context->options;
	r = client_open_with(&party->context.options, &party->context.client, e);
	if (r == 0)
		r = client_set_tenant(party->context.client, party->tenant, e);
	if (r == 0)
		client_set_cancel_flag(party->context.client, &interrupted);
	return r;
}

static int make_party(struct shares *shares, struct party *party)
{
	struct bench *bench = &party->bench;
	int r = make_tenant(shares, party);

	if (r < 0)
		return r;
	bench->context = &party->context;
	bench->runtime = "python3.13";
	bench->handler = "lambda_function.handler";
	bench->memory_mb = 128;
	r = package_from_text("lambda_function.py", source, &bench->zip, &party->context.error);
	return r < 0 ? r : bench_deploy(bench, false);
}

/* Best effort: the benchmark is over, also after Ctrl-C. */
static void end_party(struct shares *shares, struct party *party)
{
	_cleanup_message_ Mayfly__V1__DeleteTenantResponse *response = NULL;
	Mayfly__V1__DeleteTenantRequest request = MAYFLY__V1__DELETE_TENANT_REQUEST__INIT;
	_cleanup_error_ struct error e = ERROR_INIT;

	if (party->bench.context)
		bench_end(&party->bench);
	if (party->context.client)
		(void)client_close(party->context.client);
	error_clear(&party->context.error);
	bench_cpu_clear(&party->before);
	if (!party->tenant[0])
		return;
	request.tenant = party->tenant;
	client_set_cancel_flag(shares->context->client, NULL);
	if (client_tenant_delete(shares->context->client, &request, &response, &e) < 0)
		(void)fprintf(stderr, "mayfly: cannot delete tenant %s: %s\n", party->tenant,
			      error_text(&e));
	client_set_cancel_flag(shares->context->client, &interrupted);
}

static void shares_end(struct shares *shares)
{
	progress_end();
	for (unsigned i = 0; i < shares->n; i++)
		end_party(shares, &shares->parties[i]);
}

/* -- load -- */

struct thread {
	struct party *party;
	pthread_t id;
};

/* One after the other, each asked for as soon as the one before is answered. */
static void *invoke_on_and_on(void *arg)
{
	struct party *party = ((struct thread *)arg)->party;
	struct shares *shares = party->shares;
	Mayfly__V1__InvokeRequest request = MAYFLY__V1__INVOKE_REQUEST__INIT;

	request.function_name = party->bench.function;
	request.payload = (ProtobufCBinaryData){ strlen(shares->event), (uint8_t *)shares->event };
	while (says(shares)) {
		_cleanup_invocation_ struct client_invocation invocation = CLIENT_INVOCATION_INIT;
		_cleanup_error_ struct error e = ERROR_INIT;
		int r = client_invoke(party->context.client, &request, CLIENT_NO_TIMEOUT,
				      &invocation, &e);
		bool good = r == 0 && !*invocation.response->function_error;

		if (good && shares->counting)
			party->done++;
		if (!good && says(shares))
			party->failed++;
		if (!good) /* refused: not in a busy loop */
			(void)clock_nanosleep(CLOCK_MONOTONIC, 0,
					      &(struct timespec){ .tv_nsec = 100000000 }, NULL);
	}
	return NULL;
}

static unsigned start_threads(struct shares *shares, struct thread *threads)
{
	pthread_attr_t attributes;
	unsigned n = 0;

	(void)pthread_attr_init(&attributes);
	(void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
	for (unsigned i = 0; i < shares->n; i++)
		for (unsigned k = 0; k < shares->parties[i].in_flight; k++) {
			threads[n].party = &shares->parties[i];
			if (pthread_create(&threads[n].id, &attributes, invoke_on_and_on,
					   &threads[n]) == 0)
				n++;
		}
	(void)pthread_attr_destroy(&attributes);
	return n;
}

static void wait_us(int64_t us)
{
	int64_t until_us = clock_monotonic_us() + us;

	while (!interrupted && clock_monotonic_us() < until_us)
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){ .tv_nsec = 20000000 },
				      NULL);
}

static int read_cpu(struct party *party, struct bench_cpu *ret)
{
	return bench_cpu_read(party->shares->context, party->tenant, ret);
}

/* None of its sandboxes is to have come or gone meanwhile. */
static int end_reading(struct party *party)
{
	struct bench_cpu after;
	int r = read_cpu(party, &after);

	if (r == 0 && bench_cpu_between(&party->before, &after, &party->cpu_s) < 0)
		r = error_set(
			&party->shares->context->error, ERROR_INTERNAL, NULL,
			"sandboxes of tenant %s came and went while CPU time was measured: do it "
			"again, beside nothing else",
			party->tenant);
	bench_cpu_clear(&after);
	return r;
}

/* -- the two measurements -- */

static int count_busy(struct party *party, unsigned *ret)
{
	struct bench_cpu reading;
	int r = read_cpu(party, &reading);

	*ret = reading.busy;
	bench_cpu_clear(&reading);
	return r;
}

/* Each has what it wants in flight, and nothing is started any more. */
static int wait_until_all_work(struct shares *shares)
{
	int64_t until_us = clock_monotonic_us() + BUSY_LIMIT_US;

	for (unsigned i = 0; i < shares->n; i++) {
		struct party *party = &shares->parties[i];
		unsigned busy = 0;
		int r = bench_start_no_more(&party->bench);

		if (r < 0) {
			error_move(&shares->context->error, &party->context.error);
			return r;
		}
		/* One that has just answered is about to have its next. */
		while (busy < party->in_flight - party->in_flight / 8) {
			wait_us(50 * USEC_PER_MSEC);
			r = count_busy(party, &busy);
			if (r < 0)
				return r;
			if (interrupted || clock_monotonic_us() > until_us)
				return error_set(&shares->context->error, ERROR_INTERNAL, NULL,
						 "tenant %s has %u of %u invocations running",
						 party->tenant, busy, party->in_flight);
		}
	}
	return 0;
}

static int measure_cpu(struct shares *shares)
{
	int r = wait_until_all_work(shares);

	if (r < 0)
		return r;
	wait_us(shares->duration_us / 4);
	for (unsigned i = 0; i < shares->n && r == 0; i++)
		r = read_cpu(&shares->parties[i], &shares->parties[i].before);
	if (r < 0)
		return r;
	shares->counting = true;
	wait_us(shares->duration_us);
	shares->counting = false;
	for (unsigned i = 0; i < shares->n && r == 0; i++)
		r = end_reading(&shares->parties[i]);
	return r;
}

/* Every invocation sleeps longer than is measured, so each needs a sandbox of its own. */
static int measure_restores(struct shares *shares)
{
	wait_us(shares->duration_us);
	for (unsigned i = 0; i < shares->n; i++) {
		int r = count_busy(&shares->parties[i], &shares->parties[i].restores);
		if (r < 0)
			return r;
		if (shares->parties[i].restores >= RESTORES_WANTED)
			return error_set(&shares->context->error, ERROR_INVALID_PARAMETER,
					 "duration",
					 "a tenant had all the sandboxes it wanted: take a "
					 "shorter --duration");
	}
	return 0;
}

static unsigned in_flight(unsigned party, unsigned of_each)
{
	return party == 0 ? of_each * GREEDY_TIMES : of_each;
}

static int run_phase(struct shares *shares, const char *name, unsigned of_each,
		     int (*measure)(struct shares *shares))
{
	unsigned all = (shares->n - 1 + GREEDY_TIMES) * of_each;
	_cleanup_free_ struct thread *threads = calloc(all, sizeof(*threads));

	if (!threads)
		return error_set_errno(&shares->context->error, ENOMEM, "cannot start");
	for (unsigned i = 0; i < shares->n; i++)
		shares->parties[i].in_flight = in_flight(i, of_each);
	shares->over = false;
	progress("%s of %u tenants", name, shares->n);
	unsigned started = start_threads(shares, threads);
	int r = started == all ? measure(shares)
			       : error_set_errno(&shares->context->error, EAGAIN,
						 "cannot start %u threads", all);
	shares->over = true;
	/* Who still waits for a sandbox is told that the function is gone. */
	for (unsigned i = 0; i < shares->n && measure == measure_restores; i++)
		bench_end(&shares->parties[i].bench);
	for (unsigned i = 0; i < started; i++)
		(void)pthread_join(threads[i].id, NULL);
	progress_end();
	if (r == 0 && interrupted)
		r = error_set(&shares->context->error, ERROR_CANCELLED, NULL, "interrupted");
	return r;
}

/* With `spares`, as many as each has in flight, so that nothing starts while CPU time is shared. */
static int set_policies(struct shares *shares, Mayfly__V1__StartPolicy policy, unsigned spares)
{
	for (unsigned i = 0; i < shares->n; i++) {
		progress("sandboxes of tenant %u", i + 1);
		int r = bench_set_policy(&shares->parties[i].bench, policy, in_flight(i, spares));
		if (r < 0) {
			error_move(&shares->context->error, &shares->parties[i].context.error);
			return r;
		}
	}
	return 0;
}

static int choose_in_flight(struct shares *shares)
{
	_cleanup_message_ Mayfly__V1__Node *node = NULL;
	int r = client_node_get(shares->context->client, &node, &shares->context->error);

	if (r < 0)
		return r;
	shares->of_each = node->cpu_count * PER_CPU;
	if (shares->of_each < IN_FLIGHT_MIN)
		shares->of_each = IN_FLIGHT_MIN;
	if (shares->of_each > IN_FLIGHT_MAX)
		shares->of_each = IN_FLIGHT_MAX;
	return 0;
}

static int run_both(struct shares *shares)
{
	int chosen = choose_in_flight(shares);

	if (chosen < 0)
		return chosen;
	for (unsigned i = 0; i < shares->n; i++) {
		int r = make_party(shares, &shares->parties[i]);
		if (r < 0) {
			if (shares->context->error.code == ERROR_NONE)
				error_move(&shares->context->error,
					   &shares->parties[i].context.error);
			return r;
		}
	}
	int r = set_policies(shares, MAYFLY__V1__START_POLICY__START_POLICY_SPARE, shares->of_each);
	(void)snprintf(shares->event, sizeof(shares->event), "{\"rounds\": %u}", shares->rounds);
	if (r == 0)
		r = run_phase(shares, "CPU time", shares->of_each, measure_cpu);
	if (r == 0)
		r = set_policies(shares, MAYFLY__V1__START_POLICY__START_POLICY_RESTORE, 0);
	int64_t sleep_ms = shares->duration_us / USEC_PER_MSEC * 2;
	(void)snprintf(shares->event, sizeof(shares->event), "{\"sleep_ms\": %" PRId64 "}",
		       sleep_ms);
	return r < 0 ? r : run_phase(shares, "restores", RESTORES_WANTED, measure_restores);
}

/* -- figures -- */

struct part {
	const char *name;
	double value[PARTIES_MAX];
	double sum;
};

static void take_part(const struct shares *shares, struct part *part, const char *name,
		      double (*value)(const struct party *party))
{
	*part = (struct part){ .name = name };
	for (unsigned i = 0; i < shares->n; i++) {
		part->value[i] = value(&shares->parties[i]);
		part->sum += part->value[i];
	}
}

static double value_weight(const struct party *party)
{
	return party->weight;
}

static double value_done(const struct party *party)
{
	return party->done;
}

static double value_cpu(const struct party *party)
{
	return party->cpu_s > 0 ? party->cpu_s : 0;
}

static double value_restores(const struct party *party)
{
	return party->restores;
}

/* What it had by what it was to have. */
static double ratio_of(const struct part *part, const struct part *weights, unsigned i)
{
	return part->sum > 0 ? part->value[i] / part->sum / (weights->value[i] / weights->sum) : 0;
}

static void party_to_row(const struct party *party, const struct part *parts, unsigned n_parts,
			 const struct part *weights, unsigned i, struct table *table)
{
	table_cell(table, "%s", party->tenant);
	table_cell(table, "%u", party->weight);
	table_cell(table, "%.1f %%", 100 * weights->value[i] / weights->sum);
	for (unsigned k = 0; k < n_parts; k++) {
		if (parts[k].sum > 0)
			table_cell(table, "%.4g (%.1f %%)", parts[k].value[i],
				   100 * parts[k].value[i] / parts[k].sum);
		else
			table_cell(table, "-");
		table_cell(table, "%.3f", ratio_of(&parts[k], weights, i));
	}
	table_cell(table, "%u", party->failed);
}

static json_t *party_to_json(const struct party *party, const struct part *parts, unsigned n_parts,
			     const struct part *weights, unsigned i)
{
	json_t *json =
		json_pack("{s:s,s:I,s:f,s:I}", "tenant", party->tenant, "weight",
			  (json_int_t)party->weight, "weight_share",
			  weights->value[i] / weights->sum, "failed", (json_int_t)party->failed);

	for (unsigned k = 0; k < n_parts; k++) {
		if (parts[k].sum <= 0)
			continue;
		(void)json_object_set_new(json, parts[k].name,
					  json_pack("{s:f,s:f,s:f}", "value", parts[k].value[i],
						    "share", parts[k].value[i] / parts[k].sum,
						    "ratio", ratio_of(&parts[k], weights, i)));
	}
	return json;
}

static int print(const struct shares *shares)
{
	static const char *const headers[] = { "TENANT", "WEIGHT", "OF ALL", "INVOCATIONS",
					       "RATIO",  "CPU s",  "RATIO",  "RESTORES",
					       "RATIO",  "FAILED", NULL };
	_cleanup_table_ struct table table = { .headers = headers };
	_cleanup_json_ json_t *host = bench_host(shares->context);
	_cleanup_json_ json_t *array = json_array();
	struct part weights, parts[3];

	if (!host)
		return -error_kind(shares->context->error.code)->errno_value;
	take_part(shares, &weights, "weight", value_weight);
	take_part(shares, &parts[0], "invocations", value_done);
	take_part(shares, &parts[1], "cpu_s", value_cpu);
	take_part(shares, &parts[2], "restores", value_restores);
	for (unsigned i = 0; i < shares->n; i++) {
		party_to_row(&shares->parties[i], parts, ARRAY_SIZE(parts), &weights, i, &table);
		(void)json_array_append_new(array, party_to_json(&shares->parties[i], parts,
								 ARRAY_SIZE(parts), &weights, i));
	}
	if (shares->context->json)
		return output_json(json_pack("{s:O,s:f,s:O}", "host", host, "seconds",
					     (double)shares->duration_us / 1e6, "tenants", array));
	bench_print_host(host);
	table_print(&table);
	(void)printf("\nRATIO is the share by that of the weights. %.0f s for each of the two; the "
		     "first tenant wants %d times as much as each other.\n",
		     (double)shares->duration_us / 1e6, GREEDY_TIMES);
	return 0;
}

/* -- the verb -- */

/* "100,200". */
static int parse_weights(struct shares *shares, const char *text)
{
	const char *p = text;

	while (*p && shares->n < PARTIES_MAX) {
		char *end = NULL;
		unsigned long weight = strtoul(p, &end, 10);

		if (end == p || (*end && *end != ',') || weight < 1 || weight > WEIGHT_MAX)
			break;
		shares->parties[shares->n++].weight = (unsigned)weight;
		p = *end ? end + 1 : end;
	}
	if (!*p && shares->n >= 2)
		return 0;
	shares->n = 0;
	return error_set(&shares->context->error, ERROR_INVALID_PARAMETER, "weights",
			 "--weights takes 2 to %d numbers from 1 to %d, as 100,200", PARTIES_MAX,
			 WEIGHT_MAX);
}

static int run(struct context *context, const struct arguments *arguments)
{
	struct shares shares = { .context = context, .duration_us = 20 * USEC_PER_SEC };
	const char *weights = argument(arguments, "weights");
	uint64_t rounds = 100000;

	int r = parse_weights(&shares, weights ? weights : "100,200");
	if (r == 0)
		r = argument_duration(arguments, "duration", &shares.duration_us, &context->error);
	if (r == 0)
		r = argument_number(arguments, "rounds", 100000000, &rounds, &context->error);
	if (r == 0 && (shares.duration_us < USEC_PER_SEC ||
		       shares.duration_us > MAX_DURATION_S * USEC_PER_SEC || rounds == 0))
		r = error_set(&context->error, ERROR_INVALID_PARAMETER, "duration",
			      "--duration is 1s to %ds, --rounds at least 1", MAX_DURATION_S);
	if (r < 0)
		return r;
	shares.rounds = (unsigned)rounds;
	for (unsigned i = 0; i < shares.n; i++)
		shares.parties[i].shares = &shares;
	r = run_both(&shares);
	if (r == 0)
		r = print(&shares);
	shares_end(&shares);
	return r;
}

static const struct verb_option options[] = {
	{ "weights", 'w', OPTION_TEXT, "N,...", "one tenant for each; 100,200 by default" },
	{ "duration", 'd', OPTION_TEXT, "DURATION", "of each measurement; 20s by default" },
	{ "rounds", 0, OPTION_TEXT, "N", "of work in each invocation; 100000 by default" },
	{ 0 },
};

const struct verb verb_bench_shares = {
	.name = "bench shares",
	.operands = "",
	.summary = "Measure what tenants get of a full node, against their weights",
	.help = "Makes tenants with these weights and a function in each, for operators. Then all "
		"of\n"
		"them want more than there is, the first by far the most: first CPU time, with "
		"invocations\n"
		"that compute, then sandboxes, with invocations of which each needs a new one. "
		"RATIO "
		"is\n"
		"what a tenant had by what its weight is of all weights. CPU time is read on the "
		"node "
		"itself.\n"
		"The tenants are deleted; their ids are not given again.\n\n"
		"Examples:\n"
		"  mayfly bench shares\n"
		"  mayfly bench shares --weights 100,200,300 --duration 60s --output json\n",
	.options = options,
	.run = run,
};
