/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The layers of functions, between a change and the layers that there are. Private to this room;
 * loop thread, but for layer_use_check_bytes(). */

#include "agent/deploy/change.h"
#include "agent/deploy/layer_internal.h"

/* Gives `config` the layers that the change's patch names, if it names any; the error is the
 * change's. `before` (NULL: nothing) is what served: with other layers its package is made anew. */
int layer_use_resolve(struct change *change, struct function_config *config,
		      const struct function_config *before) _must_use_;

/* Code and layers together are not too large. Any thread. */
int layer_use_check_bytes(const struct function_config *config, struct error *error) _must_use_;

/* Whether a layer version, or anything of any function, names the content. */
bool layer_use_has(const struct directory *directory, const char *content);
