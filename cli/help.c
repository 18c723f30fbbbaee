/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/verb.h"

#define OPTION_COLUMN 34

const struct verb *verb_find(int argc, char **argv, int *ret_words)
{
	for (const struct verb *const *v = verbs; *v; v++) {
		const char *name = (*v)->name;
		int words = 0;
		while (name && words < argc) {
			size_t n = strlen(argv[words]);
			if (strncmp(name, argv[words], n) != 0 || (name[n] != ' ' && name[n]))
				break;
			words++;
			name = name[n] ? name + n + 1 : NULL;
		}
		if (!name) {
			*ret_words = words;
			return *v;
		}
	}
	return NULL;
}

static void print_summaries(FILE *out, const char *group)
{
	for (const struct verb *const *v = verbs; *v; v++) {
		size_t n = group ? strlen(group) : 0;
		if (group && (strncmp((*v)->name, group, n) != 0 || (*v)->name[n] != ' '))
			continue;
		(void)fprintf(out, "  %-32s %s\n", (*v)->name, (*v)->summary);
	}
}

static void print_options(FILE *out, const struct verb_option *options)
{
	for (; options && options->name; options++) {
		char left[96], letter[5] = "    ";
		if (options->letter)
			(void)snprintf(letter, sizeof(letter), "-%c, ", options->letter);
		(void)snprintf(left, sizeof(left), "%s--%s%s%s", letter, options->name,
			       options->placeholder ? " " : "",
			       options->placeholder ? options->placeholder : "");
		if (strlen(left) > OPTION_COLUMN)
			(void)fprintf(out, "  %s\n  %-*s %s\n", left, OPTION_COLUMN, "",
				      options->help);
		else
			(void)fprintf(out, "  %-*s %s\n", OPTION_COLUMN, left, options->help);
	}
}

void help_print_all(FILE *out)
{
	(void)fputs("Usage: mayfly VERB [OPTIONS]\n\n"
		    "Runs functions in microVMs on your own machines.\n\nVerbs:\n",
		    out);
	print_summaries(out, NULL);
	(void)fputs("\nOptions of every verb:\n", out);
	print_options(out, common_options);
	(void)fputs(
		"\n'mayfly VERB --help' says more, with examples.\n"
		"Exit codes: 0 done; 8 the function ran and failed; 2 wrong input; 3 not found;\n"
		"4 its state forbids it; 5 too many requests; 6 unavailable; 7 not allowed;\n"
		"1 the node failed; 130 interrupted.\n",
		out);
}

void help_print_group(FILE *out, const char *group)
{
	(void)fprintf(out, "Usage: mayfly %s VERB [OPTIONS]\n\nVerbs:\n", group);
	print_summaries(out, group);
}

void help_print_verb(FILE *out, const struct verb *verb)
{
	(void)fprintf(out, "Usage: mayfly %s%s%s [OPTIONS]\n\n%s\n", verb->name,
		      *verb->operands ? " " : "", verb->operands, verb->summary);
	if (verb->options && verb->options->name) {
		(void)fputs("\nOptions:\n", out);
		print_options(out, verb->options);
	}
	(void)fputs("\nOptions of every verb:\n", out);
	print_options(out, common_options);
	if (verb->help)
		(void)fprintf(out, "\n%s", verb->help);
}
