/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the two halves of mayfly-raw-qemu share: the command line, the template, and one clone. */

#include <semaphore.h>
#include <stdint.h>

#include "agent/vm/template_manifest.h"
#include "mayfly/cleanup.h"

struct raw_options {
	const char *state_dir, *images, *zip, *runtime, *handler, *payload, *emulator;
	unsigned memory, count, parallel, tb_size;
};
extern struct raw_options options;

/* Found and made before the first clone. */
extern struct template_manifest manifest;
extern char *template_folder, *work_folder, *package_image, *command_line;
extern char *preload; /* what the agent preloads into QEMU, too; NULL: nothing */
extern int64_t begun_us;
/* As many starts at once as processors, which is also what the agent does: with more, all are late
 * and the guests run over their limits. */
extern sem_t starting;

struct raw_sample {
	double spawn_ms, load_ms, restore_ms, init_ms, invoke_ms, total_ms;
	int64_t ready_us; /* after the first one was begun */
};

/* Ends the program, and with it every QEMU. */
_Noreturn void die(const char *what, const char *detail);
char *text_new(const char *format, ...) _printf_(1, 2);

/* Reads the package as the agent sends it, and has it compiled once, as the agent does. */
void prepare_code(void);

/* Starts a QEMU, restores, runs the function once, and ends it. Any thread. */
void run_clone(struct raw_sample *sample);
