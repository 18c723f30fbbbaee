/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pool/vm_driver.h"

#include "agent/pool/pool.h"

const struct vm_driver vm_driver_libvirt = {
	.clone = vm_clone,
	.boot = vm_boot,
	.send = vm_send,
	.resume = vm_resume,
	.pause = vm_pause,
	.end = vm_end,
	.facts = vm_facts,
	.set_cpu_weight = vm_host_set_cpu_weight,
	.read_cpu = vm_host_read_cpu,
	.read_group_cpu = vm_host_read_group_cpu,
	.limit_group_cpu = vm_host_limit_group_cpu,
	.read_idle = vm_host_read_idle,
	.host_info = vm_host_info,
	.template_get_base = template_store_get_base,
	.template_get_function = template_store_get_function,
	.template_ref = template_ref,
	.template_unref = template_unref,
	.template_mark_damaged = template_mark_damaged,
	.template_get_facts = template_get_facts,
	.template_each = template_store_each,
	.template_drop = template_store_drop,
};

int pool_new(const struct pool_config *config, struct loop *loop, struct vm_host *host,
	     struct template_store *templates, struct log_store *logs, struct pool **ret,
	     struct error *error)
{
	return pool_new_with_driver(config, loop, &vm_driver_libvirt, host, templates, logs, ret,
				    error);
}
