/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_config mayfly_base
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/options.h"
#include "mayfly/fs.h"

#define WORDS_MAX 16

/* The words of a command line, NULL-terminated. What is told on stdout or stderr is `ret_told`. */
static int parse(const char *const *words, struct config *config, enum options_action *action,
		 char *ret_told, size_t told_bytes)
{
	char *argv[WORDS_MAX] = { (char *)"mayflyd" };
	int argc = 1;
	for (; words[argc - 1]; argc++)
		argv[argc] = (char *)words[argc - 1];

	(void)fflush(NULL);
	_cleanup_fclose_ FILE *told = tmpfile();
	int out = dup(STDOUT_FILENO);
	int err = dup(STDERR_FILENO);
	assert_non_null(told);
	assert_true(dup2(fileno(told), STDOUT_FILENO) >= 0);
	assert_true(dup2(fileno(told), STDERR_FILENO) >= 0);
	int r = options_parse(argc, argv, config, action);
	(void)fflush(NULL);
	assert_true(dup2(out, STDOUT_FILENO) >= 0);
	assert_true(dup2(err, STDERR_FILENO) >= 0);
	(void)close(out);
	(void)close(err);

	rewind(told);
	ret_told[fread(ret_told, 1, told_bytes - 1, told)] = '\0';
	return r;
}

static void write_file(char *path, const char *text)
{
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
	(void)close(fd);
}

static void test_options_override_the_file_wherever_they_stand(void **state)
{
	(void)state;
	char path[] = "/tmp/test_options.XXXXXX";
	write_file(path,
		   "[node]\nstate_dir = /from/file\nregion = eu-west-1\n[pool]\nspares = 3\n");
	const char *const words[] = { "--state-dir",   "/from/option", "--config", path, "--set",
				      "pool.spares=4", "--socket",     "/s",       NULL };
	_cleanup_config_ struct config config = CONFIG_INIT;
	enum options_action action;
	char told[512];
	assert_int_equal(parse(words, &config, &action, told, sizeof(told)), 0);
	(void)unlink(path);
	assert_int_equal(action, OPTIONS_RUN);
	assert_string_equal(told, "");
	assert_string_equal(config.node_state_dir, "/from/option");
	assert_string_equal(config.node_images_dir, "/from/option/images");
	assert_string_equal(config.node_region, "eu-west-1");
	assert_string_equal(config.api_socket, "/s");
	assert_int_equal(config.pool_spares, 4);
}

static void test_problems_have_their_place(void **state)
{
	(void)state;
	char path[] = "/tmp/test_options.XXXXXX";
	write_file(path, "[pool]\nspares = many\n");
	const char *const words[] = { "--config", path, "--set", "pool.x=1", NULL };
	_cleanup_config_ struct config config = CONFIG_INIT;
	enum options_action action;
	char told[512];
	char expected[512];
	assert_int_equal(parse(words, &config, &action, told, sizeof(told)), -EINVAL);
	(void)unlink(path);
	(void)snprintf(expected, sizeof(expected),
		       "%s:2: pool.spares must be a whole number from 0 to 1000, not 'many'\n"
		       "--set: there is no key pool.x\n",
		       path);
	assert_string_equal(told, expected);
}

static void test_refusals(void **state)
{
	(void)state;
	static const char *const cases[][3] = {
		{ "--unknown" },
		{ "argument" },
		{ "--set" },
		{ "--set", "nothing" },
		{ "--state-dir", "relative" },
		{ "--config", "/nonexistent/mayflyd.conf" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_config_ struct config config = CONFIG_INIT;
		enum options_action action;
		char told[512];
		assert_int_equal(parse(cases[i], &config, &action, told, sizeof(told)), -EINVAL);
		assert_true(strlen(told) > 0);
	}
}

static void test_actions(void **state)
{
	(void)state;
	static const struct {
		const char *const words[2];
		enum options_action action;
		const char *told; /* how it begins */
	} cases[] = {
		{ { "--check-config" }, OPTIONS_CHECK_CONFIG, "" },
		{ { "--self-test" }, OPTIONS_SELF_TEST, "" },
		{ { "--version" }, OPTIONS_DONE, "mayflyd " MAYFLY_VERSION "\n" },
		{ { "--help" }, OPTIONS_DONE, "usage: mayflyd " },
		{ { "--print-configuration-manual" },
		  OPTIONS_DONE,
		  "# Configuration of mayflyd\n" },
		{ { "--print-default-configuration" },
		  OPTIONS_DONE,
		  "# Configuration of mayflyd." },
		{ { "--print-errors" }, OPTIONS_DONE, "# Errors\n" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_config_ struct config config = CONFIG_INIT;
		enum options_action action = OPTIONS_RUN;
		char told[64];
		assert_int_equal(parse(cases[i].words, &config, &action, told, sizeof(told)), 0);
		assert_int_equal(action, cases[i].action);
		assert_memory_equal(told, cases[i].told, strlen(cases[i].told));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options_override_the_file_wherever_they_stand),
		cmocka_unit_test(test_problems_have_their_place),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_actions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
