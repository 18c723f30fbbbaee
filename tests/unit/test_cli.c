/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_cli mayfly_rpc

/* The command line against a scripted node: what reaches the node, what is printed, and the exit
 * code. */

#include "tests/unit/cli_harness.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>

#include "cli/package.h"
#include "cli/shorthand.h"

static void test_create_sends_everything(void **state _unused_)
{
	char zip[128];
	(void)snprintf(zip, sizeof(zip), "fileb://%s/code.zip", node.dir);
	write_file("code.zip", "PK-like");
	_cleanup_output_ struct output o =
		run("function", "create", "f", "--zip-file", zip, "--runtime", "python3.13",
		    "--handler", "a.b", "--memory-size", "256", "--timeout=7", "--environment",
		    "Variables={A=1,B='x,y'}", "--ephemeral-storage", "Size=1024", "--snap-start",
		    "ApplyOn=Latest", "-o", "json", NULL);
	assert_int_equal(o.code, 0);

	const Mayfly__V1__CreateFunctionRequest *r = last_request();
	assert_string_equal(r->function_name, "f");
	assert_string_equal(r->handler, "a.b");
	assert_int_equal(r->memory_size_mb, 256);
	assert_int_equal(r->timeout_seconds, 7);
	assert_int_equal(r->ephemeral_storage_mb, 1024);
	assert_int_equal(r->zip_file.len, 7);
	assert_int_equal(r->n_environment, 2);
	assert_string_equal(r->environment[1]->key, "B");
	assert_string_equal(r->environment[1]->value, "x,y");
	assert_int_equal(r->snap_start->apply_on, 3);
	assert_null(r->logging_config);

	/* It was Pending at first and is printed as it is now. */
	json_t *json = parse(&o);
	assert_string_equal(json_string_value(json_object_get(json, "State")), "Active");
	assert_string_equal(json_string_value(json_object_get(json, "FunctionName")), "f");
	assert_string_equal(json_string_value(json_object_get(json, "LastModified")),
			    "2025-11-25T02:26:54.123+0000");
	assert_int_equal(json_integer_value(json_object_get(json, "MemorySize")), 128);
	json_t *variables = json_object_get(json_object_get(json, "Environment"), "Variables");
	assert_string_equal(json_string_value(json_object_get(variables, "STAGE")), "test");
	assert_null(json_object_get(json, "StateReason"));
	json_decref(json);
}

static void test_create_without_waiting(void **state _unused_)
{
	char zip[128];
	(void)snprintf(zip, sizeof(zip), "%s/code.zip", node.dir);
	write_file("code.zip", "PK");
	_cleanup_output_ struct output o =
		run("function", "create", "--function-name", "f", "--zip", zip, "--no-wait", NULL);
	assert_int_equal(o.code, 0);
	assert_non_null(strstr(buf_string(&o.out), "Pending"));
	(void)last_request();
	assert_int_equal(node.gets, 0);
}

static void test_create_that_fails(void **state _unused_)
{
	char zip[128];
	(void)snprintf(zip, sizeof(zip), "%s/code.zip", node.dir);
	write_file("code.zip", "PK");
	_cleanup_output_ struct output o = run("function", "create", "broken", "--zip", zip, NULL);
	assert_int_equal(o.code, 6);
	assert_non_null(strstr(buf_string(&o.err), "broken is Failed: no disk (InternalError)"));
}

