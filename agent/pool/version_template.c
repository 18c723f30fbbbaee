/* SPDX-License-Identifier: Apache-2.0 */

/* Which template a version's sandboxes are cloned from, and getting it. */

#include <errno.h>

#include "agent/core/digest.h"
#include "agent/pool/pool_internal.h"
#include "mayfly/log.h"

void version_drop_template(struct version *version)
{
	if (version->template)
		version->template = version->pool->driver->template_unref(version->template);
	version->template = NULL;
}

/* Everything that INIT can see decides the name, so that a template fits or is another. */
static int name_template(const struct version *version,
			 const Mayfly__Guest__V1__Initialize *message, char **ret)
{
	size_t len = mayfly__guest__v1__initialize__get_packed_size(message);
	_cleanup_free_ uint8_t *packed = malloc(len + DIGEST_HEX_BYTES);
	char hex[DIGEST_HEX_BYTES];
	struct digest digest;
	int r;

	if (!packed)
		return -ENOMEM;
	len = mayfly__guest__v1__initialize__pack(message, packed);
	/* The package beside the message; its address is a digest of fixed length. */
	memcpy(packed + len, version->config.package_digest,
	       strnlen(version->config.package_digest, DIGEST_HEX_BYTES));
	len += strnlen(version->config.package_digest, DIGEST_HEX_BYTES);
	r = digest_bytes(packed, len, &digest);
	if (r < 0)
		return r;
	digest_hex(&digest, hex);
	if (asprintf(ret, "%s-%s-%.32s", version->tenant, version->function_name, hex) < 0)
		return -ENOMEM;
	return 0;
}

int version_template_id(const struct version *version, char **ret)
{
	_cleanup_(initialize_clear) struct initialize initialize = { 0 };
	int r = initialize_fill(version, "", &initialize);

	return r < 0 ? r : name_template(version, &initialize.message, ret);
}

int version_request_function_template(struct version *version, template_ready_fn *ready, void *arg)
{
	struct pool *pool = version->pool;
	_cleanup_(initialize_clear) struct initialize initialize = { 0 };
	_cleanup_free_ char *id = NULL;
	int r = initialize_fill(version, "", &initialize);

	if (r >= 0)
		r = name_template(version, &initialize.message, &id);
	if (r < 0)
		return r;
	struct template_function_request request = {
		.id = id,
		.tenant = version->tenant,
		.function_name = version->function_name,
		.version = version->number_name,
		.runtime = version->config.runtime,
		.memory_mb = version->config.memory_size_mb,
		.ephemeral_storage_mb = version->config.ephemeral_storage_mb,
		.package_path = version->package_path,
		.package_digest = version->config.package_digest,
		.initialize = &initialize.message,
		.init_events = &version_init_events,
		.init_arg = version,
	};
	pool->driver->template_get_function(pool->templates, &request, ready, arg);
	return 0;
}

static void on_template(struct template *template, const struct error *error, void *arg)
{
	struct version *version = arg;

	version->template_asked = false;
	version_close_init_log(version);
	if (template && version->current) {
		version_drop_template(version);
		version->template = version->pool->driver->template_ref(template);
		version_set_runtime(version); /* its image may have been built anew */
	}
	if (!template && version->current) {
		log_write(LOG_WARNING,
			  &(struct log_fields){ .tenant = version->tenant,
						.function = version->function_name },
			  "The function has no template: %s", error_log_text(error));
		version_count_failure(version, error, true);
	}
	version_mark_dirty(version);
	version_unref(version);
}

bool version_template_is_usable(const struct version *version)
{
	struct template_facts facts = { 0 };

	if (!version->template)
		return false;
	version->pool->driver->template_get_facts(version->template, &facts);
	return facts.state == TEMPLATE_READY && facts.listed && !facts.is_sealed;
}

int version_ensure_template(struct version *version)
{
	struct pool *pool = version->pool;
	int r;

	if (version->policy == POOL_POLICY_BOOT || version_template_is_usable(version))
		return 1;
	version_drop_template(version);
	if (version->template_asked)
		return 0;
	version->template_asked = true;
	version->references++;
	if (!version_has_snap_start(version)) {
		pool->driver->template_get_base(pool->templates, version->config.runtime,
						version->config.memory_size_mb, on_template,
						version);
		return 0;
	}
	r = version_request_function_template(version, on_template, version);
	if (r < 0) {
		version->template_asked = false;
		version->references--;
	}
	return r;
}
