/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/vm/domain_xml.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/xmlwriter.h>

#define QEMU_NAMESPACE "http://libvirt.org/schemas/domain/qemu/1.0"

/* The writer remembers its first failure, so that a document is written straight down. */
struct xml {
	xmlTextWriterPtr writer;
	bool failed;
};

static void xml_open(struct xml *x, const char *name)
{
	x->failed |= xmlTextWriterStartElement(x->writer, (const xmlChar *)name) < 0;
}

static void xml_close(struct xml *x)
{
	x->failed |= xmlTextWriterEndElement(x->writer) < 0;
}

static void xml_attribute(struct xml *x, const char *name, const char *value)
{
	x->failed |= xmlTextWriterWriteAttribute(x->writer, (const xmlChar *)name,
						 (const xmlChar *)value) < 0;
}

static void xml_text(struct xml *x, const char *name, const char *value)
{
	x->failed |= xmlTextWriterWriteElement(x->writer, (const xmlChar *)name,
					       (const xmlChar *)value) < 0;
}

static void xml_number(struct xml *x, const char *name, uint64_t value)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRIu64, value);
	xml_text(x, name, text);
}

/* <name attribute="value" …/>; ends with NULL. */
static void xml_empty(struct xml *x, const char *name, ...)
{
	const char *attribute;
	va_list arguments;

	xml_open(x, name);
	va_start(arguments, name);
	while ((attribute = va_arg(arguments, const char *)))
		xml_attribute(x, attribute, va_arg(arguments, const char *));
	va_end(arguments);
	xml_close(x);
}

static void xml_qemu_argument(struct xml *x, const char *value)
{
	xml_empty(x, "qemu:arg", "value", value, NULL);
}

_printf_(2, 3) static void xml_qemu_argument_format(struct xml *x, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list arguments;
	int r;

	va_start(arguments, format);
	r = vasprintf(&text, format, arguments);
	va_end(arguments);
	if (r < 0) {
		text = NULL;
		x->failed = true;
		return;
	}
	xml_qemu_argument(x, text);
}

bool domain_path_is_safe(const char *path)
{
	if (!path || path[0] != '/' || strlen(path) > 1024 || strstr(path, "/../"))
		return false;
	for (const char *p = path; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f || *p == ',' || *p == '"')
			return false;
	return true;
}

int kernel_command_line_build(uint64_t tsc_khz, char **ret)
{
	char *line;

	/* The clock frequency is given, for measuring it needs a PIT, which microvm lacks here.
	 * Huge pages only for who asks, no pressure statistics, no compaction and statistics on
	 * their own account, and no security module but the one that a function may use for itself:
	 * what the guest writes and runs without need is what each clone pays for. */
	if (asprintf(&line,
		     "quiet loglevel=0 tsc_early_khz=%" PRIu64
		     " tsc=reliable no_timer_check lpj=%" PRIu64
		     " 8250.nr_uarts=0 cryptomgr.notests audit=0 ipv6.disable=1 panic=-1"
		     " psi=0 transparent_hugepage=madvise lsm=landlock"
		     " sysctl.vm.stat_interval=3600 sysctl.vm.compaction_proactiveness=0"
		     " nowatchdog deferred_probe_timeout=0",
		     tsc_khz, tsc_khz * 2) < 0)
		return -ENOMEM;
	*ret = line;
	return 0;
}

static void write_boot(struct xml *x, const struct domain_spec *spec, const char *command_line)
{
	xml_open(x, "os");
	xml_open(x, "type");
	xml_attribute(x, "arch", "x86_64");
	xml_attribute(x, "machine", "microvm");
	x->failed |= xmlTextWriterWriteString(x->writer, (const xmlChar *)"hvm") < 0;
	xml_close(x);
	xml_text(x, "kernel", spec->kernel);
	xml_text(x, "initrd", spec->initramfs);
	xml_text(x, "cmdline", command_line);
	xml_close(x);
}

