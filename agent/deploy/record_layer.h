/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Layer versions, their numbering, and the layers of a function as the registry's bytes and back.
 * Private to this room. Any thread. */

#include "agent/functions/layer.h"
#include "mayfly/buf.h"
#include "mayfly/store/v1/function.pb-c.h"

#define LAYER_PREFIX           "layer/"
#define LAYER_NUMBERING_PREFIX "layer-numbering/"
#define LAYER_KEY_BYTES                                                                            \
	(sizeof(LAYER_NUMBERING_PREFIX) + TENANT_ID_DIGITS + 1 + LAYER_NAME_MAX + 1 +              \
	 FUNCTION_VERSION_BYTES)

void layer_key(const char *tenant, const char *name, uint64_t version, char out[LAYER_KEY_BYTES]);
/* 0 or -ENOMEM, into an empty buffer. */
int layer_encode(const struct layer_version *version, struct buf *ret) _must_use_;
int layer_decode(struct slice bytes, struct layer_version **ret, struct error *error) _must_use_;

struct layer_numbering {
	char tenant[TENANT_ID_DIGITS + 1];
	char name[LAYER_NAME_MAX + 1];
	uint64_t last_version;
};
void layer_numbering_key(const char *tenant, const char *name, char out[LAYER_KEY_BYTES]);
int layer_numbering_encode(const struct layer_numbering *numbering, struct buf *ret) _must_use_;
int layer_numbering_decode(struct slice bytes, struct layer_numbering *ret,
			   struct error *error) _must_use_;

/* The layers of a configuration's message, in memory of their own. */
struct record_layers {
	Mayfly__Store__V1__StoredFunctionLayer *layers;
	Mayfly__Store__V1__StoredFunctionLayer **pointers;
};
int record_layers_encode(const struct function_config *from, struct record_layers *memory,
			 Mayfly__Store__V1__StoredConfig *to) _must_use_;
void record_layers_clear(struct record_layers *memory);
int record_layers_decode(const Mayfly__Store__V1__StoredConfig *from,
			 struct function_config *to) _must_use_;
