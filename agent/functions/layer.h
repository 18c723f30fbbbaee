/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a layer version is: pure values and rules, no I/O. Limits and messages are Lambda's
 * (PublishLayerVersion API reference). */

#include "agent/functions/policy.h"
#include "mayfly/id.h"

#define LAYER_NAME_MAX          140
#define LAYER_DESCRIPTION_MAX   256
#define LAYER_LICENSE_MAX       512
#define LAYER_RUNTIMES_MAX      15
#define LAYER_ARCHITECTURES_MAX 2
#define LAYERS_OF_FUNCTION_MAX  5
#define LAYER_ARN_MAX           2048
#define LAYER_REGION_BYTES      64

/* Immutable once published, but for its policy. Owns its strings. */
struct layer_version {
	char *tenant;
	char *name;
	uint64_t version; /* from 1 on, never given twice */
	char *description;
	char *license_info;
	char **runtimes; /* that it says it is for */
	size_t runtime_count;
	char **architectures;
	size_t architecture_count;
	char *code_sha256; /* base64 SHA-256 of the ZIP */
	char *content;     /* id of the ZIP that the node keeps */
	uint64_t code_size_bytes;
	uint64_t unzipped_bytes;
	int64_t created_us;           /* realtime */
	struct policy *policy;        /* who else may have it; NULL: nobody */
	char revision_id[UUID_BYTES]; /* of the policy */
};

/* What a tenant says of one; all borrowed. */
struct layer_values {
	const char *description;
	const char *license_info;
	const char *const *runtimes;
	size_t runtime_count;
	const char *const *architectures;
	size_t architecture_count;
};

struct layer_version *layer_version_free(struct layer_version *version);
DEFINE_CLEANUP(struct layer_version, layer_version_free)
/* Without number, content and sizes. 0 or -ENOMEM. */
int layer_version_new(const char *tenant, const char *name, const struct layer_values *values,
		      struct layer_version **ret) _must_use_;

/* layer_policy.c: what Lambda lets a layer's policy say. */
int layer_validate_permission(const struct policy_request *request, struct error *error) _must_use_;
/* Whether another tenant may have it. */
bool layer_version_is_shared_with(const struct layer_version *version, const char *tenant);

/* Whether it says that it is for them; NULL or "" asks nothing. */
bool layer_version_suits(const struct layer_version *version, const char *runtime,
			 const char *architecture);

/* Lambda's validations of what is published, and of a filter. */
int layer_validate_values(const struct layer_values *values, struct error *error) _must_use_;
int layer_validate_filter(const char *runtime, const char *architecture,
			  struct error *error) _must_use_;

/* arn:aws:lambda:REGION:TENANT:layer:NAME[:VERSION], without the number when it is 0; the caller
 * frees, NULL for lack of memory. */
char *layer_arn(const char *region, const char *tenant, const char *name, uint64_t version);

struct layer_reference {
	char region[LAYER_REGION_BYTES];
	char tenant[TENANT_ID_DIGITS + 1];
	char name[LAYER_NAME_MAX + 1];
	uint64_t version; /* 0: none; UINT64_MAX: more than there can be */
};
/* A layer's ARN, with a version or without; false for anything else. */
bool layer_parse_arn(const char *text, struct layer_reference *ret);
/* The ARN of a version, of `field` ("arn" or the like); else an error in Lambda's words. */
int layer_parse_version_arn(const char *text, const char *field, struct layer_reference *ret,
			    struct error *error) _must_use_;

/* A layer's name, plain or as its ARN, of this region and tenant. */
int layer_parse_name(const char *text, const char *region, const char *tenant,
		     char ret[LAYER_NAME_MAX + 1], struct error *error) _must_use_;

/* What a function names as its layers, each of a form that can be one, no layer twice. `ret` has
 * room for LAYERS_OF_FUNCTION_MAX. Whether they are there is asked for each by `check`, before the
 * next is looked at, so that the error is the one that Lambda has. */
typedef int layer_check_fn(const struct layer_reference *reference, const char *arn, void *arg,
			   struct error *error);
int layer_validate_list(const char *const *arns, size_t count, layer_check_fn *check, void *arg,
			struct layer_reference ret[LAYERS_OF_FUNCTION_MAX],
			struct error *error) _must_use_;