static void write_processor(struct xml *x, const struct domain_spec *spec)
{
	char size[16];

	xml_open(x, "features");
	xml_empty(x, "acpi", NULL);
	if (spec->accelerator == ACCELERATOR_TCG) {
		(void)snprintf(size, sizeof(size), "%u", spec->tb_size_mb);
		xml_open(x, "tcg");
		xml_open(x, "tb-cache");
		xml_attribute(x, "unit", "MiB");
		x->failed |= xmlTextWriterWriteString(x->writer, (const xmlChar *)size) < 0;
		xml_close(x);
		xml_close(x);
	}
	xml_close(x);
	if (spec->accelerator == ACCELERATOR_KVM)
		xml_empty(x, "cpu", "mode", "host-passthrough", "migratable", "on", NULL);
	else
		xml_empty(x, "cpu", "mode", "maximum", NULL);
}

/* No PCI: every virtio device sits on its own memory-mapped transport. */
static void write_mmio_address(struct xml *x)
{
	xml_empty(x, "address", "type", "virtio-mmio", NULL);
}

/* A scratch disk lives as long as its sandbox: no flush of it needs to reach the platter. Of its
 * tables QEMU would keep those of the whole device in memory, 1.25 MiB; these are for 2 GiB in use.
 */
static void write_scratch_driver(struct xml *x, const char *format)
{
	xml_open(x, "driver");
	xml_attribute(x, "name", "qemu");
	xml_attribute(x, "type", format);
	xml_attribute(x, "cache", "unsafe");
	xml_attribute(x, "discard", "unmap");
	xml_open(x, "metadata_cache");
	xml_open(x, "max_size");
	xml_attribute(x, "unit", "KiB");
	x->failed |= xmlTextWriterWriteString(x->writer, (const xmlChar *)"256") < 0;
	xml_close(x);
	xml_close(x);
	xml_close(x);
}

static void write_disk(struct xml *x, const char *target, const char *serial, const char *path,
		       const char *format, bool writable)
{
	xml_open(x, "disk");
	xml_attribute(x, "type", "file");
	xml_attribute(x, "device", "disk");
	if (writable)
		write_scratch_driver(x, format);
	else
		xml_empty(x, "driver", "name", "qemu", "type", format, NULL);
	xml_empty(x, "source", "file", path, NULL);
	xml_empty(x, "target", "dev", target, "bus", "virtio", NULL);
	if (!writable)
		xml_empty(x, "readonly", NULL);
	xml_text(x, "serial", serial);
	write_mmio_address(x);
	xml_close(x);
}

static void write_devices(struct xml *x, const struct domain_spec *spec)
{
	xml_open(x, "devices");
	xml_text(x, "emulator", spec->emulator);
	write_disk(x, "vda", "root", spec->root_path, "raw", false);
	write_disk(x, "vdb", "code", spec->code_path, "raw", false);
	write_disk(x, "vdc", "tmp", spec->scratch_path, "qcow2", true);

	xml_empty(x, "controller", "type", "usb", "model", "none", NULL);
	xml_open(x, "controller");
	xml_attribute(x, "type", "virtio-serial");
	xml_attribute(x, "index", "0");
	/* Of 31, the default, the queues alone take 0.4 MiB. The first one is for consoles. */
	xml_attribute(x, "ports", "2");
	write_mmio_address(x);
	xml_close(x);

	xml_open(x, "channel");
	xml_attribute(x, "type", "unix");
	/* QEMU comes to us: then the port is open from the start, and no guest has to be told. */
	xml_empty(x, "source", "mode", "connect", "path", spec->channel_path, NULL);
	xml_empty(x, "target", "type", "virtio", "name", "mayfly.channel", NULL);
	xml_close(x);

	xml_empty(x, "memballoon", "model", "none", NULL);
	xml_close(x);
}

static void write_ram_backend(struct xml *x, const struct domain_spec *spec)
{
	xml_qemu_argument(x, "-object");
	if (spec->ram_mode == RAM_ANONYMOUS) {
		xml_qemu_argument_format(x, "memory-backend-ram,id=mem0,size=%" PRIu64,
					 spec->ram_bytes);
		return;
	}
	xml_qemu_argument_format(
		x, "memory-backend-file,id=mem0,size=%" PRIu64 ",mem-path=%s,share=%s%s",
		spec->ram_bytes, spec->ram_path, spec->ram_mode == RAM_SHARED ? "on" : "off",
		spec->ram_mode == RAM_PRIVATE && spec->ram_readonly_option ? ",readonly=on,rom=off"
									   : "");
}

