/* SPDX-License-Identifier: Apache-2.0 */

#include "agent/options.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "mayfly/fs.h"
#include "mayfly/function_error.h"

enum {
	OPTION_CONFIG = 256,
	OPTION_STATE_DIR,
	OPTION_SOCKET,
	OPTION_SET,
	OPTION_CHECK_CONFIG,
	OPTION_SELF_TEST,
	OPTION_MANUAL,
	OPTION_DEFAULT_FILE,
	OPTION_ERRORS,
};

static const struct option long_options[] = {
	{ "config", required_argument, NULL, OPTION_CONFIG },
	{ "state-dir", required_argument, NULL, OPTION_STATE_DIR },
	{ "socket", required_argument, NULL, OPTION_SOCKET },
	{ "set", required_argument, NULL, OPTION_SET },
	{ "check-config", no_argument, NULL, OPTION_CHECK_CONFIG },
	{ "self-test", no_argument, NULL, OPTION_SELF_TEST },
	{ "print-configuration-manual", no_argument, NULL, OPTION_MANUAL },
	{ "print-default-configuration", no_argument, NULL, OPTION_DEFAULT_FILE },
	{ "print-errors", no_argument, NULL, OPTION_ERRORS },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static const char help_text[] =
	"usage: mayflyd [OPTION...]\n"
	"\n"
	"Runs the Mayfly node: functions in microVMs, served over gRPC. Needs root.\n"
	"\n"
	"  --config FILE             read FILE instead of " CONFIG_DEFAULT_PATH "\n"
	"  --state-dir DIR           short for --set node.state_dir=DIR\n"
	"  --socket PATH             short for --set api.socket=PATH\n"
	"  --set SECTION.KEY=VALUE   override one key of the file\n"
	"  --check-config            tell every problem of the configuration, and end\n"
	"  --self-test               prove that this host can run functions, and end\n"
	"  --print-configuration-manual, --print-default-configuration, --print-errors\n"
	"  -V, --version\n"
	"  -h, --help\n"
	"\n"
	"Signals: SIGTERM and SIGINT stop it after running invocations have ended.\n"
	"Exit codes: 0 stopped as asked, 1 failed, 2 bad option or configuration.\n"
	"\n"
	"Examples:\n"
	"  mayflyd --check-config --config ./mayflyd.conf\n"
	"  mayflyd --self-test\n"
	"  mayflyd --state-dir /srv/mayfly --set pool.spares=4 --set vm.accelerator=kvm\n";

/* google/rpc/code.proto */
static const char *const grpc_names[] = {
	"OK",
	"CANCELLED",
	"UNKNOWN",
	"INVALID_ARGUMENT",
	"DEADLINE_EXCEEDED",
	"NOT_FOUND",
	"ALREADY_EXISTS",
	"PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED",
	"FAILED_PRECONDITION",
	"ABORTED",
	"OUT_OF_RANGE",
	"UNIMPLEMENTED",
	"INTERNAL",
	"UNAVAILABLE",
	"DATA_LOSS",
	"UNAUTHENTICATED",
};

static void print_function_errors(FILE *out)
{
	const struct function_error_kind *kind;

	(void)fputs(
		"\n## Errors of functions\n\nOnce the event was given to the function, whatever "
		"goes wrong is an answer: gRPC status OK (HTTP 200)\nwith `function_error` "
		"`Unhandled` and a JSON body, `error_code` and `error_details` in a stream; "
		"the exit\ncode of `mayfly invoke` is 8. The `errorType` is the function's own, "
		"such as `ValueError`, or one of\n`lib/base/function_error.c`; ID stands for "
		"the request's id, and numbers for examples.\n\n"
		"| errorType | errorMessage | when |\n|---|---|---|\n",
		out);
	for (size_t i = 0; (kind = function_error_kind(i)); i++)
		(void)fprintf(out, "| %s | %s%s%s | %s |\n", kind->name,
			      kind->message[0] ? "`" : "", kind->message,
			      kind->message[0] ? "`" : "", kind->help);
}

/* docs/errors.md: the tables of lib/base. */
static void print_errors(FILE *out)
{
	(void)fputs("# Errors\n\nPrinted by `mayflyd --print-errors` from the one table in "
		    "`lib/base/error.c`. A gRPC answer\ncarries the name as the `reason` of its "
		    "`google.rpc.ErrorInfo`; the exit code is that of the\n`mayfly` command.\n\n"
		    "| name | gRPC status | HTTP status | type | exit code | when |\n"
		    "|---|---|---|---|---|---|\n",
		    out);
	for (int code = ERROR_NONE + 1; code < _ERROR_CODE_MAX; code++) {
		const struct error_kind *kind = error_kind((enum error_code)code);
		(void)fprintf(out, "| %s | %s | %d | %s | %d | %s |\n", kind->name,
			      grpc_names[kind->grpc_status], kind->http_status, kind->type,
			      kind->exit_code, kind->help);
	}
	print_function_errors(out);
}

static void tell_problem(const char *name, unsigned line, const char *text, void *arg)
{
	(void)arg;
	if (line > 0)
		(void)fprintf(stderr, "%s:%u: %s\n", name, line, text);
	else
		(void)fprintf(stderr, "%s: %s\n", name, text);
}

/* 0 or the number of problems. */
static int assign(struct config *config, const char *option, const char *assignment)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	if (config_set_assignment(config, assignment, &error) == 0)
		return 0;
	tell_problem(option, 0, error_text(&error), NULL);
	return 1;
}

