/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shell completion, written from the table of verbs. */

#include <stdio.h>

#include "mayfly/cleanup.h"

#define COMPLETION_SHELLS "bash|zsh|fish"

/* The script for a shell; -EINVAL for one that is not known. */
int completion_print(const char *shell, FILE *out) _must_use_;

/* completion_fish.c: fish has rules where the others have one function. */
void completion_print_fish(FILE *out);
