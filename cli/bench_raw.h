/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The baseline: what QEMU alone needs for the same function, measured by the program
 * mayfly-raw-qemu, which runs as root on the node itself. */

#include "cli/bench.h"

/* A program that is installed with us: what $variable names, the installed one, or the one of the
 * build folder we are in. 0, -ENOENT or -ENAMETOOLONG. */
int bench_find_program(const char *name, const char *variable, char *out, size_t size) _must_use_;

struct raw_run {
	uint64_t n, parallel;
	unsigned hold_ms; /* of the event */
};

/* *ret becomes its JSON, with p50_ms and restores_per_second. Without it a benchmark is worth less
 * but not nothing: whatever hinders it is said once on stderr, and *ret stays NULL. */
void bench_raw(struct bench *bench, const struct raw_run *run, json_t **ret);
