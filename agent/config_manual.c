/* SPDX-License-Identifier: Apache-2.0 */

/* The table as text for people: docs/configuration.md and the default file. */

#include "agent/config.h"

#include <inttypes.h>
#include <string.h>

static const struct {
	const char *section;
	const char *about;
} sections[] = {
	{ "node", "The node itself." },
	{ "api", "How clients reach it." },
	{ "auth", "Who they are." },
	{ "audit", "Who did what." },
	{ "vm", "How microVMs are run." },
	{ "packages", "Functions' packages on the disk (docs/tenants.md)." },
	{ "templates", "How templates are kept (docs/operations.md, \"Sealed templates\")." },
	{ "pool", "How many sandboxes there are, and for how long." },
	{ "limits",
	  "How much may run at once (docs/concurrency.md), and how often users may call." },
	{ "metrics", "What is told to monitoring." },
	{ "logs", "What is kept of the functions' logs." },
	{ "ledger", "The usage of functions: docs/usage.md." },
	{ "events", "Asynchronous invocations: docs/events.md." },
	{ "schedules", "Functions that are invoked at set times: docs/schedules.md." },
};

static void print_values(FILE *out, const struct config_row *row)
{
	switch (row->kind) {
	case CONFIG_NUMBER:
		(void)fprintf(out, "%" PRIu64 " to %" PRIu64 "%s%s", row->min, row->max,
			      row->unit ? " " : "", row->unit ? row->unit : "");
		break;
	case CONFIG_FLAG:
		(void)fputs("yes or no", out);
		break;
	case CONFIG_CHOICE:
		for (unsigned i = 0; row->choices[i]; i++)
			(void)fprintf(out, "%s%s", i ? ", " : "", row->choices[i]);
		break;
	case CONFIG_PATH:
		(void)fputs("absolute path", out);
		break;
	case CONFIG_TEXT:
		(void)fputs("text", out);
		break;
	}
}

static void print_section(FILE *out, const char *section)
{
	size_t count;
	const struct config_row *rows = config_rows(&count);
	(void)fputs("| key | default | values | meaning |\n|---|---|---|---|\n", out);
	for (size_t i = 0; i < count; i++) {
		if (strcmp(rows[i].section, section) != 0)
			continue;
		const char *initial = *rows[i].initial ? rows[i].initial : "(empty)";
		(void)fprintf(out, "| `%s` | `%s` | ", rows[i].key, initial);
		print_values(out, &rows[i]);
		(void)fprintf(out, " | %s |\n", rows[i].help);
	}
}

void config_print_manual(FILE *out)
{
	(void)fputs(
		"# Configuration of mayflyd\n\n"
		"Printed by `mayflyd --print-configuration-manual` from the table that the "
		"agent parses with.\n\n"
		"The file is `" CONFIG_DEFAULT_PATH "` (another with `--config`); without it "
		"the defaults\nhold. Its lines are `[section]`, `key = value` and comments that "
		"begin with `#` or `;`. On the command\nline `--set section.key=value` overrides "
		"the file. `mayflyd --check-config` prints every problem\nas `file:line: text`. "
		"Changes take effect at the next start.\n",
		out);
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
		(void)fprintf(out, "\n## [%s]\n\n%s\n\n", sections[i].section, sections[i].about);
		print_section(out, sections[i].section);
	}
}

void config_print_default_file(FILE *out)
{
	size_t count;
	const struct config_row *rows = config_rows(&count);
	(void)fputs("# Configuration of mayflyd. Every key is shown with its default; what each "
		    "means is said in\n# docs/configuration.md and by `mayflyd "
		    "--print-configuration-manual`.\n",
		    out);
	const char *section = "";
	for (size_t i = 0; i < count; i++) {
		if (strcmp(section, rows[i].section) != 0)
			(void)fprintf(out, "\n[%s]\n", rows[i].section);
		section = rows[i].section;
		(void)fprintf(out, "#%s =%s%s\n", rows[i].key, *rows[i].initial ? " " : "",
			      rows[i].initial);
	}
}
