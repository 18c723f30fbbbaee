/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Structured option values as the aws command line takes them: JSON, file://path with JSON, or
 * the shorthand "Name=value,Other={A=b,C=d}". */

#include <jansson.h>

#include "mayfly/error.h"

/* An object whose values are texts, numbers, or objects of these; the caller's. */
int shorthand_parse(const char *option, const char *text, json_t **ret, struct error *e) _must_use_;
