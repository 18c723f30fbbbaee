/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the pool needs of agent/vm, as a table: the real one, and one for unit tests that drive the
 * pool without a hypervisor. The contracts are those of vm.h and template.h. */

#include "agent/vm/template.h"
#include "agent/vm/vm.h"

struct vm_driver {
	int (*clone)(struct vm_host *host, const struct vm_clone_request *request,
		     const struct vm_events *events, void *user, struct vm **ret,
		     struct error *error);
	int (*boot)(struct vm_host *host, const struct vm_boot_request *request,
		    const struct vm_events *events, void *user, struct vm **ret,
		    struct error *error);
	int (*send)(struct vm *vm, const Mayfly__Guest__V1__HostMessage *message);
	void (*resume)(struct vm *vm, loop_fn *done, void *arg);
	void (*pause)(struct vm *vm, loop_fn *done, void *arg);
	void (*end)(struct vm *vm, const char *reason);
	void (*facts)(const struct vm *vm, struct vm_facts *ret);
	void (*set_cpu_weight)(struct vm_host *host, const char *cpu_group, unsigned weight);
	int (*read_cpu)(const struct vm_host *host, const char *cpu_group, const char *sandbox_id,
			uint64_t *ret_us);
	int (*read_group_cpu)(const struct vm_host *host, const char *cpu_group, uint64_t *ret_us);
	int (*limit_group_cpu)(const struct vm_host *host, const char *cpu_group,
			       uint64_t thousandths);
	int (*read_idle)(const struct vm_host *host, uint64_t *ret_us);
	const struct vm_host_info *(*host_info)(const struct vm_host *host);

	void (*template_get_base)(struct template_store *store, const char *runtime,
				  unsigned memory_mb, template_ready_fn *ready, void *arg);
	void (*template_get_function)(struct template_store *store,
				      const struct template_function_request *request,
				      template_ready_fn *ready, void *arg);
	struct template *(*template_ref)(struct template *template);
	struct template *(*template_unref)(struct template *template);
	void (*template_mark_damaged)(struct template *template, const char *reason);
	void (*template_get_facts)(const struct template *template, struct template_facts *ret);
	void (*template_each)(struct template_store *store,
			      void (*fn)(const struct template_facts *facts, void *arg), void *arg);
	int (*template_drop)(struct template_store *store, const char *id, struct error *error);
};

/* agent/vm. */
extern const struct vm_driver vm_driver_libvirt;
