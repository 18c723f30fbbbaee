/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/functions/layer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/functions/text.h"
#include "mayfly/buf.h"

#define ARCHITECTURES "[x86_64, arm64]"

/* Every identifier that Lambda has had, retired ones too: a layer may be for them. */
static const char *const known_runtimes[] = {
	"dotnet10",      "dotnet5.0",     "dotnet6",        "dotnet7",
	"dotnet8",       "dotnetcore1.0", "dotnetcore2.0",  "dotnetcore2.1",
	"dotnetcore3.1", "go1.x",         "java11",         "java17",
	"java21",        "java25",        "java8",          "java8.al2",
	"nodejs",        "nodejs10.x",    "nodejs12.x",     "nodejs14.x",
	"nodejs16.x",    "nodejs18.x",    "nodejs20.x",     "nodejs22.x",
	"nodejs24.x",    "nodejs4.3",     "nodejs4.3-edge", "nodejs6.10",
	"nodejs8.10",    "provided",      "provided.al2",   "provided.al2023",
	"python2.7",     "python3.10",    "python3.11",     "python3.12",
	"python3.13",    "python3.14",    "python3.6",      "python3.7",
	"python3.8",     "python3.9",     "ruby2.5",        "ruby2.7",
	"ruby3.2",       "ruby3.3",       "ruby3.4",        NULL,
};
static const char *const known_architectures[] = { "x86_64", "arm64", NULL };

static void free_texts(char **texts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(texts[i]);
	free(texts);
}

struct layer_version *layer_version_free(struct layer_version *version)
{
	if (!version)
		return NULL;
	free_texts(version->runtimes, version->runtime_count);
	free_texts(version->architectures, version->architecture_count);
	free(version->tenant);
	free(version->name);
	free(version->description);
	free(version->license_info);
	free(version->code_sha256);
	free(version->content);
	policy_free(version->policy);
	free(version);
	return NULL;
}

static int copy_texts(const char *const *from, size_t count, char ***to, size_t *to_count)
{
	if (!count)
		return 0;
	*to = calloc(count, sizeof(**to));
	if (!*to)
		return -ENOMEM;
	*to_count = count;
	for (size_t i = 0; i < count; i++) {
		(*to)[i] = strdup(from[i]);
		if (!(*to)[i])
			return -ENOMEM;
	}
	return 0;
}

int layer_version_new(const char *tenant, const char *name, const struct layer_values *values,
		      struct layer_version **ret)
{
	_cleanup_(layer_version_free_p) struct layer_version *version = calloc(1, sizeof(*version));

	if (!version)
		return -ENOMEM;
	uuid_generate(version->revision_id);
	version->tenant = strdup(tenant);
	version->name = strdup(name);
	version->description = strdup(values->description ? values->description : "");
	version->license_info = strdup(values->license_info ? values->license_info : "");
	if (!version->tenant || !version->name || !version->description || !version->license_info ||
	    copy_texts(values->runtimes, values->runtime_count, &version->runtimes,
		       &version->runtime_count) < 0 ||
	    copy_texts(values->architectures, values->architecture_count, &version->architectures,
		       &version->architecture_count) < 0)
		return -ENOMEM;
	*ret = TAKE_PTR(version);
	return 0;
}

static bool is_among(const char *text, char *const *texts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(texts[i], text) == 0)
			return true;
	return false;
}

bool layer_version_suits(const struct layer_version *version, const char *runtime,
			 const char *architecture)
{
	if (runtime && runtime[0] && !is_among(runtime, version->runtimes, version->runtime_count))
		return false;
	return !architecture || !architecture[0] ||
	       is_among(architecture, version->architectures, version->architecture_count);
}

/* -- what is published -- */

static bool is_known(const char *text, const char *const *known)
{
	for (; *known; known++)
		if (strcmp(*known, text) == 0)
			return true;
	return false;
}

