/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The command line of mayflyd. Main thread, at start. */

#include "agent/config.h"

#define EXIT_USAGE 2 /* a bad option or configuration; 1 is a failure to run */

enum options_action {
	OPTIONS_RUN,
	OPTIONS_SELF_TEST,
	OPTIONS_CHECK_CONFIG,
	OPTIONS_DONE, /* --help and the like: printed already */
};

/* Reads the file and the options into the configuration (which is empty before), and tells every
 * problem on stderr as "file:line: text". 0, or -EINVAL when there was any, or -ENOMEM. */
int options_parse(int argc, char **argv, struct config *config,
		  enum options_action *ret) _must_use_;
