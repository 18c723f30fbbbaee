/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mayflyd --self-test: proves that this host can run functions, before it takes traffic. Beside a
 * running agent it uses a state folder of its own. Main thread. */

#include "agent/config.h"

/* Prints one line per proof, "ok   what: how" or "FAIL what: why". 0 when all hold, else the
 * exit code. */
int self_test_run(const struct config *config);
