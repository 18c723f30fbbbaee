/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/vm/vault.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "mayfly/fs.h"
#include "mayfly/id.h"

#define FOLDER_MODE 0711 /* QEMU's users walk through to a folder of their own */
#define CLOSED_MODE 0700

/* -- the file system -- */

static uint64_t half_of_memory(void)
{
	long pages = sysconf(_SC_PHYS_PAGES);
	long page_bytes = sysconf(_SC_PAGESIZE);

	return pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes / 2 : 0;
}

/* Of former agents, one over the other if need be. A QEMU of theirs has ended before. */
static void unmount_all(const char *dir)
{
	while (umount2(dir, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
}

void vault_remove(const char *dir)
{
	unmount_all(dir);
	(void)rmdir(dir);
}

static int mount_it(const char *dir, uint64_t max_bytes, char **ret_warning)
{
	char options[96];

	(void)snprintf(options, sizeof(options), "mode=0711,size=%" PRIu64 ",noswap", max_bytes);
	if (mount("mayfly", dir, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) == 0)
		return 0;
	if (errno != EINVAL)
		return -errno;
	options[strlen(options) - strlen(",noswap")] = '\0';
	if (mount("mayfly", dir, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) < 0)
		return -errno;
	*ret_warning = strdup("this kernel (before 6.4) may swap out templates that lie open in "
			      "memory: let the host have no swap, or encrypted swap");
	return 0;
}

static int fill(struct vault *vault, const char *dir, const struct master_key *key)
{
	static const char purpose[] = "mayfly: id of the key of templates";
	uint8_t bytes[sizeof(purpose) + MASTER_KEY_BYTES];
	char hex[DIGEST_HEX_BYTES];
	struct digest digest;
	int r;

	vault->key = *key;
	memcpy(bytes, purpose, sizeof(purpose));
	memcpy(bytes + sizeof(purpose), key->bytes, MASTER_KEY_BYTES);
	r = digest_bytes(bytes, sizeof(bytes), &digest);
	OPENSSL_cleanse(bytes, sizeof(bytes));
	if (r < 0)
		return r;
	digest_hex(&digest, hex);
	memcpy(vault->key_id, hex, MANIFEST_KEY_ID_BYTES - 1);
	vault->dir = strdup(dir);
	if (!vault->dir || asprintf(&vault->templates_dir, "%s/templates", dir) < 0 ||
	    asprintf(&vault->links_dir, "%s/vm", dir) < 0)
		return -ENOMEM;
	return 0;
}

int vault_open(const char *dir, const struct master_key *key, uint64_t max_bytes,
	       struct vault **ret, char **ret_warning, struct error *error)
{
	struct vault *vault = calloc(1, sizeof(*vault));
	int r = vault ? fill(vault, dir, key) : -ENOMEM;

	if (r >= 0)
		r = fs_make_directories(dir, FOLDER_MODE);
	if (r < 0) {
		(void)vault_close(vault);
		return error_set_errno(error, r, "cannot make %s", dir);
	}
	unmount_all(dir);
	r = mount_it(dir, max_bytes ? max_bytes : half_of_memory(), ret_warning);
	if (r == -EPERM || r == -EACCES) {
		(void)vault_close(vault);
		return error_set(error, ERROR_INVALID_PARAMETER, "templates.encryption",
				 "sealed templates lie open in a file system in memory, which this "
				 "agent may not mount: it has to be root (CAP_SYS_ADMIN)");
	}
	if (r >= 0)
		r = fs_make_directories(vault->templates_dir, CLOSED_MODE);
	if (r >= 0)
		r = fs_make_directories(vault->links_dir, FOLDER_MODE);
	if (r < 0) {
		(void)vault_close(vault);
		return error_set_errno(error, r, "cannot mount a file system in memory at %s", dir);
	}
	*ret = vault;
	return 0;
}

struct vault *vault_close(struct vault *vault)
{
	if (!vault)
		return NULL;
	if (vault->links_dir)
		unmount_all(vault->dir);
	master_key_clear(&vault->key);
	free(vault->dir);
	free(vault->templates_dir);
	free(vault->links_dir);
	free(vault);
	return NULL;
}

uint64_t vault_free_bytes(const struct vault *vault)
{
	struct statvfs status;

	return statvfs(vault->dir, &status) < 0 ? 0 : (uint64_t)status.f_bavail * status.f_frsize;
}

/* -- templates' keys -- */

/* The digest of the manifest without its key, as it is bound to that. */
static int name_bound(const struct template_manifest *manifest, char **ret)
{
	struct template_manifest bare = *manifest;
	_cleanup_free_ char *text = NULL;
	char hex[DIGEST_HEX_BYTES];
	struct digest digest;
	int r;

	bare.sealed_key[0] = '\0';
	r = template_manifest_format(&bare, &text);
	if (r >= 0)
		r = digest_bytes(text, strlen(text), &digest);
	if (r < 0)
		return r;
	digest_hex(&digest, hex);
	return asprintf(ret, "template/%s", hex) < 0 ? -ENOMEM : 0;
}

int vault_seal_key(const struct vault *vault, const uint8_t key[SEALED_KEY_BYTES],
		   struct template_manifest *manifest)
{
	_cleanup_buf_ struct buf sealed = BUF_INIT;
	_cleanup_free_ char *bound = NULL;
	int r = name_bound(manifest, &bound);

	if (r >= 0)
		r = seal(&vault->key, bound, slice_new(key, SEALED_KEY_BYTES), &sealed);
	if (r < 0)
		return r;
	hex_encode(sealed.data, sealed.len, manifest->sealed_key);
	return 0;
}

static int decode_hex(const char *hex, uint8_t *to, size_t bytes)
{
	if (strlen(hex) != 2 * bytes)
		return -EBADMSG;
	for (size_t i = 0; i < bytes; i++)
		if (sscanf(hex + 2 * i, "%2" SCNx8, &to[i]) != 1)
			return -EBADMSG;
	return 0;
}

int vault_open_key(const struct vault *vault, const struct template_manifest *manifest,
		   uint8_t ret[SEALED_KEY_BYTES], struct error *error)
{
	uint8_t sealed[SEALED_KEY_BYTES + SEAL_EXTRA_BYTES];
	_cleanup_buf_ struct buf plain = BUF_INIT;
	_cleanup_free_ char *bound = NULL;
	int r = name_bound(manifest, &bound);

	if (r >= 0)
		r = decode_hex(manifest->sealed_key, sealed, sizeof(sealed));
	if (r >= 0)
		r = seal_open(&vault->key, bound, slice_new(sealed, sizeof(sealed)), &plain);
	if (r >= 0)
		memcpy(ret, plain.data, SEALED_KEY_BYTES);
	if (plain.data)
		OPENSSL_cleanse(plain.data, plain.capacity);
	if (r == -EBADMSG)
		(void)error_set(error, ERROR_INTERNAL, NULL,
				"its manifest was altered, or sealed under another master key");
	else if (r < 0)
		(void)error_set_errno(error, r, "cannot open its key");
	return r;
}
