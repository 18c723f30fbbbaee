/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a template was made of and from: manifest.json in its folder. A template whose manifest
 * does not match the node as it is now would restore into another machine than it was saved
 * from, and is never used. Pure; any thread. */

#include "agent/core/digest.h"
#include "agent/vm/template.h"
#include "mayfly/buf.h"

#define TEMPLATE_ID_BYTES     161 /* with NUL */
#define MANIFEST_TEXT         160
#define MANIFEST_FORMAT       1
#define MANIFEST_MAX_BYTES    (64U << 10)
#define MANIFEST_KEY_ID_BYTES 17
#define MANIFEST_AES_256_GCM  "aes-256-gcm"

struct template_manifest {
	char id[TEMPLATE_ID_BYTES];
	enum template_kind kind;
	char runtime[MANIFEST_TEXT];
	char tenant[MANIFEST_TEXT]; /* "" for a base, as the next three */
	char function_name[MANIFEST_TEXT];
	char version[MANIFEST_TEXT];
	char package_digest[MANIFEST_TEXT];
	char initialize_digest[DIGEST_HEX_BYTES]; /* of the Initialize message that it ran */
	unsigned memory_mb;
	unsigned ephemeral_storage_mb;
	int64_t created_us;
	uint64_t build_us;
	/* ---- the node ---- */
	char kernel_digest[DIGEST_HEX_BYTES];
	char initramfs_digest[DIGEST_HEX_BYTES];
	char runtime_digest[DIGEST_HEX_BYTES];
	char qemu_version[32];
	char libvirt_version[32];
	char accelerator[8];
	char cpu_model[MANIFEST_TEXT];
	unsigned device_layout;
	unsigned vcpus;
	uint64_t ram_bytes;
	uint64_t tsc_khz;
	/* ---- the files ---- */
	char ram_digest[DIGEST_HEX_BYTES];
	uint64_t ram_size;
	char state_digest[DIGEST_HEX_BYTES];
	uint64_t state_size;
	char scratch_digest[DIGEST_HEX_BYTES]; /* "" for a base */
	uint64_t scratch_size;
	/* ---- how they are kept; absent in those of former versions ---- */
	char encryption[16];                /* MANIFEST_AES_256_GCM: sealed; "": as they are */
	char key_id[MANIFEST_KEY_ID_BYTES]; /* of the master key; "" as the next, when not sealed */
	char sealed_key[MANIFEST_TEXT];     /* of the files, under the master key (vault.h); hex */
};

/* Reads a manifest's text; -EBADMSG with the field at fault in `error`. */
int template_manifest_parse(struct slice json, struct template_manifest *ret,
			    struct error *error) _must_use_;
/* `*ret` is the caller's, free(). */
int template_manifest_format(const struct template_manifest *manifest, char **ret) _must_use_;

/* Compares all that must be as it was: `now` is what a template made at this moment would have
 * (files, times and names of tenant and function aside). Returns 0, or -ESTALE with the
 * difference in `error`. */
int template_manifest_match(const struct template_manifest *manifest,
			    const struct template_manifest *now, struct error *error) _must_use_;
