/* SPDX-License-Identifier: Apache-2.0 */

/* Stands in front of QEMU where /dev/kvm is there but QEMU's user may not open it. libvirt asks
 * a QEMU for its capabilities with rights that open it all the same, then finds that the user
 * may not, takes the answer for outdated, and asks again: a dozen times for each start.
 * This removes KVM from that one question and hands everything else on unchanged. */

#define _GNU_SOURCE
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PROBE_WITH_KVM "none,accel=kvm:"

int main(int argc, char **argv)
{
	static char probe[64];
	char self[PATH_MAX] = "";
	char link[PATH_MAX + 16];
	char real[PATH_MAX] = "";

	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], PROBE_WITH_KVM, strlen(PROBE_WITH_KVM)) != 0)
			continue;
		(void)snprintf(probe, sizeof(probe), "none,accel=%s",
			       argv[i] + strlen(PROBE_WITH_KVM));
		argv[i] = probe;
	}
	/* The link beside this program names the real one. */
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return 127;
	(void)snprintf(link, sizeof(link), "%s/emulator", dirname(self));
	if (readlink(link, real, sizeof(real) - 1) < 0)
		return 127;
	(void)execv(real, argv);
	perror(real);
	return 127;
}
