/* SPDX-License-Identifier: Apache-2.0 */

/* mayfly: the command line. */

#include "cli/verb.h"
#include "mayfly/log.h"

volatile sig_atomic_t interrupted;

/* The second time the default action ends us. */
static void on_signal(int signal _unused_)
{
	interrupted = 1;
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	(void)sigaction(SIGPIPE, &ignore, NULL);
}

static bool is_group(const char *word)
{
	size_t n = strlen(word);
	for (const struct verb *const *v = verbs; *v; v++)
		if (strncmp((*v)->name, word, n) == 0 && (*v)->name[n] == ' ')
			return true;
	return false;
}

int main(int argc, char **argv)
{
	int words = 0;

	catch_signals();
	log_set_max_priority(getenv("MAYFLY_DEBUG") ? LOG_DEBUG : LOG_WARNING);
	if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		help_print_all(argc < 2 ? stderr : stdout);
		return argc < 2 ? EXIT_USAGE : 0;
	}
	if (strcmp(argv[1], "--version") == 0) {
		(void)printf("mayfly %s\n", MAYFLY_VERSION);
		return 0;
	}
	const struct verb *verb = verb_find(argc - 1, argv + 1, &words);
	if (verb)
		return verb_run(verb, argc - words, argv + words);
	if (is_group(argv[1])) {
		bool asked = argc > 2 && (strcmp(argv[2], "--help") == 0 || !strcmp(argv[2], "-h"));
		help_print_group(asked ? stdout : stderr, argv[1]);
		return asked ? 0 : EXIT_USAGE;
	}
	(void)fprintf(stderr, "mayfly: there is no verb '%s'\nTry 'mayfly --help'.\n", argv[1]);
	return EXIT_USAGE;
}
