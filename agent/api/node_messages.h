/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What lives on the node, as messages. They borrow their strings from the facts. Loop thread. */

#include "agent/pool/sandbox.h"
#include "agent/vm/template.h"
#include "mayfly/v1/node.pb-c.h"

void node_message_sandbox(Mayfly__V1__Sandbox *to, const struct sandbox_facts *from);
void node_message_template(Mayfly__V1__Template *to, const struct template_facts *from);
void node_message_function(Mayfly__V1__FunctionChange *to, char version[FUNCTION_VERSION_BYTES],
			   const struct function *from);

/* Packed and unpacked: the copy owns its strings. The caller's; NULL without memory. */
ProtobufCMessage *node_message_copy(const ProtobufCMessage *message);

/* Every template. `ret` owns its memory; node_templates_clear(). 0 or -ENOMEM. */
struct node_templates {
	Mayfly__V1__ListTemplatesResponse *message;
};
int node_templates_collect(struct template_store *store, struct node_templates *ret) _must_use_;
void node_templates_clear(struct node_templates *templates);
