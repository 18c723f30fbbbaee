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

/* One file, and the function that hands it out. */
#define EMBEDDED(name, path)                                                                       \
	EMBED(name, path)                                                                          \
	struct slice embedded_##name(void)                                                         \
	{                                                                                          \
		return slice_new(mayfly_##name##_start,                                            \
				 (size_t)(mayfly_##name##_end - mayfly_##name##_start));           \
	}

EMBEDDED(probe_init, MAYFLY_PROBE_INIT_FILE)
EMBEDDED(ram_readonly, MAYFLY_RAM_READONLY_FILE)
EMBEDDED(no_disassembler_4, MAYFLY_NO_DISASSEMBLER_4_FILE)
EMBEDDED(no_disassembler_5, MAYFLY_NO_DISASSEMBLER_5_FILE)
EMBEDDED(no_persistent_memory, MAYFLY_NO_PERSISTENT_MEMORY_FILE)
EMBEDDED(qemu_wrapper, MAYFLY_QEMU_WRAPPER_FILE)
