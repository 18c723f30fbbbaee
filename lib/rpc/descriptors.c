/* SPDX-License-Identifier: Apache-2.0 */

#include "rpc/rpc_server.h"

/* The serialized FileDescriptorSet that protoc wrote at build time. */
__asm__(".section .rodata\n"
	".balign 16\n"
	"rpc_descriptors_begin:\n"
	".incbin \"" RPC_DESCRIPTORS_FILE "\"\n"
	"rpc_descriptors_end:\n"
	".byte 0\n"
	".previous\n");

extern const uint8_t rpc_descriptors_begin[];
extern const uint8_t rpc_descriptors_end[];

struct slice rpc_embedded_descriptors(void)
{
	return slice_new(rpc_descriptors_begin,
			 (size_t)(rpc_descriptors_end - rpc_descriptors_begin));
}
