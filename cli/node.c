/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/messages.h"
#include "cli/output.h"
#include "cli/verbs.h"

static void print_gauges(const Mayfly__V1__Gauges *g)
{
	char a[TEXT_BYTES], b[TEXT_BYTES];

	output_field("Functions", "%u", g->functions_total);
	output_field("Sandboxes", "%u: %u busy, %u frozen, %u spare, %u starting",
		     g->sandboxes_total, g->sandboxes_busy, g->sandboxes_frozen, g->sandboxes_spare,
		     g->sandboxes_starting);
	output_field("Invocations", "%llu, %llu failed; now %u running, %u queued",
		     (unsigned long long)g->invocations_total,
		     (unsigned long long)g->function_errors_total, g->invocations_running,
		     g->invocations_queued);
	output_field("Throttles", "%llu", (unsigned long long)g->throttles_total);
	output_field("No room to wait", "%llu at once, %llu later",
		     (unsigned long long)g->waiting_refused_total,
		     (unsigned long long)g->waiting_displaced_total);
	output_field("Events", "%u waiting, %u running, %llu received, %llu dropped",
		     g->events_waiting, g->events_running,
		     (unsigned long long)g->events_received_total,
		     (unsigned long long)g->events_dropped_total);
	output_field("Cold starts", "%llu; %llu restores, %llu of them failed, %llu evictions",
		     (unsigned long long)g->cold_starts_total,
		     (unsigned long long)g->restores_total,
		     (unsigned long long)g->restore_failures_total,
		     (unsigned long long)g->evictions_total);
	output_field("Sandbox memory", "%s of %s", text_bytes(g->memory_committed_bytes, a),
		     text_bytes(g->memory_budget_bytes, b));
	output_field("Agent memory", "%s", text_bytes(g->agent_resident_bytes, a));
}

static void print_node(const Mayfly__V1__Node *node)
{
	char text[TEXT_BYTES];

	output_field("Node", "%s", node->node_id);
	output_field("Mayfly", "%s, started %s", node->version,
		     text_age(node->started_at_us, text));
	output_field("Accelerator", "%s (%s)", name_of_accelerator((int)node->accelerator),
		     node->accelerator_reason);
	output_field("CPU", "%u x %s", node->cpu_count, node->cpu_model);
	output_field("Memory", "%s", text_bytes(node->memory_bytes, text));
	output_field("Kernel", "%s; guests run %s", node->kernel_release, node->guest_kernel);
	output_field("QEMU", "%s", node->qemu_version);
	output_field("libvirt", "%s at %s", node->libvirt_version, node->libvirt_uri);
	output_field("cgroups", "%s", node->cgroup_mode);
	if (*node->state_dir)
		output_field("State", "%s, guest images in %s", node->state_dir, node->images_dir);
	output_field("Account", "%s in %s", node->account_id, node->region);
	for (size_t i = 0; i < node->n_runtimes; i++)
		output_field(i == 0 ? "Runtimes" : "", "%-18s %s", node->runtimes[i]->runtime,
			     text_bytes(node->runtimes[i]->size_bytes, text));
	output_field("Initramfs", "%s", text_bytes(node->initramfs_bytes, text));
	if (node->init_resident_bytes > 0)
		output_field("Init's memory", "%s", text_bytes(node->init_resident_bytes, text));
	if (node->gauges)
		print_gauges(node->gauges);
	for (size_t i = 0; i < node->n_warnings; i++)
		output_field(i == 0 ? "Warnings" : "", "%s", node->warnings[i]);
}

static int run(struct context *context, const struct arguments *arguments _unused_)
{
	_cleanup_message_ Mayfly__V1__Node *node = NULL;

	int r = client_node_get(context->client, &node, &context->error);
	if (r < 0)
		return r;
	if (context->json)
		return output_json(json_from_node(node));
	print_node(node);
	return 0;
}

const struct verb verb_node = {
	.name = "node",
	.operands = "",
	.summary = "Show the node: accelerator, versions, memory, counters, warnings",
	.help = "Examples:\n"
		"  mayfly node\n"
		"  mayfly node --output json\n",
	.run = run,
};
