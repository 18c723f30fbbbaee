/* SPDX-License-Identifier: Apache-2.0 */

/* For fish: a rule for each word that may be typed, with its help. */

#include "cli/completion.h"
#include "cli/verbs.h"

static const char functions_head[] =
	"# fish completion of mayfly\n"
	"function __mayfly_words\n"
	"\tset -l said\n"
	"\tfor word in (commandline -opc)[2..-1]\n"
	"\t\tstring match -q -- '-*' $word; and break\n"
	"\t\tset -a said $word\n"
	"\tend\n"
	"\techo \"$said\"\n"
	"end\n"
	"function __mayfly_at\n"
	"\ttest (__mayfly_words | string collect --allow-empty) = \"$argv\"\n"
	"end\n"
	"function __mayfly_verb\n"
	"\tset -l said (__mayfly_words)\n"
	"\tswitch \"$said\"\n";

static const char functions_tail[] = "\tend\n"
				     "end\n"
				     "function __mayfly_in\n"
				     "\tcontains -- \"$argv\" (__mayfly_verb)\n"
				     "end\n"
				     "complete -c mayfly -f\n";

static void print_quoted(const char *text, FILE *out)
{
	(void)fputc('\'', out);
	for (const char *p = text; *p; p++) {
		if (*p == '\'' || *p == '\\')
			(void)fputc('\\', out);
		(void)fputc(*p, out);
	}
	(void)fputc('\'', out);
}

/* What may follow which option. */
static void print_kind(const struct verb_option *option, FILE *out)
{
	switch (option->kind) {
	case OPTION_FLAG:
		return;
	case OPTION_TEXT:
	case OPTION_LIST:
		(void)fputs(" -x", out);
		return;
	case OPTION_FILE:
		(void)fputs(" -r -F", out);
		return;
	case OPTION_CHOICE:
		break;
	}
	(void)fputs(" -x -a '", out);
	for (const char *p = option->placeholder; *p; p++)
		(void)fputc(*p == '|' ? ' ' : *p, out);
	(void)fputc('\'', out);
}

static void print_options(const char *verb, const struct verb_option *options, FILE *out)
{
	for (; options && options->name; options++) {
		(void)fputs("complete -c mayfly", out);
		if (verb)
			(void)fprintf(out, " -n '__mayfly_in %s'", verb);
		(void)fprintf(out, " -l %s", options->name);
		if (options->letter)
			(void)fprintf(out, " -s %c", options->letter);
		print_kind(options, out);
		(void)fputs(" -d ", out);
		print_quoted(options->help, out);
		(void)fputc('\n', out);
	}
}

/* Each word of the verb, where it stands; a group's first word once for each of its verbs, which
 * fish shows as one. */
static void print_verb(const struct verb *verb, FILE *out)
{
	const char *space = strchr(verb->name, ' ');
	int n = (int)strcspn(verb->name, " ");

	(void)fprintf(out, "complete -c mayfly -n '__mayfly_at \"\"' -a %.*s", n, verb->name);
	if (space)
		(void)fprintf(out, "\ncomplete -c mayfly -n '__mayfly_at %.*s' -a %s", n,
			      verb->name, space + 1);
	(void)fputs(" -d ", out);
	print_quoted(verb->summary, out);
	(void)fputc('\n', out);
	print_options(verb->name, verb->options, out);
}

void completion_print_fish(FILE *out)
{
	(void)fputs(functions_head, out);
	for (const struct verb *const *v = verbs; *v; v++)
		(void)fprintf(out, "\tcase '%s' '%s *'\n\t\techo '%s'\n", (*v)->name, (*v)->name,
			      (*v)->name);
	(void)fputs(functions_tail, out);
	for (const struct verb *const *v = verbs; *v; v++)
		print_verb(*v, out);
	(void)fputs("complete -c mayfly -n '__mayfly_at completion' -a 'bash zsh fish'\n", out);
	print_options(NULL, common_options, out);
}
