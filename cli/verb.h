/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A verb of the command line as a row: its name, its options, its help, its function. Parsing,
 * --help and shell completion all come from the one table in verbs.c. */

#include <stdbool.h>
#include <stdint.h>

#include "client/client.h"
#include "mayfly/error.h"

/* Exit codes beside those of the error table (docs/errors.md). */
#define EXIT_USAGE          2
#define EXIT_FUNCTION_ERROR 8 /* the function ran and failed */

enum option_kind {
	OPTION_FLAG,
	OPTION_TEXT,
	OPTION_FILE,  /* text that shells complete as a path */
	OPTION_LIST,  /* one text or more, up to the next option; or a JSON array */
	OPTION_CHOICE /* one of the words in `placeholder`, separated by '|' */
};

struct verb_option {
	const char *name; /* long; NULL ends a table */
	char letter;      /* or 0 */
	enum option_kind kind;
	const char *placeholder;
	const char *help;
};

struct context;
struct arguments;

struct verb {
	const char *name;        /* "function create" */
	const char *operands;    /* "NAME", for the usage line */
	unsigned min, max;       /* number of operands */
	const char *name_option; /* an option that may stand for the first operand, or NULL */
	const char *summary;
	const char *help; /* more, with examples */
	const struct verb_option *options;
	/* 0, a positive exit code, or a negative errno with context->error filled. */
	int (*run)(struct context *context, const struct arguments *arguments);
};

extern const struct verb *const verbs[]; /* NULL at the end */
extern const struct verb_option common_options[];

/* -- what was typed -- */

/* Borrowed text, NULL when the option was not given. Naming an option that the verb does not
 * have is a mistake of the caller and aborts. */
const char *argument(const struct arguments *arguments, const char *option);
bool argument_flag(const struct arguments *arguments, const char *option);

/* Sets *ret only when the option was given. */
int argument_number(const struct arguments *arguments, const char *option, uint64_t max,
		    uint64_t *ret, struct error *e) _must_use_;

/* "250ms", "90s", "10m", "2h", "1d" or plain seconds. */
int argument_duration(const struct arguments *arguments, const char *option, int64_t *ret_us,
		      struct error *e) _must_use_;

/* The texts of an OPTION_LIST: *ret and what it points to are the caller's (argument_list_free());
 * none when the option was not given. */
int argument_list(const struct arguments *arguments, const char *option, char ***ret,
		  size_t *ret_count, struct error *e) _must_use_;
void argument_list_free(char **list, size_t count);

/* Operand i, "" beyond the last. */
const char *operand(const struct arguments *arguments, unsigned i);

/* -- around a verb -- */

struct context {
	struct client *client;         /* owned; opened before run() */
	struct client_options options; /* as given; borrowed texts */
	bool json;
	bool verbose;
	struct error error;
};

/* Set by SIGINT and SIGTERM: calls under way end with ERROR_CANCELLED. */
extern volatile sig_atomic_t interrupted;

/* Finds the verb that argv starts with; *ret_words is how many words its name has. */
const struct verb *verb_find(int argc, char **argv, int *ret_words);

void help_print_all(FILE *out);
void help_print_group(FILE *out, const char *group);
void help_print_verb(FILE *out, const struct verb *verb);

/* Parses and runs; returns the exit code. */
int verb_run(const struct verb *verb, int argc, char **argv);