static int assign_key(struct config *config, const char *option, const char *key, const char *value)
{
	_cleanup_free_ char *assignment = NULL;
	if (asprintf(&assignment, "%s=%s", key, value) < 0)
		return 1;
	return assign(config, option, assignment);
}

static bool print_what_was_asked(int option)
{
	switch (option) {
	case OPTION_MANUAL:
		config_print_manual(stdout);
		return true;
	case OPTION_DEFAULT_FILE:
		config_print_default_file(stdout);
		return true;
	case OPTION_ERRORS:
		print_errors(stdout);
		return true;
	case 'V':
		(void)puts("mayflyd " MAYFLY_VERSION);
		return true;
	case 'h':
		(void)fputs(help_text, stdout);
		return true;
	default:
		return false;
	}
}

/* The file comes before the overrides, wherever --config stands. */
static int load_file(int argc, char **argv, struct config *config)
{
	const char *path = NULL;
	int option;
	optind = 1;
	opterr = 0;
	while ((option = getopt_long(argc, argv, "Vh", long_options, NULL)) != -1)
		if (option == OPTION_CONFIG)
			path = optarg;
	if (path)
		return config_load(config, path, tell_problem, NULL);
	if (!fs_exists(CONFIG_DEFAULT_PATH))
		return 0;
	return config_load(config, CONFIG_DEFAULT_PATH, tell_problem, NULL);
}

/* The number of problems, or -1 after an option that getopt has complained about. */
static int read_options(int argc, char **argv, struct config *config, enum options_action *action)
{
	int option;
	int problems = 0;
	optind = 1;
	opterr = 1;
	while ((option = getopt_long(argc, argv, "Vh", long_options, NULL)) != -1) {
		if (print_what_was_asked(option)) {
			*action = OPTIONS_DONE;
			return 0;
		}
		switch (option) {
		case OPTION_CONFIG:
			break;
		case OPTION_STATE_DIR:
			problems += assign_key(config, "--state-dir", "node.state_dir", optarg);
			break;
		case OPTION_SOCKET:
			problems += assign_key(config, "--socket", "api.socket", optarg);
			break;
		case OPTION_SET:
			problems += assign(config, "--set", optarg);
			break;
		case OPTION_CHECK_CONFIG:
			*action = OPTIONS_CHECK_CONFIG;
			break;
		case OPTION_SELF_TEST:
			*action = OPTIONS_SELF_TEST;
			break;
		default:
			return -1;
		}
	}
	if (optind < argc) {
		(void)fprintf(stderr, "mayflyd: unexpected argument '%s'\n", argv[optind]);
		return -1;
	}
	return problems;
}

int options_parse(int argc, char **argv, struct config *config, enum options_action *ret)
{
	int r = config_set_defaults(config);
	if (r < 0)
		return r;
	int in_file = load_file(argc, argv, config);
	if (in_file < 0)
		return in_file;

	enum options_action action = OPTIONS_RUN;
	int in_options = read_options(argc, argv, config, &action);
	if (in_options < 0) {
		(void)fputs("Try 'mayflyd --help'.\n", stderr);
		return -EINVAL;
	}
	if (action == OPTIONS_DONE) {
		*ret = action;
		return 0;
	}
	int between = config_complete(config, tell_problem, NULL);
	if (between < 0)
		return between;
	if (in_file + in_options + between > 0)
		return -EINVAL;
	*ret = action;
	return 0;
}
