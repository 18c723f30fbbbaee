/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/verb.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>

#include "cli/output.h"

#define MAX_OPTIONS  40
#define FIRST_OPTION 256 /* values of long options, beyond every letter */

struct arguments {
	const struct verb *verb;
	const struct verb_option *options[MAX_OPTIONS]; /* the verb's, then the common ones */
	const char *values[MAX_OPTIONS];
	json_t *lists[MAX_OPTIONS]; /* owned: of an OPTION_LIST what follows its first text */
	unsigned n_options;
	char **operands;
	unsigned n_operands;
};

static void collect(struct arguments *arguments, const struct verb_option *options)
{
	for (; options && options->name; options++)
		if (arguments->n_options < MAX_OPTIONS)
			arguments->options[arguments->n_options++] = options;
}

static int usage_error(const struct verb *verb, const char *text)
{
	(void)fprintf(stderr, "mayfly %s: %s\nTry 'mayfly %s --help'.\n", verb->name, text,
		      verb->name);
	return EXIT_USAGE;
}

static unsigned find(const struct arguments *arguments, const char *name)
{
	for (unsigned i = 0; i < arguments->n_options; i++)
		if (strcmp(arguments->options[i]->name, name) == 0)
			return i;
	abort(); /* the verb's table lacks an option that its code asks for */
}

const char *argument(const struct arguments *arguments, const char *option)
{
	return arguments->values[find(arguments, option)];
}

bool argument_flag(const struct arguments *arguments, const char *option)
{
	return argument(arguments, option) != NULL;
}

const char *operand(const struct arguments *arguments, unsigned i)
{
	return i < arguments->n_operands ? arguments->operands[i] : "";
}

void argument_list_free(char **list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(list[i]);
	free(list);
}

/* ["a", "b"] as the only word is the list itself. */
static json_t *read_list(json_t *words)
{
	const char *only = json_string_value(json_array_get(words, 0));
	json_t *array = NULL;

	if (json_array_size(words) == 1 && only && only[0] == '[')
		array = json_loads(only, 0, NULL);
	return array ? array : json_incref(words);
}

int argument_list(const struct arguments *arguments, const char *option, char ***ret,
		  size_t *ret_count, struct error *e)
{
	_cleanup_json_ json_t *array = NULL;
	json_t *words = arguments->lists[find(arguments, option)];
	size_t count = 0;
	char **list;

	*ret = NULL;
	*ret_count = 0;
	if (!words)
		return 0;
	array = read_list(words);
	list = calloc(json_array_size(array) + 1, sizeof(*list));
	for (; list && count < json_array_size(array); count++) {
		const char *text = json_string_value(json_array_get(array, count));
		list[count] = text ? strdup(text) : NULL;
		if (!list[count])
			break;
	}
	if (!list || count < json_array_size(array)) {
		argument_list_free(list, count);
		return error_set(e, ERROR_INVALID_PARAMETER, option, "--%s takes texts", option);
	}
	*ret = list;
	*ret_count = count;
	return 0;
}

int argument_number(const struct arguments *arguments, const char *option, uint64_t max,
		    uint64_t *ret, struct error *e)
{
	const char *text = argument(arguments, option);
	if (!text)
		return 0;
	char *end = NULL;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (errno != 0 || end == text || *end || text[0] == '-' || value > max)
		return error_set(e, ERROR_INVALID_PARAMETER, option,
				 "--%s takes a number from 0 to %llu, not '%s'", option,
				 (unsigned long long)max, text);
	*ret = value;
	return 0;
}

int argument_duration(const struct arguments *arguments, const char *option, int64_t *ret_us,
		      struct error *e)
{
	static const struct {
		const char *unit;
		double us;
	} units[] = { { "", 1e6 },   { "s", 1e6 },    { "ms", 1e3 },
		      { "m", 60e6 }, { "h", 3600e6 }, { "d", 86400e6 } };
	const char *text = argument(arguments, option);
	if (!text)
		return 0;
	char *end = NULL;
	double value = strtod(text, &end);
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (end != text && strcmp(end, units[i].unit) == 0 && value >= 0 &&
		    value * units[i].us < 9e15) {
			*ret_us = (int64_t)(value * units[i].us);
			return 0;
		}
	return error_set(e, ERROR_INVALID_PARAMETER, option,
			 "--%s takes a duration such as 30s, 10m or 2h, not '%s'", option, text);
}

