/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A package with layers: an image with the folders task/, the function's code, and opt/, its layers
 * laid over each other in their order. Equal inputs give equal images, none of which is one of
 * package_build(). Calls block: jobs, any thread. */

#include "agent/image/package.h"

#define PACKAGE_LAYERS_MAX 5

/* `code_digest` names the image that package_build() made of the code, `layers` are ZIPs that
 * package_verify() has accepted. Leaves code_sha256 and code_size_bytes empty. After 0 the image
 * survives a power cut; after an error nothing is left. */
int package_merge(const char *state_dir, const char *code_digest, const struct slice *layers,
		  size_t count, struct package *ret, struct error *error) _must_use_;

/* Refuses, in Lambda's words, code and layers that have more than PACKAGE_UNZIPPED_BYTES together.
 */
int package_check_merged_bytes(uint64_t bytes, struct error *error) _must_use_;
