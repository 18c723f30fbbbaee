/* SPDX-License-Identifier: Apache-2.0 */

/* For bash and zsh: one function with the same cases, in which only the words around them differ.
 */

#include "cli/completion.h"

#include <errno.h>

#include "cli/verbs.h"

struct dialect {
	const char *head;   /* defines cur, prev and said, the words of the verb so far */
	const char *files;  /* completes a path */
	const char *choice; /* completes one of the words after it, up to choice_end */
	const char *choice_end;
	const char *tail; /* offers from options or list */
};

static const struct dialect bash = {
	.head = "# bash completion of mayfly\n_mayfly() {\n"
		"\tlocal cur=\"${COMP_WORDS[COMP_CWORD]}\" prev=\"${COMP_WORDS[COMP_CWORD-1]}\"\n"
		"\tlocal said='' list='' options='' i\n"
		"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
		"\t\t[[ ${COMP_WORDS[i]} == -* ]] && break\n"
		"\t\tsaid=\"${said:+$said }${COMP_WORDS[i]}\"\n\tdone\n",
	.files = "compopt -o default; return",
	.choice = "COMPREPLY=($(compgen -W '",
	.choice_end = "' -- \"$cur\")); return",
	.tail = "\tif [[ $cur == -* || -z $list ]]; then\n"
		"\t\tCOMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n\telse\n"
		"\t\tCOMPREPLY=($(compgen -W \"$list\" -- \"$cur\"))\n\tfi\n}\n"
		"complete -F _mayfly mayfly\n",
};

/* The file is the function's body, as compinit loads it. */
static const struct dialect zsh = {
	.head = "#compdef mayfly\n_mayfly() {\n"
		"\tlocal cur=\"${words[CURRENT]}\" prev=\"${words[CURRENT-1]}\"\n"
		"\tlocal said='' list='' options='' i\n"
		"\tfor ((i = 2; i < CURRENT; i++)); do\n"
		"\t\t[[ ${words[i]} == -* ]] && break\n"
		"\t\tsaid=\"${said:+$said }${words[i]}\"\n\tdone\n",
	.files = "_files; return",
	.choice = "compadd -- ",
	.choice_end = "; return",
	.tail = "\tif [[ $cur == -* || -z $list ]]; then\n\t\tcompadd -- ${=options}\n"
		"\telse\n\t\tcompadd -- ${=list}\n\tfi\n}\n"
		"if [[ $funcstack[1] == _mayfly ]]; then\n\t_mayfly \"$@\"\nelse\n"
		"\tcompdef _mayfly mayfly\nfi\n",
};

static void print_words(const struct verb_option *options, FILE *out)
{
	for (; options && options->name; options++)
		(void)fprintf(out, " --%s", options->name);
}

/* The words that may follow each beginning of a verb's name. */
static void print_verbs(FILE *out)
{
	(void)fputs("\tcase \"$said\" in\n\t'') list='", out);
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

static void print_choices(const struct verb_option *options, const struct dialect *dialect,
			  FILE *out)
{
	for (; options && options->name; options++) {
		if (options->kind == OPTION_FILE) {
			(void)fprintf(out, "\t--%s) %s ;;\n", options->name, dialect->files);
			continue;
		}
		if (options->kind != OPTION_CHOICE)
			continue;
		(void)fprintf(out, "\t--%s) %s", options->name, dialect->choice);
		for (const char *p = options->placeholder; *p; p++)
			(void)fputc(*p == '|' ? ' ' : *p, out);
		(void)fprintf(out, "%s ;;\n", dialect->choice_end);
	}
}

static void print_function(const struct dialect *dialect, FILE *out)
{
	(void)fprintf(out, "%s\tcase \"$prev\" in\n", dialect->head);
	for (const struct verb *const *v = verbs; *v; v++)
		print_choices((*v)->options, dialect, out);
	print_choices(common_options, dialect, out);
	(void)fputs("\tesac\n", out);
	print_verbs(out);
	print_groups(out);
	(void)fputs("\tcompletion) list='bash zsh fish' ;;\n\tesac\n\tcase \"$said\" in\n", out);
	print_options(out);
	(void)fputs("\tesac\n\toptions+=\"", out);
	print_words(common_options, out);
	(void)fprintf(out, "\"\n%s", dialect->tail);
}

int completion_print(const char *shell, FILE *out)
{
	if (strcmp(shell, "bash") == 0)
		print_function(&bash, out);
	else if (strcmp(shell, "zsh") == 0)
		print_function(&zsh, out);
	else if (strcmp(shell, "fish") == 0)
		completion_print_fish(out);
	else
		return -EINVAL;
	return 0;
}

static int run(struct context *context, const struct arguments *arguments)
{
	if (completion_print(operand(arguments, 0), stdout) < 0)
		return error_set(&context->error, ERROR_INVALID_PARAMETER, NULL,
				 "completion is there for bash, zsh and fish");
	return 0;
}

const struct verb verb_completion = {
	.name = "completion",
	.operands = COMPLETION_SHELLS,
	.min = 1,
	.max = 1,
	.summary = "Print a completion script for the shell",
	.help = "Examples:\n"
		"  mayfly completion bash > /etc/bash_completion.d/mayfly\n"
		"  mayfly completion zsh > /usr/local/share/zsh/site-functions/_mayfly\n"
		"  mayfly completion fish > ~/.config/fish/completions/mayfly.fish\n",
	.run = run,
};