static size_t count_characters(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static int check_text(const char *text, const char *field, const char *path, size_t max,
		      struct error *error)
{
	return !text || count_characters(text) <= max
		       ? 0
		       : text_refuse_length(error, field, path, text, max);
}

/* "[a, b]", clipped; false for lack of memory. */
static bool join(const char *const *texts, size_t count, struct buf *ret)
{
	bool good = true;

	for (size_t i = 0; good && i < count; i++)
		good = buf_append_format(ret, "%s%.*s", i ? ", " : "",
					 shown_length(texts[i], SHOWN_BYTES), texts[i]) >= 0;
	return good;
}

static int refuse_set(const char *const *texts, size_t count, const char *field, const char *path,
		      const char *constraint, struct error *error)
{
	_cleanup_buf_ struct buf shown = BUF_INIT;

	if (!join(texts, count, &shown))
		return error_set_errno(error, ENOMEM, "Cannot check the layer");
	return error_set(error, ERROR_INVALID_PARAMETER, field,
			 "1 validation error detected: Value '[%.*s%s]' at '%s' failed to satisfy "
			 "constraint: %s",
			 shown_length(buf_string(&shown), SHOWN_BYTES), buf_string(&shown),
			 shown_rest(buf_string(&shown), SHOWN_BYTES), path, constraint);
}

static bool all_known(const char *const *texts, size_t count, const char *const *known)
{
	for (size_t i = 0; i < count; i++)
		if (!is_known(texts[i], known))
			return false;
	return true;
}

static int check_set(const char *const *texts, size_t count, const char *const *known, size_t max,
		     const char *field, const char *path, const char *constraint,
		     struct error *error)
{
	char longer[80];

	(void)snprintf(longer, sizeof(longer), "Member must have length less than or equal to %zu",
		       max);
	if (count > max)
		return refuse_set(texts, count, field, path, longer, error);
	return all_known(texts, count, known)
		       ? 0
		       : refuse_set(texts, count, field, path, constraint, error);
}

static int list_runtimes(struct buf *ret, struct error *error)
{
	int r = buf_append_format(ret, "Member must satisfy enum value set: [");

	for (size_t i = 0; r >= 0 && known_runtimes[i]; i++)
		r = buf_append_format(ret, "%s%s", i ? ", " : "", known_runtimes[i]);
	if (r >= 0)
		r = buf_append_format(ret, "]");
	return r < 0 ? error_set_errno(error, r, "Cannot check the runtimes") : 0;
}

static int check_runtimes(const char *const *runtimes, size_t count, const char *field,
			  const char *path, struct error *error)
{
	_cleanup_buf_ struct buf set = BUF_INIT;
	int r = list_runtimes(&set, error);

	return r < 0 ? r
		     : check_set(runtimes, count, known_runtimes, LAYER_RUNTIMES_MAX, field, path,
				 buf_string(&set), error);
}

int layer_validate_values(const struct layer_values *values, struct error *error)
{
	int r = check_text(values->description, "description", "description", LAYER_DESCRIPTION_MAX,
			   error);

	if (r == 0)
		r = check_text(values->license_info, "license_info", "licenseInfo",
			       LAYER_LICENSE_MAX, error);
	if (r == 0)
		r = check_runtimes(values->runtimes, values->runtime_count, "compatible_runtimes",
				   "compatibleRuntimes", error);
	return r < 0 ? r
		     : check_set(values->architectures, values->architecture_count,
				 known_architectures, LAYER_ARCHITECTURES_MAX,
				 "compatible_architectures", "compatibleArchitectures",
				 "Member must satisfy constraint: [Member must satisfy enum value "
				 "set: " ARCHITECTURES "]",
				 error);
}

int layer_validate_filter(const char *runtime, const char *architecture, struct error *error)
{
	const char *const runtimes[] = { runtime };

	if (runtime[0] && !is_known(runtime, known_runtimes))
		return check_runtimes(runtimes, 1, "compatible_runtime", "compatibleRuntime",
				      error);
	if (!architecture[0] || is_known(architecture, known_architectures))
		return 0;
	return error_set(
		error, ERROR_INVALID_PARAMETER, "compatible_architecture",
		"1 validation error detected: Value '%.*s%s' at 'compatibleArchitecture' "
		"failed to satisfy constraint: Member must satisfy enum value set: " ARCHITECTURES,
		shown_length(architecture, SHOWN_BYTES), architecture,
		shown_rest(architecture, SHOWN_BYTES));
}
