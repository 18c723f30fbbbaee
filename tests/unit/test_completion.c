/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_cli

/* Completion scripts: every verb and option is in each, and what a shell that is here makes of
 * them. Debian has bash everywhere; zsh and fish are asked where they are installed. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/completion.h"
#include "cli/verbs.h"

volatile sig_atomic_t interrupted;

static const char *const shells[] = { "bash", "zsh", "fish" };

static char *script_of(const char *shell)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	assert_int_equal(completion_print(shell, out), 0);
	assert_int_equal(fclose(out), 0);
	return text;
}

/* A file without a name, with that in it. */
static int file_of(const char *before, const char *script, const char *more)
{
	FILE *file = tmpfile();
	int fd;

	assert_non_null(file);
	(void)fprintf(file, "%s\n%s%s\n", before, script, more);
	assert_int_equal(fflush(file), 0);
	fd = dup(fileno(file));
	assert_int_equal(fclose(file), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* What a shell prints that runs its script between `before` and `more`; NULL when there is no such
 * shell. */
static char *run_script(const char *shell, const char *before, const char *more)
{
	_cleanup_free_ char *script = script_of(shell);
	char text[65536];
	char program[64];
	int input, output = file_of("", "", "");
	int status;
	pid_t pid;

	(void)snprintf(program, sizeof(program), "/usr/bin/%s", shell);
	if (access(program, X_OK) < 0) {
		(void)close(output);
		return NULL;
	}
	input = file_of(before, script, more);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)dup2(input, STDIN_FILENO);
		(void)dup2(output, STDOUT_FILENO);
		(void)dup2(output, STDERR_FILENO);
		(void)setenv("HOME", "/nonexistent", 1);
		execl(program, shell, (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	ssize_t n = pread(output, text, sizeof(text) - 1, 0);
	(void)close(input);
	(void)close(output);
	assert_true(n >= 0);
	text[n] = '\0';
	if (status != 0)
		print_error("%s: %s\n", shell, text);
	assert_int_equal(status, 0);
	return strdup(text);
}

static void every_verb_and_option_is_there(void **state _unused_)
{
	for (size_t s = 0; s < ARRAY_SIZE(shells); s++) {
		_cleanup_free_ char *script = script_of(shells[s]);
		const char *dashes = strcmp(shells[s], "fish") == 0 ? "-l " : "--";

		for (const struct verb *const *v = verbs; *v; v++) {
			assert_non_null(strstr(script, (*v)->name));
			for (const struct verb_option *o = (*v)->options; o && o->name; o++) {
				char word[64];
				(void)snprintf(word, sizeof(word), "%s%s", dashes, o->name);
				assert_non_null(strstr(script, word));
			}
		}
	}
}

static void unknown_shells_are_refused(void **state _unused_)
{
	assert_int_equal(completion_print("csh", stdout), -EINVAL);
	assert_int_equal(completion_print("", stdout), -EINVAL);
}

static void expect(const char *shell, const char *before, const char *more, const char *wanted,
		   const char *unwanted)
{
	_cleanup_free_ char *text = run_script(shell, before, more);

	if (!text)
		return;
	if (!strstr(text, wanted) || (unwanted && strstr(text, unwanted)))
		print_error("%s said: %s\n", shell, text);
	assert_non_null(strstr(text, wanted));
	if (unwanted)
		assert_null(strstr(text, unwanted));
}

static void bash_completes(void **state _unused_)
{
	static const struct {
		const char *typed, *wanted, *unwanted;
	} cases[] = {
		{ "mayfly ''", " logs node ", "create" },
		{ "mayfly fu", "[function]", NULL },
		{ "mayfly function ''", "[create get ", "invoke" },
		{ "mayfly function create --run", "[--runtime]", NULL },
		{ "mayfly bench burst --", "--hold-ms", "--rate" },
		{ "mayfly alias ''", "[create get list update delete]", NULL },
		{ "mayfly layer ''",
		  "[publish get-policy get list-versions list delete add-permission "
		  "remove-permission]",
		  NULL },
		{ "mayfly function list-versions --", "[--function-name ", "--marker" },
		{ "mayfly node --output ''", "[table json]", NULL },
		{ "mayfly completion ''", "[bash zsh fish]", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char more[256];
		(void)snprintf(more, sizeof(more),
			       "COMP_WORDS=(%s)\nCOMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n_mayfly\n"
			       "echo \"[${COMPREPLY[*]}]\"",
			       cases[i].typed);
		expect("bash", "", more, cases[i].wanted, cases[i].unwanted);
	}
}

/* compadd works within a completion only, so that here it is a function that prints. */
static void zsh_completes(void **state _unused_)
{
	static const char before[] = "compdef() { : }\ncompadd() { print -r -- \"[$*]\" }\n"
				     "_files() { print files }\n";
	static const struct {
		const char *typed, *wanted, *unwanted;
	} cases[] = {
		{ "mayfly ''", " logs node ", "create" },
		{ "mayfly function ''", "[-- create get ", "invoke" },
		{ "mayfly bench burst --", "--hold-ms", "--rate" },
		{ "mayfly node --output ''", "[-- table json]", NULL },
		{ "mayfly function create --zip ''", "files", "[" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char more[256];
		(void)snprintf(more, sizeof(more), "words=(%s)\nCURRENT=$#words\n_mayfly\n",
			       cases[i].typed);
		expect("zsh", before, more, cases[i].wanted, cases[i].unwanted);
	}
}

static void fish_completes(void **state _unused_)
{
	static const struct {
		const char *typed, *wanted, *unwanted;
	} cases[] = {
		{ "mayfly ", "function", "create" },
		{ "mayfly function ", "create\t", "invoke" },
		{ "mayfly bench burst --", "--hold-ms\t", "--rate" },
		{ "mayfly templates --", "--output\t", "--runtime" },
		{ "mayfly node --output ", "json", "function" },
		{ "mayfly completion ", "fish", "function" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char more[256];
		(void)snprintf(more, sizeof(more), "complete -C '%s'", cases[i].typed);
		expect("fish", "", more, cases[i].wanted, cases[i].unwanted);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_verb_and_option_is_there),
		cmocka_unit_test(unknown_shells_are_refused),
		cmocka_unit_test(bash_completes),
		cmocka_unit_test(zsh_completes),
		cmocka_unit_test(fish_completes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
