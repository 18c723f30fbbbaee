/* SPDX-License-Identifier: Apache-2.0 */

/* What a template of a request would have in its manifest if this node made it now. */

#include "agent/vm/template_internal.h"

#include <string.h>

#include "mayfly/fs.h"

/* TCG's processor is the same everywhere; KVM's is the host's own. */
void template_read_cpu_model(struct template_store *store)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	const char *model;
	const char *flags;
	struct digest digest;
	char hex[DIGEST_HEX_BYTES] = "";

	(void)snprintf(store->cpu_model, sizeof(store->cpu_model), "max");
	if (store->host->verdict.accelerator != ACCELERATOR_KVM ||
	    fs_read_file("/proc/cpuinfo", 1U << 20, &text) < 0)
		return;
	model = strstr(buf_string(&text), "model name\t: ");
	flags = strstr(buf_string(&text), "flags\t\t: ");
	if (!model || !flags)
		return;
	if (digest_bytes(flags, strcspn(flags, "\n"), &digest) >= 0)
		digest_hex(&digest, hex);
	(void)snprintf(store->cpu_model, sizeof(store->cpu_model), "host %.*s %.16s",
		       (int)strcspn(model + 13, "\n") > 100 ? 100 : (int)strcspn(model + 13, "\n"),
		       model + 13, hex);
}

int template_manifest_now(struct template_store *store, const char *runtime, unsigned memory_mb,
			  struct template_manifest *ret, struct error *error)
{
	struct vm_host *host = store->host;
	const struct runtime_image *image;

	host_refresh_images(host);
	image = runtime_catalogue_find(host->catalogue, runtime);
	if (!image || strlen(runtime) >= MANIFEST_TEXT / 2)
		return error_set(error, ERROR_NOT_FOUND, "runtime", "there is no runtime \"%s\"",
				 runtime);
	*ret = (struct template_manifest){
		.kind = TEMPLATE_BASE,
		.memory_mb = memory_mb,
		.device_layout = DEVICE_LAYOUT_VERSION,
		.vcpus = vm_vcpus(host->verdict.accelerator, memory_mb),
		.ram_bytes = vm_ram_bytes(host, memory_mb),
		.tsc_khz = host->tsc_khz,
	};
	(void)snprintf(ret->id, sizeof(ret->id), "base-%s-%u", runtime, memory_mb);
	(void)snprintf(ret->runtime, sizeof(ret->runtime), "%s", runtime);
	memcpy(ret->kernel_digest, runtime_catalogue_kernel(host->catalogue)->digest,
	       DIGEST_HEX_BYTES);
	memcpy(ret->initramfs_digest, runtime_catalogue_initramfs(host->catalogue)->digest,
	       DIGEST_HEX_BYTES);
	memcpy(ret->runtime_digest, image->file.digest, DIGEST_HEX_BYTES);
	memcpy(ret->qemu_version, host->qemu_version, sizeof(ret->qemu_version));
	memcpy(ret->libvirt_version, host->libvirt_version, sizeof(ret->libvirt_version));
	memcpy(ret->cpu_model, store->cpu_model, sizeof(ret->cpu_model));
	if (host->vault) {
		(void)snprintf(ret->encryption, sizeof(ret->encryption), MANIFEST_AES_256_GCM);
		memcpy(ret->key_id, host->vault->key_id, MANIFEST_KEY_ID_BYTES);
	}
	(void)snprintf(ret->accelerator, sizeof(ret->accelerator), "%s",
		       host->verdict.accelerator == ACCELERATOR_KVM ? "kvm" : "tcg");
	return 0;
}

/* Becomes part of a folder's name. */
static bool id_is_good(const char *id)
{
	size_t len = strlen(id);

	return len && len < TEMPLATE_ID_BYTES && id[0] != '.' && strncmp(id, "base-", 5) != 0 &&
	       strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-$") ==
		       len;
}

int template_manifest_now_function(struct template_store *store,
				   const struct template_function_request *request,
				   const uint8_t *initialize, size_t initialize_len,
				   struct template_manifest *ret, struct error *error)
{
	struct digest digest;
	int r;

	if (!id_is_good(request->id))
		return error_set(error, ERROR_INVALID_PARAMETER, "id",
				 "\"%s\" cannot be a template's id", request->id);
	r = template_manifest_now(store, request->runtime, request->memory_mb, ret, error);
	if (r < 0)
		return r;
	r = digest_bytes(initialize, initialize_len, &digest);
	if (r < 0)
		return error_set_errno(error, r, "cannot digest a request");
	digest_hex(&digest, ret->initialize_digest);
	ret->kind = TEMPLATE_FUNCTION;
	ret->ephemeral_storage_mb = request->ephemeral_storage_mb;
	(void)snprintf(ret->id, sizeof(ret->id), "%s", request->id);
	(void)snprintf(ret->tenant, sizeof(ret->tenant), "%s", request->tenant);
	(void)snprintf(ret->function_name, sizeof(ret->function_name), "%s",
		       request->function_name);
	(void)snprintf(ret->version, sizeof(ret->version), "%s", request->version);
	(void)snprintf(ret->package_digest, sizeof(ret->package_digest), "%s",
		       request->package_digest);
	return 0;
}
