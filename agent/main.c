/* SPDX-License-Identifier: Apache-2.0 */

/* mayflyd, the host agent: reads the configuration, builds the node, runs it. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include "agent/journal.h"
#include "agent/node.h"
#include "agent/options.h"
#include "agent/self_test.h"
#include "mayfly/log.h"

static int run_node(const struct config *config)
{
	_cleanup_error_ struct error error = ERROR_INIT;
	_cleanup_(node_close_p) struct node *node = NULL;
	int r = node_open(config, &node, &error);
	if (r < 0) {
		log_error("cannot start: %s", error_log_text(&error));
		(void)sd_notifyf(0, "STATUS=Cannot start: %s\nERRNO=%d", error_text(&error), -r);
		return EXIT_FAILURE;
	}
	return node_run(node) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	static const int priorities[] = {
		[CONFIG_LOG_ERROR] = LOG_ERR,     [CONFIG_LOG_WARNING] = LOG_WARNING,
		[CONFIG_LOG_NOTICE] = LOG_NOTICE, [CONFIG_LOG_INFO] = LOG_INFO,
		[CONFIG_LOG_DEBUG] = LOG_DEBUG,
	};
	_cleanup_config_ struct config config = CONFIG_INIT;
	enum options_action action;
	int r = options_parse(argc, argv, &config, &action);
	if (r < 0)
		return r == -ENOMEM ? EXIT_FAILURE : EXIT_USAGE;
	log_set_max_priority(priorities[config.node_log_level]);
	(void)umask(0022);

	switch (action) {
	case OPTIONS_DONE:
		return ferror(stdout) || fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
	case OPTIONS_CHECK_CONFIG:
		(void)puts("the configuration is good");
		return EXIT_SUCCESS;
	case OPTIONS_SELF_TEST:
		return self_test_run(&config);
	case OPTIONS_RUN:
		break;
	}
	journal_take_over();
	return run_node(&config);
}
