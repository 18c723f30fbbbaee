/* SPDX-License-Identifier: Apache-2.0 */

/* Takes the place of libcapstone in QEMU, by its name (the linker is told it). QEMU disassembles
 * guest code only for a person who asks its monitor to; the library's tables are relocated when it
 * is loaded, which makes 1.4 MiB of private memory in every sandbox. Here opening a disassembler
 * fails, and QEMU shows bytes instead, as it does where it was built without the library. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ERROR_ARCHITECTURE 2 /* CS_ERR_ARCH of capstone.h */

int cs_open(int architecture, int mode, size_t *handle);
int cs_close(size_t *handle);
int cs_option(size_t handle, int type, size_t value);
void *cs_malloc(size_t handle);
void cs_free(void *instructions, size_t count);
size_t cs_disasm(size_t handle, const uint8_t *code, size_t size, uint64_t address, size_t count,
		 void **instructions);
bool cs_disasm_iter(size_t handle, const uint8_t **code, size_t *size, uint64_t *address,
		    void *instruction);

int cs_open(int architecture, int mode, size_t *handle)
{
	(void)architecture;
	(void)mode;
	*handle = 0;
	return ERROR_ARCHITECTURE;
}

int cs_close(size_t *handle)
{
	*handle = 0;
	return 0;
}

int cs_option(size_t handle, int type, size_t value)
{
	(void)handle;
	(void)type;
	(void)value;
	return ERROR_ARCHITECTURE;
}

void *cs_malloc(size_t handle)
{
	(void)handle;
	return NULL;
}

void cs_free(void *instructions, size_t count)
{
	(void)instructions;
	(void)count;
}

size_t cs_disasm(size_t handle, const uint8_t *code, size_t size, uint64_t address, size_t count,
		 void **instructions)
{
	(void)handle;
	(void)code;
	(void)size;
	(void)address;
	(void)count;
	*instructions = NULL;
	return 0;
}

bool cs_disasm_iter(size_t handle, const uint8_t **code, size_t *size, uint64_t *address,
		    void *instruction)
{
	(void)handle;
	(void)code;
	(void)size;
	(void)address;
	(void)instruction;
	return false;
}