static bool is_choice(const char *choices, const char *word)
{
	size_t n = strlen(word);
	for (const char *p = choices; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
		if (strncmp(p, word, n) == 0 && (p[n] == '|' || p[n] == '\0'))
			return true;
	return false;
}

/* getopt's own tables, from ours. */
static void fill_getopt(const struct arguments *arguments, struct option *longs, char *shorts)
{
	*shorts++ = ':';
	for (unsigned i = 0; i < arguments->n_options; i++) {
		const struct verb_option *option = arguments->options[i];
		bool flag = option->kind == OPTION_FLAG;
		longs[i] = (struct option){ option->name, flag ? no_argument : required_argument,
					    NULL, FIRST_OPTION + (int)i };
		if (!option->letter)
			continue;
		*shorts++ = option->letter;
		if (!flag)
			*shorts++ = ':';
	}
	*shorts = '\0';
}

/* The words up to the next option are the list's, as for the aws command: they do not become
 * operands. */
static void take_list(struct arguments *arguments, unsigned i, int argc, char **argv)
{
	if (!arguments->lists[i])
		arguments->lists[i] = json_array();
	(void)json_array_append_new(arguments->lists[i], json_string(optarg));
	for (; optind < argc && argv[optind][0] != '-'; optind++)
		(void)json_array_append_new(arguments->lists[i], json_string(argv[optind]));
}

static int set_option(struct arguments *arguments, int found, int argc, char **argv)
{
	unsigned i = (unsigned)(found - FIRST_OPTION);
	if (found < FIRST_OPTION)
		for (i = 0; arguments->options[i]->letter != found;)
			i++;
	const struct verb_option *option = arguments->options[i];
	arguments->values[i] = option->kind == OPTION_FLAG ? "" : optarg;
	if (option->kind == OPTION_LIST)
		take_list(arguments, i, argc, argv);
	if (option->kind == OPTION_CHOICE && !is_choice(option->placeholder, optarg)) {
		(void)fprintf(stderr, "mayfly %s: --%s takes one of %s, not '%s'\n",
			      arguments->verb->name, option->name, option->placeholder, optarg);
		return EXIT_USAGE;
	}
	return 0;
}

static int parse(struct arguments *arguments, int argc, char **argv)
{
	struct option longs[MAX_OPTIONS + 1] = { 0 };
	char shorts[2 * MAX_OPTIONS + 2];
	int found;

	collect(arguments, arguments->verb->options);
	collect(arguments, common_options);
	fill_getopt(arguments, longs, shorts);
	opterr = 0;
	optind = 1;
	while ((found = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		char text[128];
		if (found == '?' || found == ':') {
			(void)snprintf(text, sizeof(text), "%s %.80s",
				       found == '?' ? "unknown or ambiguous option"
						    : "a value is missing after",
				       argv[optind - 1]);
			return usage_error(arguments->verb, text);
		}
		int r = set_option(arguments, found, argc, argv);
		if (r != 0)
			return r;
	}
	arguments->operands = argv + optind;
	arguments->n_operands = (unsigned)(argc - optind);
	return 0;
}

/* `--function-name X` may stand where the operand NAME does. */
static void take_name_option(struct arguments *arguments)
{
	const char *option = arguments->verb->name_option;
	if (!option || arguments->n_operands > 0 || !argument(arguments, option))
		return;
	arguments->operands = (char **)&arguments->values[find(arguments, option)];
	arguments->n_operands = 1;
}

static int check_operands(const struct arguments *arguments)
{
	const struct verb *verb = arguments->verb;
	char text[128];

	if (arguments->n_operands < verb->min) {
		(void)snprintf(text, sizeof(text), "%s is missing", verb->operands);
		return usage_error(verb, text);
	}
	if (arguments->n_operands > verb->max) {
		(void)snprintf(text, sizeof(text), "'%.80s' is one argument too many",
			       operand(arguments, verb->max));
		return usage_error(verb, text);
	}
	return 0;
}

static int report(struct context *context, int r)
{
	if (r >= 0)
		return r;
	struct error *e = &context->error;
	if (e->code == ERROR_NONE)
		(void)error_set_errno(e, r, "failed");
	if (e->code == ERROR_CANCELLED && interrupted)
		return error_kind(ERROR_CANCELLED)->exit_code;
	(void)fflush(stdout);
	(void)fprintf(stderr, "mayfly: %s: %s%s%s%s\n", error_kind(e->code)->name, error_text(e),
		      e->reason ? " (" : "", e->reason ? e->reason : "", e->reason ? ")" : "");
	return error_kind(e->code)->exit_code;
}

static void free_lists(struct arguments *arguments)
{
	for (unsigned i = 0; i < arguments->n_options; i++)
		json_decref(arguments->lists[i]);
}

int verb_run(const struct verb *verb, int argc, char **argv)
{
	_cleanup_(free_lists) struct arguments arguments = { .verb = verb };
	struct context context = { 0 };

	int r = parse(&arguments, argc, argv);
	if (r != 0)
		return r;
	if (argument_flag(&arguments, "help")) {
		help_print_verb(stdout, verb);
		return 0;
	}
	take_name_option(&arguments);
	r = check_operands(&arguments);
	if (r != 0)
		return r;
	const char *output = argument(&arguments, "output");
	context.json = output && strcmp(output, "json") == 0;
	context.verbose = argument_flag(&arguments, "verbose");

	context.options = (struct client_options){
		.address = argument(&arguments, "address"),
		.ca_file = argument(&arguments, "ca"),
		.certificate = argument(&arguments, "certificate"),
		.key = argument(&arguments, "key"),
		.access_key_file = argument(&arguments, "access-key-file"),
	};
	r = client_open_with(&context.options, &context.client, &context.error);
	if (r == 0)
		r = client_set_tenant(context.client, argument(&arguments, "tenant"),
				      &context.error);
	if (r == 0) {
		client_set_cancel_flag(context.client, &interrupted);
		r = verb->run(&context, &arguments);
	}
	int code = report(&context, r);
	(void)client_close(context.client);
	error_clear(&context.error);
	if (fflush(stdout) != 0 && code == 0) {
		(void)fprintf(stderr, "mayfly: cannot write the output: %m\n");
		code = 1;
	}
	return code;
}
