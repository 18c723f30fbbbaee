/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where the agent's own log goes: structured fields to the journal when stderr is connected to it,
 * plain lines to stderr otherwise. */

/* To be called before other threads start. */
void journal_take_over(void);
