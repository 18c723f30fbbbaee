/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where templates lie open when they are sealed on the disk: a file system in memory, of the
 * agent's own making, with a bounded size. It is gone with the node's power, and emptied by the
 * next agent's start. Constant but for its content; any thread. */

#include <stdint.h>

#include "agent/auth/master_key.h"
#include "agent/vm/sealed_file.h"
#include "agent/vm/template_manifest.h"

struct vault {
	char *dir;           /* owned; the file system */
	char *templates_dir; /* owned; a folder for each template that lies open, the agent's alone
			      */
	char *links_dir;     /* owned; a folder for each VM, with its link to a RAM file */
	char key_id[MANIFEST_KEY_ID_BYTES];
	struct master_key key;
};

/* Mounts it at DIR (made, if need be), in place of a former agent's. `max_bytes` 0: half of the
 * machine's memory. `warning` is set, the caller's, when the kernel may swap it out. Blocks. */
int vault_open(const char *dir, const struct master_key *key, uint64_t max_bytes,
	       struct vault **ret, char **ret_warning, struct error *error) _must_use_;
/* What a former agent left at DIR, when there is to be none. */
void vault_remove(const char *dir);
/* Unmounts: no VM runs any more. Copes with NULL. */
struct vault *vault_close(struct vault *vault);

uint64_t vault_free_bytes(const struct vault *vault);

/* -- templates' keys -- */

/* Puts the key of the template's files into its manifest: sealed under the node's, and bound to all
 * else that the manifest says. */
int vault_seal_key(const struct vault *vault, const uint8_t key[SEALED_KEY_BYTES],
		   struct template_manifest *manifest) _must_use_;
/* -EBADMSG: another master key, or the manifest was changed. */
int vault_open_key(const struct vault *vault, const struct template_manifest *manifest,
		   uint8_t ret[SEALED_KEY_BYTES], struct error *error) _must_use_;