static void write_confinement(struct xml *x, const struct domain_spec *spec)
{
	bool writes_ram = spec->ram_mode == RAM_SHARED;
	_cleanup_free_ char *paths = NULL;

	if (!spec->confine)
		return;
	if (asprintf(&paths, "%s%s%s", spec->scratch_path, writes_ram ? "," : "",
		     writes_ram ? spec->ram_path : "") < 0) {
		paths = NULL;
		x->failed = true;
		return;
	}
	xml_empty(x, "qemu:env", "name", "MAYFLY_WRITABLE", "value", paths, NULL);
}

/* What libvirt has no words for: microvm's own switches, the RAM file, and a second monitor
 * that the agent drives without libvirt between. */
static void write_qemu_extras(struct xml *x, const struct domain_spec *spec)
{
	xml_open(x, "qemu:commandline");
	write_ram_backend(x, spec);
	xml_qemu_argument(x, "-machine");
	/* Without the second IO-APIC there are 8 places for devices and not 24, each of which
	 * takes 30 KiB of every QEMU. */
	xml_qemu_argument(x, "acpi=on,rtc=on,isa-serial=off,pit=off,pic=off,ioapic2=off,"
			     "memory-backend=mem0");
	xml_qemu_argument(x, "-bios");
	xml_qemu_argument(x, GUEST_FIRMWARE);
	xml_qemu_argument(x, "-chardev");
	xml_qemu_argument_format(x, "socket,id=agent,path=%s", spec->monitor_path);
	xml_qemu_argument(x, "-mon");
	xml_qemu_argument(x, "chardev=agent,mode=control");
	if (spec->incoming) {
		xml_qemu_argument(x, "-incoming");
		xml_qemu_argument(x, "defer");
	}
	write_confinement(x, spec);
	if (spec->preload)
		xml_empty(x, "qemu:env", "name", "LD_PRELOAD", "value", spec->preload, NULL);
	/* What QEMU lets go of, its TLBs above all when they grow, goes back to the host; the C
	 * library would raise these limits by itself, and leave holes of a MiB or two. */
	xml_empty(x, "qemu:env", "name", "GLIBC_TUNABLES", "value",
		  "glibc.malloc.mxfast=0:glibc.malloc.tcache_count=0:glibc.malloc.mmap_threshold="
		  "65536:glibc.malloc.trim_threshold=65536",
		  NULL);
	if (spec->ram_mode == RAM_PRIVATE && !spec->ram_readonly_option)
		xml_empty(x, "qemu:env", "name", "MAYFLY_RAM_PATH", "value", spec->ram_path, NULL);
	xml_close(x);

	/* Asking for these costs libvirt about 400 round trips per start. */
	xml_open(x, "qemu:capabilities");
	xml_empty(x, "qemu:del", "capability", "cpu-unavailable-features", NULL);
	xml_close(x);
}

/* libvirt starts QEMU as this user; files are the agent's to give. */
static void write_user(struct xml *x, const struct domain_spec *spec)
{
	char label[32];

	if (!spec->uid)
		return;
	(void)snprintf(label, sizeof(label), "+%u:+%u", (unsigned)spec->uid, (unsigned)spec->gid);
	xml_open(x, "seclabel");
	xml_attribute(x, "type", "static");
	xml_attribute(x, "model", "dac");
	xml_attribute(x, "relabel", "no");
	xml_text(x, "label", label);
	xml_close(x);
}

static void write_domain(struct xml *x, const struct domain_spec *spec, const char *uuid,
			 const char *command_line)
{
	xml_open(x, "domain");
	xml_attribute(x, "type", spec->accelerator == ACCELERATOR_KVM ? "kvm" : "qemu");
	xml_attribute(x, "xmlns:qemu", QEMU_NAMESPACE);
	xml_text(x, "name", spec->name);
	xml_text(x, "uuid", uuid);
	xml_number(x, "memory", spec->ram_bytes / 1024);
	xml_number(x, "vcpu", spec->vcpus);
	write_boot(x, spec, command_line);
	write_processor(x, spec);
	xml_empty(x, "clock", "offset", "utc", NULL);
	xml_text(x, "on_poweroff", "destroy");
	xml_text(x, "on_reboot", "destroy");
	xml_text(x, "on_crash", "destroy");
	write_devices(x, spec);
	write_user(x, spec);
	write_qemu_extras(x, spec);
	xml_close(x);
}