static void test_wrong_options(void **state _unused_)
{
	static const char *const cases[][5] = {
		{ "function", "create", "f", NULL },      /* no code */
		{ "function", "create", NULL },           /* no name */
		{ "function", "create", "f", "g", NULL }, /* too many */
		{ "function", "update-configuration", "f", "--timeout=-1", NULL },
		{ "function", "update-configuration", "f", "--memory-size=1x", NULL },
		{ "function", "update-configuration", "f", "--environment=A=1", NULL },
		{ "function", "update-configuration", "f", "--environment={", NULL },
		{ "function", "update-configuration", "f", "--snap-start=ApplyOn=No", NULL },
		{ "function", "update-configuration", "f", "--runtime=cobol", NULL },
		{ "function", "update-configuration", "f", "--nonsense", NULL },
		{ "invoke", "f", "--payload=@/nonexistent", NULL },
		{ "logs", "f", "--since=yesterday", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_output_ struct output o =
			run(cases[i][0], cases[i][1], cases[i][2], cases[i][3], cases[i][4], NULL);
		assert_int_equal(o.code, 2);
		assert_true(o.err.len > 0);
	}
}

static void test_update_configuration_sends_what_was_named(void **state _unused_)
{
	_cleanup_output_ struct output o =
		run("function", "update-configuration", "f", "--description", "", "--environment",
		    "{\"Variables\": {}}", "--log-format", "JSON", NULL);
	assert_int_equal(o.code, 0);
	const Mayfly__V1__UpdateFunctionConfigurationRequest *r = last_request();
	assert_int_not_equal(r->_description_case, 0);
	assert_int_equal(r->_memory_size_mb_case, 0);
	assert_non_null(r->environment);
	assert_int_equal(r->environment->n_variables, 0);
	assert_int_equal(r->logging_config->log_format, 2);
	assert_null(r->snap_start);
}

static void test_not_found(void **state _unused_)
{
	_cleanup_output_ struct output o = run("function", "get", "missing", NULL);
	assert_int_equal(o.code, 3);
	assert_string_equal(buf_string(&o.err),
			    "mayfly: ResourceNotFoundException: Function not found: missing\n");
	assert_int_equal(o.out.len, 0);
}

static void test_list_follows_pages(void **state _unused_)
{
	_cleanup_output_ struct output all = run("function", "list", "-o", "json", NULL);
	_cleanup_output_ struct output three =
		run("function", "list", "--max-items", "3", "-o", "json", NULL);
	json_t *json = parse(&all);
	assert_int_equal(json_array_size(json_object_get(json, "Functions")), 5);
	assert_null(json_object_get(json, "NextMarker"));
	json_decref(json);
	json = parse(&three);
	assert_int_equal(json_array_size(json_object_get(json, "Functions")), 3);
	json_decref(json);
}

static void test_invoke(void **state _unused_)
{
	_cleanup_output_ struct output o =
		run("invoke", "f", "--payload", "{\"a\":1}", "--log", "tail", NULL);
	assert_int_equal(o.code, 0);
	assert_string_equal(buf_string(&o.out), "{\"a\":1}");
	assert_int_equal(o.err.len, 0);
	const Mayfly__V1__InvokeRequest *r = last_request();
	assert_int_equal(r->log_type, MAYFLY__V1__LOG_TYPE__LOG_TYPE_TAIL);
}

static void test_invoke_from_file(void **state _unused_)
{
	char at[128];
	write_file("event.json", "{\"from\": \"file\"}");
	(void)snprintf(at, sizeof(at), "@%s/event.json", node.dir);
	_cleanup_output_ struct output o = run("invoke", "f", "-p", at, NULL);
	assert_string_equal(buf_string(&o.out), "{\"from\": \"file\"}");
}

static void test_invoke_shows_phases(void **state _unused_)
{
	_cleanup_output_ struct output o = run("invoke", "f", "-v", NULL);
	assert_non_null(strstr(buf_string(&o.err), "Start     Spare, sandbox "));
	assert_non_null(strstr(buf_string(&o.err), "handler      3.100"));
	assert_non_null(strstr(buf_string(&o.err), "total        4.200"));
}

static void test_invoke_function_error(void **state _unused_)
{
	_cleanup_output_ struct output o =
		run("invoke", "raises", "--payload", "{\"errorType\":\"E\"}", NULL);
	assert_int_equal(o.code, 8);
	assert_string_equal(buf_string(&o.out), "{\"errorType\":\"E\"}");
	assert_non_null(strstr(buf_string(&o.err), "function error: Unhandled"));
}

static void test_invoke_json(void **state _unused_)
{
	_cleanup_output_ struct output o =
		run("invoke", "raises", "--payload", "{\"x\": [1]}", "-o", "json", NULL);
	assert_int_equal(o.code, 8);
	json_t *json = parse(&o);
	assert_int_equal(json_integer_value(json_object_get(json, "StatusCode")), 200);
	assert_string_equal(json_string_value(json_object_get(json, "FunctionError")), "Unhandled");
	assert_true(json_is_array(json_object_get(json_object_get(json, "Payload"), "x")));
	json_t *phases = json_object_get(json, "Phases");
	assert_string_equal(json_string_value(json_object_get(phases, "start_kind")), "Spare");
	json_decref(json);
}

static void test_invoke_stream(void **state _unused_)
{
	_cleanup_output_ struct output o = run("invoke", "f", "--stream", "-v", NULL);
	assert_int_equal(o.code, 0);
	assert_string_equal(buf_string(&o.out), "onetwo");
	assert_non_null(strstr(buf_string(&o.err), "Spare"));
}

static void test_logs(void **state _unused_)
{
	_cleanup_output_ struct output o = run("logs", "/aws/lambda/f", "--since", "10m", NULL);
	assert_string_equal(buf_string(&o.out), "START\nREPORT\n");
	const Mayfly__V1__GetLogEventsRequest *r = last_request();
	assert_string_equal(r->log_group_name, "/aws/lambda/f");
	int64_t back = clock_realtime_us() - r->start_time_us;
	assert_in_range(back, 600 * USEC_PER_SEC, 660 * USEC_PER_SEC);
	_cleanup_output_ struct output timed = run("logs", "f", "-t", NULL);
	assert_non_null(strstr(buf_string(&timed.out), "2025-11-25T02:26:54.123Z START"));
}

static void test_unreachable_node(void **state _unused_)
{
	struct output o = { 0 };
	char *argv[] = { (char *)"node", (char *)"--address", (char *)"unix:/nonexistent/sock",
			 NULL };
	char err[96];
	int words = 0;
	const struct verb *verb = verb_find(1, argv, &words);

	(void)snprintf(err, sizeof(err), "%s/err", node.dir);
	int saved = redirect(STDERR_FILENO, err);
	o.code = verb_run(verb, 3, argv);
	restore(STDERR_FILENO, saved, err, &o.err);
	assert_int_equal(o.code, 6);
	assert_non_null(strstr(buf_string(&o.err), "Cannot reach the node"));
	output_free(&o);
}

/* Folders give the same bytes again, and keep links and executable bits. */
static void test_package_of_a_folder(void **state _unused_)
{
	_cleanup_buf_ struct buf one = BUF_INIT, two = BUF_INIT;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/code/lib", node.dir);
	assert_int_equal(fs_make_directories(path, 0755), 0);
	write_file("code/lib/b.py", "b = 1\n");
	write_file("code/a.py", "a = 1\n");
	(void)snprintf(path, sizeof(path), "%s/code/a.py", node.dir);
	assert_int_equal(chmod(path, 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/code/link", node.dir);
	assert_int_equal(symlink("a.py", path), 0);
	(void)snprintf(path, sizeof(path), "%s/code/", node.dir);
	assert_int_equal(package_from_directory(path, &one, NULL), 0);
	assert_int_equal(package_from_directory(path, &two, NULL), 0);
	assert_int_equal(one.len, two.len);
	assert_memory_equal(one.data, two.data, one.len);

	static const struct {
		const char *name;
		mode_t mode;
	} wanted[] = { { "a.py", 0755 }, { "lib/b.py", 0644 }, { "link", 0777 } };
	struct archive *zip = archive_read_new();
	struct archive_entry *entry;
	assert_int_equal(archive_read_support_format_zip(zip), ARCHIVE_OK);
	assert_int_equal(archive_read_open_memory(zip, one.data, one.len), ARCHIVE_OK);
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		assert_int_equal(archive_read_next_header(zip, &entry), ARCHIVE_OK);
		assert_string_equal(archive_entry_pathname(entry), wanted[i].name);
		assert_int_equal(archive_entry_perm(entry), wanted[i].mode);
	}
	assert_int_equal(archive_read_next_header(zip, &entry), ARCHIVE_EOF);
	assert_int_equal(archive_read_free(zip), ARCHIVE_OK);
}

static void test_shorthand(void **state _unused_)
{
	static const struct {
		const char *text, *json; /* NULL: refused */
	} cases[] = {
		{ "A=1", "{\"A\":\"1\"}" },
		{ "A=1,B=two words", "{\"A\":\"1\",\"B\":\"two words\"}" },
		{ "V={A=1,B=\"x,}y\"},C=", "{\"V\":{\"A\":\"1\",\"B\":\"x,}y\"},\"C\":\"\"}" },
		{ "V={}", "{\"V\":{}}" },
		{ " {\"A\": {\"b\": 2}}", "{\"A\":{\"b\":2}}" },
		{ "A", NULL },
		{ "=1", NULL },
		{ "V={A=1", NULL },
		{ "V={A=1}}", NULL },
		{ "A='x", NULL },
		{ "[1]", NULL },
		{ "A={A={A={A={A={A=1}}}}}", NULL },
		{ "file:///nonexistent", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *json = NULL;
		int r = shorthand_parse("x", cases[i].text, &json, NULL);
		if (!cases[i].json) {
			assert_true(r < 0);
			continue;
		}
		assert_int_equal(r, 0);
		char *text = json_dumps(json, JSON_COMPACT);
		assert_string_equal(text, cases[i].json);
		free(text);
		json_decref(json);
	}
}

static void test_every_verb_has_help(void **state _unused_)
{
	for (const struct verb *const *v = verbs; *v; v++) {
		_cleanup_free_ char *text = NULL;
		size_t size = 0;
		FILE *out = open_memstream(&text, &size);
		help_print_verb(out, *v);
		(void)fclose(out);
		assert_non_null(strstr(text, "Example"));
		assert_non_null((*v)->run);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create_sends_everything),
		cmocka_unit_test(test_create_without_waiting),
		cmocka_unit_test(test_create_that_fails),
		cmocka_unit_test(test_wrong_options),
		cmocka_unit_test(test_update_configuration_sends_what_was_named),
		cmocka_unit_test(test_not_found),
		cmocka_unit_test(test_list_follows_pages),
		cmocka_unit_test(test_invoke),
		cmocka_unit_test(test_invoke_from_file),
		cmocka_unit_test(test_invoke_shows_phases),
		cmocka_unit_test(test_invoke_function_error),
		cmocka_unit_test(test_invoke_json),
		cmocka_unit_test(test_invoke_stream),
		cmocka_unit_test(test_logs),
		cmocka_unit_test(test_unreachable_node),
		cmocka_unit_test(test_package_of_a_folder),
		cmocka_unit_test(test_shorthand),
		cmocka_unit_test(test_every_verb_has_help),
	};
	return cmocka_run_group_tests(tests, start_node, stop_node);
}
