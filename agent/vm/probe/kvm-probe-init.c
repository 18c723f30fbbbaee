/* SPDX-License-Identifier: Apache-2.0 */

/* PID 1 of the accelerator probe: a whole kernel has booted when this runs, which is what the
 * probe wants to know. It says so through QEMU's isa-debug-exit device and needs no C library. */

#define PORT      0xf4
#define VALUE     0x15 /* QEMU exits with VALUE * 2 + 1 = 43 */
#define SYS_IOPL  172
#define SYS_PAUSE 34

static long system_call(long number, long argument)
{
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(argument)
			 : "rcx", "r11", "memory");
	return result;
}

__attribute__((noreturn, used)) void _start(void);

void _start(void)
{
	(void)system_call(SYS_IOPL, 3);
	__asm__ volatile("outb %0, %1" : : "a"((unsigned char)VALUE), "Nd"((unsigned short)PORT));
	for (;;)
		(void)system_call(SYS_PAUSE, 0);
}