static int uuid_from_id(const char *id, char out[37])
{
	if (strlen(id) != 32 || strspn(id, "0123456789abcdef") != 32)
		return -EINVAL;
	(void)snprintf(out, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", id, id + 8, id + 12, id + 16, id + 20);
	return 0;
}

static int spec_check(const struct domain_spec *spec, struct error *error)
{
	const char *paths[] = {
		spec->emulator,  spec->kernel,       spec->initramfs,    spec->root_path,
		spec->code_path, spec->scratch_path, spec->channel_path, spec->monitor_path,
	};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (!domain_path_is_safe(paths[i]))
			return error_set(error, ERROR_INVALID_PARAMETER, NULL,
					 "path \"%s\" cannot be given to QEMU",
					 paths[i] ? paths[i] : "");
	if (spec->ram_mode != RAM_ANONYMOUS && !domain_path_is_safe(spec->ram_path))
		return error_set(error, ERROR_INVALID_PARAMETER, NULL,
				 "path of a RAM file cannot be given to QEMU");
	/* QEMU before 8.2 opens the RAM file for writing unless a library keeps it from that. */
	if (spec->ram_mode == RAM_PRIVATE && !spec->ram_readonly_option && !spec->preload)
		return error_set(error, ERROR_INTERNAL, NULL, "a clone needs a preloaded library");
	if (spec->preload && !domain_path_is_safe(spec->preload))
		return error_set(error, ERROR_INVALID_PARAMETER, NULL,
				 "paths of preloaded libraries cannot be given to QEMU");
	if (!spec->ram_bytes || spec->ram_bytes % (1U << 20) || !spec->vcpus)
		return error_set(error, ERROR_INTERNAL, NULL, "a VM needs whole MiB and a vCPU");
	return 0;
}

int domain_xml_build(const struct domain_spec *spec, char **ret, struct error *error)
{
	_cleanup_free_ char *command_line = NULL;
	_cleanup_free_ char *emulated = NULL;
	struct xml x = { 0 };
	xmlBufferPtr buffer;
	char uuid[37];
	char *text = NULL;
	int r;

	r = spec_check(spec, error);
	if (r < 0)
		return r;
	if (uuid_from_id(spec->id, uuid) < 0)
		return error_set(error, ERROR_INVALID_PARAMETER, NULL,
				 "a VM's id is 32 lower-case hex digits");
	r = kernel_command_line_build(spec->tsc_khz, &command_line);
	if (r < 0)
		return error_set_errno(error, r, "cannot build the kernel's command line");

	/* Emulated code does not run as the guest's kernel arranged it, so its guards against
	 * speculation guard nothing and are only more code to translate. Under KVM they stay. */
	if (spec->accelerator == ACCELERATOR_TCG &&
	    asprintf(&emulated, "%s mitigations=off", command_line) < 0) {
		emulated = NULL;
		return error_set_errno(error, ENOMEM, "cannot build the kernel's command line");
	}

	buffer = xmlBufferCreate();
	x.writer = buffer ? xmlNewTextWriterMemory(buffer, 0) : NULL;
	if (x.writer) {
		(void)xmlTextWriterSetIndent(x.writer, 1);
		write_domain(&x, spec, uuid, emulated ? emulated : command_line);
		x.failed |= xmlTextWriterEndDocument(x.writer) < 0;
		xmlFreeTextWriter(x.writer);
		if (!x.failed)
			text = strdup((const char *)xmlBufferContent(buffer));
	}
	if (buffer)
		xmlBufferFree(buffer);
	if (!text)
		return error_set_errno(error, ENOMEM, "cannot write a domain definition");
	*ret = text;
	return 0;
}
