/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/node_messages.h"

#include <errno.h>

static const Mayfly__V1__SandboxState sandbox_state_values[] = {
	[SANDBOX_NEW] = MAYFLY__V1__SANDBOX_STATE__SANDBOX_STATE_UNSPECIFIED,
	[SANDBOX_RESTORING] = MAYFLY__V1__SANDBOX_STATE__SANDBOX_STATE_RESTORING,
	[SANDBOX_INITIALIZING] = MAYFLY__V1__SANDBOX_STATE__SANDBOX_STATE_INITIALIZING,
	[SANDBOX_READY] = MAYFLY__V1__SANDBOX_STATE__SANDBOX_STATE_READY,
	[SANDBOX_BUSY] = MAYFLY__V1__SANDBOX_STATE__SANDBOX_STATE_BUSY,
	[SANDBOX_FROZEN] = MAYFLY__V1__SANDBOX_STATE__SANDBOX_STATE_FROZEN,
	[SANDBOX_STOPPING] = MAYFLY__V1__SANDBOX_STATE__SANDBOX_STATE_STOPPING,
	[SANDBOX_GONE] = MAYFLY__V1__SANDBOX_STATE__SANDBOX_STATE_GONE,
};

static const Mayfly__V1__StartKind origin_values[] = {
	[SANDBOX_FROM_BASE] = MAYFLY__V1__START_KIND__START_KIND_RESTORE,
	[SANDBOX_FROM_SNAPSHOT] = MAYFLY__V1__START_KIND__START_KIND_SNAP_START,
	[SANDBOX_FROM_BOOT] = MAYFLY__V1__START_KIND__START_KIND_BOOT,
};

static const Mayfly__V1__TemplateState template_state_values[] = {
	[TEMPLATE_BUILDING] = MAYFLY__V1__TEMPLATE_STATE__TEMPLATE_STATE_BUILDING,
	[TEMPLATE_READY] = MAYFLY__V1__TEMPLATE_STATE__TEMPLATE_STATE_READY,
	[TEMPLATE_FAILED] = MAYFLY__V1__TEMPLATE_STATE__TEMPLATE_STATE_FAILED,
};

/* One that waits for its first invocation is a spare, wherever it came from. */
static Mayfly__V1__StartKind start_kind(const struct sandbox_facts *facts)
{
	bool is_idle = facts->state == SANDBOX_READY || facts->state == SANDBOX_FROZEN;

	return facts->invocations == 0 && is_idle ? MAYFLY__V1__START_KIND__START_KIND_SPARE
						  : origin_values[facts->origin];
}

static char *borrow(const char *text)
{
	return (char *)(uintptr_t)(text ? text : "");
}

void node_message_sandbox(Mayfly__V1__Sandbox *to, const struct sandbox_facts *from)
{
	mayfly__v1__sandbox__init(to);
	to->sandbox_id = borrow(from->id);
	to->tenant = borrow(from->tenant);
	to->function_name = borrow(from->function_name);
	to->version = borrow(from->version);
	to->state = sandbox_state_values[from->state];
	to->start_kind = start_kind(from);
	to->created_at_us = from->created_us;
	to->last_used_at_us = from->last_used_us;
	to->invocations = from->invocations;
	to->memory_size_mb = from->memory_mb;
	to->pid = from->pid > 0 ? (uint32_t)from->pid : 0;
	to->template_id = borrow(from->template_id);
	to->log_stream_name = borrow(from->log_stream_name);
}

void node_message_template(Mayfly__V1__Template *to, const struct template_facts *from)
{
	mayfly__v1__template__init(to);
	to->template_id = borrow(from->id);
	to->kind = from->kind == TEMPLATE_BASE ? MAYFLY__V1__TEMPLATE_KIND__TEMPLATE_KIND_BASE
					       : MAYFLY__V1__TEMPLATE_KIND__TEMPLATE_KIND_FUNCTION;
	to->state = template_state_values[from->state];
	to->runtime = borrow(from->runtime);
	to->memory_size_mb = from->memory_mb;
	to->tenant = borrow(from->tenant);
	to->function_name = borrow(from->function_name);
	to->version = borrow(from->version);
	to->created_at_us = from->created_us;
	to->size_bytes = from->size_bytes;
	to->build_us = from->build_us;
	to->reason = borrow(from->reason);
	to->clones = from->clones;
}

void node_message_function(Mayfly__V1__FunctionChange *to, char version[FUNCTION_VERSION_BYTES],
			   const struct function *from)
{
	mayfly__v1__function_change__init(to);
	function_version_name(from->version, version);
	to->version = version;
	to->tenant = from->tenant;
	to->function_name = from->name;
	to->state = borrow(function_state_name(from->state));
	to->last_update_status = borrow(update_status_name(from->update_status));
}

ProtobufCMessage *node_message_copy(const ProtobufCMessage *message)
{
	size_t len = protobuf_c_message_get_packed_size(message);
	_cleanup_free_ uint8_t *packed = malloc(len + 1);

	if (!packed)
		return NULL;
	len = protobuf_c_message_pack(message, packed);
	return protobuf_c_message_unpack(message->descriptor, NULL, len, packed);
}

/* -- all templates -- */

struct collection {
	Mayfly__V1__ListTemplatesResponse *message;
	bool failed;
};

static Mayfly__V1__Template *copy_template(const struct template_facts *facts)
{
	Mayfly__V1__Template message;

	node_message_template(&message, facts);
	return (Mayfly__V1__Template *)node_message_copy(&message.base);
}

static void collect_template(const struct template_facts *facts, void *arg)
{
	struct collection *collection = arg;
	Mayfly__V1__ListTemplatesResponse *message = collection->message;
	Mayfly__V1__Template **grown = reallocarray(message->templates, message->n_templates + 1,
						    sizeof(Mayfly__V1__Template *));

	if (grown)
		message->templates = grown;
	if (grown && (grown[message->n_templates] = copy_template(facts)))
		message->n_templates++;
	else
		collection->failed = true;
}

int node_templates_collect(struct template_store *store, struct node_templates *ret)
{
	struct collection collection = { .message = calloc(1, sizeof(*collection.message)) };

	ret->message = collection.message;
	if (!collection.message)
		return -ENOMEM;
	mayfly__v1__list_templates_response__init(collection.message);
	template_store_each(store, collect_template, &collection);
	return collection.failed ? -ENOMEM : 0;
}

void node_templates_clear(struct node_templates *templates)
{
	if (templates->message)
		mayfly__v1__list_templates_response__free_unpacked(templates->message, NULL);
	templates->message = NULL;
}
