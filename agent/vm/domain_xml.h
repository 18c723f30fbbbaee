/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The one place that knows how a microVM looks to libvirt and QEMU. A domain is built from
 * checked values by an XML writer that escapes, so no value can break out of it. Pure; any
 * thread. */

#include <stdbool.h>
#include <stdint.h>

#include "agent/vm/vm.h"
#include "mayfly/error.h"

/* Counted up whenever devices, their order or the machine change: part of a template's manifest,
 * because device state loads only into the same devices. */
#define DEVICE_LAYOUT_VERSION 3

/* Not QEMU's default for a microvm with ACPI: SeaBIOS 1.16.3 puts the ACPI tables at the end of
 * RAM, where the initramfs is then loaded over them, and the guest finds no devices. */
#define GUEST_FIRMWARE        "qboot.rom"

enum ram_mode {
	RAM_ANONYMOUS, /* a boot that will not be kept */
	RAM_SHARED,    /* a template being made: the guest writes its RAM file */
	RAM_PRIVATE,   /* a clone: copy-on-write, the file cannot be written */
};

/* Borrowed strings. Paths are absolute and without control characters, commas or "..". */
struct domain_spec {
	const char *name;
	const char *id; /* 32 hex digits; also the domain's UUID */
	const char *emulator;
	enum accelerator accelerator; /* KVM or TCG */
	unsigned tb_size_mb;
	uint64_t ram_bytes;
	unsigned vcpus;
	enum ram_mode ram_mode;
	const char *ram_path;
	bool ram_readonly_option; /* QEMU >= 8.2 opens a private RAM file read-only itself */
	const char *preload;      /* libraries for QEMU, as LD_PRELOAD has them; may be NULL */
	const char *kernel;
	const char *initramfs;
	uint64_t tsc_khz;
	const char *root_path;    /* the runtime, read-only */
	const char *code_path;    /* the package, read-only */
	const char *scratch_path; /* qcow2, the only file that may be written */
	const char *channel_path;
	const char *monitor_path;
	uid_t uid; /* of QEMU; 0: as the driver is configured */
	gid_t gid;
	bool confine;  /* `emulator` is our wrapper: it is told what QEMU may write to */
	bool incoming; /* wait for device state */
};

/* Whether a path may go to QEMU's command line, whose own syntax ends values at commas. */
bool domain_path_is_safe(const char *path) _pure_;

/* `*ret` is the caller's, free(). */
int domain_xml_build(const struct domain_spec *spec, char **ret, struct error *error) _must_use_;

/* The guest's kernel command line, as domain_xml_build() uses it; the probe boots with it too. */
int kernel_command_line_build(uint64_t tsc_khz, char **ret) _must_use_;

/* Frequency of this host's time stamp counter, which the guest's equals: a guest that must
 * measure it itself hangs in about one boot of twelve under TCG. Takes 20 ms. */
uint64_t tsc_measure_khz(void);
