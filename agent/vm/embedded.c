/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/vm/embedded.h"

/* Files inside the agent need no search path and cannot be missing or exchanged. */
#define EMBED(name, path)                                                                          \
	__asm__(".pushsection .rodata\n"                                                           \
		".balign 16\n"                                                                     \
		"mayfly_" #name "_start:\n"                                                        \
		".incbin \"" path "\"\n"                                                           \
		"mayfly_" #name "_end:\n"                                                          \
		".byte 0\n"                                                                        \
		".popsection\n");                                                                  \
	extern const uint8_t mayfly_##name##_start[] __attribute__((visibility("hidden")));        \
	extern const uint8_t mayfly_##name##_end[] __attribute__((visibility("hidden")));

EMBED(probe_init, MAYFLY_PROBE_INIT_FILE)
EMBED(ram_readonly, MAYFLY_RAM_READONLY_FILE)
EMBED(qemu_without_kvm, MAYFLY_QEMU_WITHOUT_KVM_FILE)

struct slice embedded_probe_init(void)
{
	return slice_new(mayfly_probe_init_start,
			 (size_t)(mayfly_probe_init_end - mayfly_probe_init_start));
}

struct slice embedded_ram_readonly(void)
{
	return slice_new(mayfly_ram_readonly_start,
			 (size_t)(mayfly_ram_readonly_end - mayfly_ram_readonly_start));
}

struct slice embedded_qemu_without_kvm(void)
{
	return slice_new(mayfly_qemu_without_kvm_start,
			 (size_t)(mayfly_qemu_without_kvm_end - mayfly_qemu_without_kvm_start));
}
