/* SPDX-License-Identifier: Apache-2.0 */

/* Shell completion, written from the table of verbs. */

#include "cli/verbs.h"

static void print_words(const struct verb_option *options, FILE *out)
{
	for (; options && options->name; options++)
		(void)fprintf(out, " --%s", options->name);
}

/* The words that may follow each beginning of a verb's name. */
static void print_verbs(FILE *out)
{
	(void)fputs("\tcase \"$words\" in\n\t'') list='", out);
	for (const struct verb *const *v = verbs; *v; v++) {
		size_t n = strcspn((*v)->name, " ");
		bool seen = false;
		for (const struct verb *const *w = verbs; w < v; w++)
			seen |= strcspn((*w)->name, " ") == n &&
				strncmp((*w)->name, (*v)->name, n) == 0;
		if (!seen)
			(void)fprintf(out, "%.*s ", (int)n, (*v)->name);
	}
	(void)fputs("' ;;\n", out);
}

static void print_groups(FILE *out)
{
	for (const struct verb *const *v = verbs; *v; v++) {
		const char *space = strchr((*v)->name, ' ');
		size_t n = space ? (size_t)(space - (*v)->name) : 0;
		bool seen = !space;
		for (const struct verb *const *w = verbs; w < v; w++)
			seen |= strncmp((*w)->name, (*v)->name, n + 1) == 0;
		if (seen)
			continue;
		(void)fprintf(out, "\t%.*s) list='", (int)n, (*v)->name);
		for (const struct verb *const *w = v; *w; w++)
			if (strncmp((*w)->name, (*v)->name, n + 1) == 0)
				(void)fprintf(out, "%s ", (*w)->name + n + 1);
		(void)fputs("' ;;\n", out);
	}
}

static void print_options(FILE *out)
{
	for (const struct verb *const *v = verbs; *v; v++) {
		if (!strchr((*v)->name, ' '))
			(void)fprintf(out, "\t%s*) options='", (*v)->name);
		else
			(void)fprintf(out, "\t'%s'*) options='", (*v)->name);
		print_words((*v)->options, out);
		(void)fputs("' ;;\n", out);
	}
}

static void print_choices(const struct verb_option *options, FILE *out)
{
	for (; options && options->name; options++) {
		if (options->kind == OPTION_FILE) {
			(void)fprintf(out, "\t--%s) compopt -o default; return ;;\n",
				      options->name);
			continue;
		}
		if (options->kind != OPTION_CHOICE)
			continue;
		(void)fprintf(out, "\t--%s) COMPREPLY=($(compgen -W '", options->name);
		for (const char *p = options->placeholder; *p; p++)
			(void)fputc(*p == '|' ? ' ' : *p, out);
		(void)fputs("' -- \"$cur\")); return ;;\n", out);
	}
}

static int run(struct context *context _unused_, const struct arguments *arguments)
{
	FILE *out = stdout;

	if (strcmp(operand(arguments, 0), "bash") != 0)
		return error_set(&context->error, ERROR_INVALID_PARAMETER, NULL,
				 "completion is there for bash only");
	(void)fputs(
		"# bash completion of mayfly\n_mayfly() {\n"
		"\tlocal cur=\"${COMP_WORDS[COMP_CWORD]}\" prev=\"${COMP_WORDS[COMP_CWORD-1]}\"\n"
		"\tlocal words='' list='' options='' i\n"
		"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
		"\t\t[[ ${COMP_WORDS[i]} == -* ]] && break\n"
		"\t\twords=\"${words:+$words }${COMP_WORDS[i]}\"\n\tdone\n"
		"\tcase \"$prev\" in\n",
		out);
	for (const struct verb *const *v = verbs; *v; v++)
		print_choices((*v)->options, out);
	print_choices(common_options, out);
	(void)fputs("\tesac\n", out);
	print_verbs(out);
	print_groups(out);
	(void)fputs("\tesac\n\tcase \"$words\" in\n", out);
	print_options(out);
	(void)fputs("\tesac\n\toptions+=\"", out);
	print_words(common_options, out);
	(void)fputs("\"\n\tif [[ $cur == -* || -z $list ]]; then\n"
		    "\t\tCOMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n\telse\n"
		    "\t\tCOMPREPLY=($(compgen -W \"$list\" -- \"$cur\"))\n\tfi\n}\n"
		    "complete -F _mayfly mayfly\n",
		    out);
	return 0;
}

const struct verb verb_completion = {
	.name = "completion",
	.operands = "bash",
	.min = 1,
	.max = 1,
	.summary = "Print a completion script for the shell",
	.help = "Example:\n"
		"  mayfly completion bash > /etc/bash_completion.d/mayfly\n",
	.run = run,
};
