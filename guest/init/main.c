/* SPDX-License-Identifier: Apache-2.0 */

/* mayfly-init: PID 1 of every microVM. */

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "boot.h"
#include "guest.h"
#include "mayfly/log.h"
#include "process.h"

/* To the kernel's log, which the console shows when there is one. */
static void log_to_kernel(int priority, const struct log_fields *fields, const char *text,
			  void *user)
{
	char line[512];
	_cleanup_close_ int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	(void)fields;
	(void)user;
	int len = snprintf(line, sizeof(line), "<%d>mayfly-init: %s\n", priority, text);
	if (fd >= 0 && len > 0)
		(void)!write(fd, line, strlen(line));
}

static int boot_and_run(void)
{
	static struct guest guest;
	char failure[BOOT_FAILURE_SIZE] = "";
	int port;
	int prepared = boot_prepare(failure);
	int r = boot_open_port(&port);

	if (r < 0) {
		log_error("%s; no port: %s", failure, strerror(-r));
		return r;
	}
	r = guest_open(&guest, port);
	if (r < 0)
		return r;
	if (prepared < 0) {
		guest_fail(&guest, "boot: %s", failure);
		return guest_run(&guest);
	}
	r = process_cgroup_create();
	if (r < 0)
		log_warning("no cgroup for the function: %s", strerror(-r));
	r = runtime_api_listen(&guest.api);
	if (r < 0)
		guest_fail(&guest, "Runtime API: %s", strerror(-r));
	else
		r = guest_send_booted(&guest);
	int run = guest_run(&guest);
	return r < 0 ? r : run;
}

int main(void)
{
	if (getpid() != 1) {
		(void)fprintf(stderr, "mayfly-init runs as PID 1 of a microVM only\n");
		return 1;
	}
	log_set_sink(log_to_kernel, NULL);
	int r = boot_and_run();
	if (r < 0)
		log_error("ends: %s", strerror(-r));
	boot_power_off();
}
