/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_cli mayfly_rpc

/* What the benchmarks measure and say of a scripted node. */

#include "tests/unit/cli_harness.h"

#include <math.h>

#include "cli/bench.h"

static void test_nearest_rank(void **state _unused_)
{
	static const int64_t values[] = { 15, 20, 35, 40, 50 };
	static const struct {
		double p;
		int64_t value;
	} cases[] = { { 0, 15 }, { 5, 15 }, { 30, 20 }, { 40, 20 }, { 50, 35 }, { 100, 50 } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(nearest_rank(values, 5, cases[i].p), cases[i].value);
}

static int64_t integer_at(const json_t *json, const char *name)
{
	const json_t *value = json_object_get(json, name);
	assert_true(json_is_integer(value));
	return json_integer_value(value);
}

/* The node says Spare to everything: right in one mode, discarded in the other. */
static void test_bench_cold_start(void **state _unused_)
{
	char samples[128];
	_cleanup_buf_ struct buf lines = BUF_INIT;
	int deleted = gate_value(&node.deleted);

	(void)snprintf(samples, sizeof(samples), "%s/samples", node.dir);
	_cleanup_output_ struct output o = run("bench", "cold-start", "--mode", "spare,restore",
					       "-n", "3", "--samples", samples, "-o", "json", NULL);
	assert_int_equal(o.code, 0);
	assert_int_equal(gate_value(&node.deleted), deleted + 2);
	json_t *json = parse(&o);
	json_t *modes = json_object_get(json, "modes");
	json_t *spare = json_object_get(modes, "spare"), *other = json_object_get(modes, "restore");
	assert_int_equal(json_object_size(modes), 2);
	assert_int_equal(integer_at(spare, "n"), 3);
	assert_int_equal(integer_at(spare, "discarded"), 0);
	assert_true(json_is_real(json_object_get(spare, "p50_ms")));
	assert_true(json_is_real(json_object_get(spare, "max_ms")));
	assert_null(json_object_get(spare, "p99_ms"));
	json_t *phases = json_object_get(spare, "phases_ms");
	assert_true(json_real_value(json_object_get(phases, "handler")) == 3.1);
	assert_int_equal(integer_at(other, "n"), 0);
	assert_int_equal(integer_at(other, "discarded"), 9);
	assert_null(json_object_get(other, "p50_ms"));
	json_t *host = json_object_get(json, "host");
	assert_string_equal(json_string_value(json_object_get(host, "Accelerator")), "TCG");
	json_decref(json);

	unsigned n = 0;
	assert_int_equal(fs_read_file(samples, 1 << 20, &lines), 0);
	for (const char *p = buf_string(&lines); (p = strchr(p, '\n')); p++)
		n++;
	assert_int_equal(n, 12);
}

/* A program in the place of mayfly-raw-qemu, which notes how it was called. */
static void write_raw_program(const char *last_line)
{
	char path[96], script[512];

	(void)snprintf(path, sizeof(path), "%s/raw", node.dir);
	int n = snprintf(script, sizeof(script),
			 "#!/bin/sh\necho \"$@\" >%s/raw.args\nhead -c 2 <$2 >>%s/raw.args\n%s\n",
			 node.dir, node.dir, last_line);
	assert_int_equal(fs_write_file_atomic(path, slice_new(script, (size_t)n), 0700), 0);
	assert_int_equal(setenv("MAYFLY_RAW_QEMU", path, 1), 0);
}

static void test_bench_baseline(void **state _unused_)
{
	_cleanup_buf_ struct buf called = BUF_INIT;
	char path[96];

	write_raw_program("echo '{\"p50_ms\": 2.5, \"restores_per_second\": 1000000.0}'");
	_cleanup_output_ struct output o =
		run("bench", "cold-start", "--mode", "spare,raw", "-n", "2", "-o", "json", NULL);
	assert_int_equal(o.code, 0);
	json_t *json = parse(&o);
	assert_true(json_real_value(json_object_get(json_object_get(json, "raw_qemu"), "p50_ms")) ==
		    2.5);
	json_t *spare = json_object_get(json_object_get(json, "modes"), "spare");
	assert_true(json_real_value(json_object_get(spare, "platform_p50_ms")) == 1.2);
	json_decref(json);

	/* The node's folders, the measured event, and a ZIP to read. */
	(void)snprintf(path, sizeof(path), "%s/raw.args", node.dir);
	assert_int_equal(fs_read_file(path, 4096, &called), 0);
	assert_non_null(strstr(buf_string(&called), "--handler lambda_function.handler"));
	assert_non_null(strstr(buf_string(&called),
			       "--state-dir /the/state --images /the/images "
			       "--payload {\"sleep_ms\": 0} --parallel 1 -n 2\nPK"));

	_cleanup_output_ struct output burst =
		run("bench", "burst", "--clients", "3", "-o", "json", NULL);
	assert_int_equal(burst.code, 0);
	json = parse(&burst);
	json_t *one = json_array_get(json_object_get(json, "bursts"), 0);
	assert_true(json_real_value(json_object_get(one, "raw_restores_per_second")) == 1e6);
	/* The scripted handler may have taken longer than its invocation: no rate, no ratio. */
	double rate = json_real_value(json_object_get(one, "restores_per_second"));
	const json_t *ratio = json_object_get(one, "burst/raw");
	assert_true((ratio != NULL) == (rate > 0));
	if (ratio)
		assert_true(fabs(json_real_value(ratio) * 1e6 - rate) < 0.001 * rate);
	json_decref(json);
}

/* What was measured stands without it. */
static void test_bench_baseline_that_fails(void **state _unused_)
{
	write_raw_program("exit 1");
	_cleanup_output_ struct output o =
		run("bench", "cold-start", "--mode", "spare,raw", "-n", "2", "-o", "json", NULL);
	assert_int_equal(o.code, 0);
	assert_non_null(strstr(buf_string(&o.err), "without the raw QEMU baseline"));
	json_t *json = parse(&o);
	assert_null(json_object_get(json, "raw_qemu"));
	json_t *spare = json_object_get(json_object_get(json, "modes"), "spare");
	assert_int_equal(integer_at(spare, "n"), 2);
	json_decref(json);
	_cleanup_output_ struct output table =
		run("bench", "cold-start", "--mode", "spare,raw", "-n", "2", NULL);
	assert_int_equal(table.code, 0);
	assert_non_null(strstr(buf_string(&table.out), "\nspare"));
	assert_null(strstr(buf_string(&table.out), "raw QEMU"));
}

static void test_bench_burst(void **state _unused_)
{
	_cleanup_output_ struct output o =
		run("bench", "burst", "--clients", "1,20", "-o", "json", NULL);
	assert_int_equal(o.code, 0);
	json_t *json = parse(&o);
	json_t *second = json_array_get(json_object_get(json, "bursts"), 1);
	assert_int_equal(integer_at(second, "clients"), 20);
	assert_int_equal(integer_at(second, "n"), 20);
	assert_int_equal(integer_at(second, "sandboxes_started"), 20);
	assert_true(json_real_value(json_object_get(second, "restores_per_second")) >= 0);
	assert_int_equal(integer_at(second, "failed"), 0);
	json_decref(json);
	_cleanup_output_ struct output bad = run("bench", "burst", "--clients", "1,x", NULL);
	assert_int_equal(bad.code, 2);
}

static void test_bench_throughput(void **state _unused_)
{
	_cleanup_output_ struct output closed =
		run("bench", "throughput", "-c", "2", "-d", "200ms", "-o", "json", NULL);
	assert_int_equal(closed.code, 0);
	json_t *json = parse(&closed);
	json_t *figures = json_object_get(json, "throughput");
	assert_true(integer_at(figures, "n") > 2);
	json_decref(json);

	/* An open load makes as many requests as were due. */
	_cleanup_output_ struct output open = run("bench", "throughput", "--open", "--rate", "100",
						  "-d", "300ms", "-o", "json", NULL);
	assert_int_equal(open.code, 0);
	json = parse(&open);
	assert_int_equal(integer_at(json_object_get(json, "throughput"), "n"), 30);
	json_decref(json);
}

static void test_bench_density(void **state _unused_)
{
	_cleanup_output_ struct output o = run("bench", "density", "-n", "3", "-o", "json", NULL);
	assert_int_equal(o.code, 0);
	json_t *json = parse(&o);
	json_t *density = json_object_get(json, "density");
	assert_int_equal(integer_at(density, "answering"), 3);
	assert_int_equal(integer_at(density, "anonymous_p50_bytes"), 20 << 20);
	assert_int_equal(integer_at(density, "anonymous_max_bytes"), 30 << 20);
	assert_int_equal(integer_at(json_object_get(density, "stopped"), "sandboxes"), 1);
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nearest_rank),
		cmocka_unit_test(test_bench_cold_start),
		cmocka_unit_test(test_bench_baseline),
		cmocka_unit_test(test_bench_baseline_that_fails),
		cmocka_unit_test(test_bench_burst),
		cmocka_unit_test(test_bench_throughput),
		cmocka_unit_test(test_bench_density),
	};
	return cmocka_run_group_tests(tests, start_node, stop_node);
}
