/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a function is: pure values and rules, no I/O. Limits and messages are Lambda's
 * (CreateFunction API reference; "Lambda quotas"). A struct function owns its strings. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/functions/tags.h"
#include "mayfly/cleanup.h"
#include "mayfly/error.h"
#include "mayfly/state.h"

#define TENANT_ID_DIGITS              12
#define FUNCTION_NAME_MAX             64
#define FUNCTION_REFERENCE_MAX        170
#define FUNCTION_QUALIFIER_MAX        128
#define FUNCTION_HANDLER_MAX          128
#define FUNCTION_DESCRIPTION_MAX      256
#define FUNCTION_LOG_GROUP_MAX        512
#define FUNCTION_ENVIRONMENT_BYTES    4096 /* all variables as JSON */
#define FUNCTION_MEMORY_MIN_MB        128
#define FUNCTION_MEMORY_MAX_MB        10240
#define FUNCTION_MEMORY_DEFAULT_MB    128
#define FUNCTION_TIMEOUT_MIN_S        1
#define FUNCTION_TIMEOUT_MAX_S        900
#define FUNCTION_TIMEOUT_DEFAULT_S    3
#define FUNCTION_EPHEMERAL_MIN_MB     512
#define FUNCTION_EPHEMERAL_MAX_MB     10240
#define FUNCTION_EPHEMERAL_DEFAULT_MB 512
#define FUNCTION_LATEST               "$LATEST"
#define FUNCTION_VERSION_BYTES        21 /* of a version's name, with NUL */

enum function_state { FUNCTION_PENDING, FUNCTION_ACTIVE, FUNCTION_INACTIVE, FUNCTION_FAILED };
enum update_status { UPDATE_SUCCESSFUL, UPDATE_FAILED, UPDATE_IN_PROGRESS };
enum snap_start { SNAP_START_NONE, SNAP_START_PUBLISHED_VERSIONS, SNAP_START_LATEST };
enum log_format { LOG_TEXT, LOG_JSON };
enum tenancy { TENANCY_SHARED, TENANCY_PER_TENANT, _TENANCY_MAX };

struct environment_variable {
	char *key;
	char *value;
};

/* A layer version that a function has, whatever became of it since. */
struct function_layer {
	char *arn;
	char *content; /* id of the ZIP that the node keeps for as long as someone has the layer */
	uint64_t code_size_bytes;
	uint64_t unzipped_bytes;
};

/* What determines how a sandbox is started: one code revision with one configuration. */
struct function_config {
	char *runtime;
	char *handler;
	char *description;
	unsigned memory_size_mb;
	unsigned timeout_seconds;
	struct environment_variable *environment;
	size_t environment_count;
	unsigned ephemeral_storage_mb;
	enum snap_start snap_start;
	enum tenancy tenancy; /* as it was created: see end_tenant.h */
	enum log_format log_format;
	char *log_group;
	char *application_log_level; /* NULL in text format */
	char *system_log_level;
	char *dead_letter_target; /* NULL: none (destination.h) */
	char *package_digest;     /* hex SHA-256 of the package image; NULL until it is built */
	char *code_digest;        /* with layers: that of the code alone; else NULL */
	struct function_layer *layers; /* in order, later over earlier */
	size_t layer_count;
	uint64_t unzipped_bytes; /* of the code alone; 0: an older agent did not write it down */
	char *code_sha256;       /* base64 SHA-256 of the ZIP */
	uint64_t code_size_bytes;
};

struct policy; /* agent/functions/policy.h */

/* $LATEST or a published version: each is a function of its own, with its states. */
struct function {
	char *tenant;
	char *name;
	uint64_t version;         /* 0: $LATEST; a published one never changes but for its state */
	char *source_description; /* of a published one: what $LATEST's was then; else NULL */
	struct function_config config;  /* serving */
	struct function_config *update; /* being prepared while update_status is IN_PROGRESS */
	enum function_state state;
	char *state_reason;
	char *state_reason_code;
	enum update_status update_status;
	char *update_reason;
	char *update_reason_code;
	char revision_id[37];
	bool has_reserved_concurrency;
	unsigned reserved_concurrency; /* invocations at once that it has for itself, and at most */
	unsigned provisioned;     /* of a version: sandboxes that are kept initialised; 0: none */
	int64_t provisioned_us;   /* realtime: when that was said last */
	int64_t last_modified_us; /* realtime */
	struct policy *policy;    /* who else may do what with it; NULL: nobody */
	struct tag_set tags;      /* of $LATEST */
	uint64_t generation;      /* grows whenever `config` changes: old sandboxes go */
};

void function_config_clear(struct function_config *config);
int function_config_copy(struct function_config *to, const struct function_config *from) _must_use_;
struct function *function_free(struct function *function);
DEFINE_CLEANUP(struct function, function_free)
int function_copy(const struct function *from, struct function **ret) _must_use_;

/* The values a tenant gives: NULL (or has_environment false) is not given. All borrowed. */
struct function_patch {
	const char *runtime;
	const char *handler;
	const char *description;
	const unsigned *memory_size_mb;
	const unsigned *timeout_seconds;
	const unsigned *ephemeral_storage_mb;
	bool has_environment; /* replaces all variables */
	const struct environment_variable *environment;
	size_t environment_count;
	const enum snap_start *snap_start;
	const enum tenancy *tenancy; /* when it is created */
	const enum log_format *log_format;
	const char *log_group;
	const char *application_log_level;
	const char *system_log_level;
	const char *dead_letter_target; /* "": none from now on */
	bool has_layers;                /* replaces all */
	const char *const *layer_arns;
	size_t layer_count;
};

/* Lambda's defaults for a function of that name, into an empty config. 0 or -ENOMEM, after which
 * the config may be cleared. */
int function_config_set_defaults(struct function_config *config, const char *name) _must_use_;

/* Puts what is given over the config; log levels follow the format. 0 or -ENOMEM. */
int function_config_apply(struct function_config *config,
			  const struct function_patch *patch) _must_use_;

/* Replaces the layers with copies. 0 or -ENOMEM. */
int function_config_set_layers(struct function_config *config, const struct function_layer *layers,
			       size_t count) _must_use_;
/* Whether both have the same layers in the same order. */
bool function_config_same_layers(const struct function_config *a, const struct function_config *b);

/* What a reader is shown: the update while one is in progress, else what serves. */
const struct function_config *function_visible_config(const struct function *function);

extern const struct state_table function_states;
extern const struct state_table update_statuses;

const char *function_state_name(enum function_state state); /* "Pending" */
const char *update_status_name(enum update_status status);  /* "InProgress" */

/* The one way to change a state: -EINVAL when the table forbids it, -ENOMEM. NULL reason and
 * code clear them. Each draws a new revision id. */
int function_set_state(struct function *function, enum function_state state, const char *reason,
		       const char *reason_code) _must_use_;
int function_set_update_status(struct function *function, enum update_status status,
			       const char *reason, const char *reason_code) _must_use_;

/* "$LATEST" or the number. */
void function_version_name(uint64_t version, char out[FUNCTION_VERSION_BYTES]);
/* The other way round; false for what cannot be a version, as an alias. */
bool function_version_parse(const char *text, uint64_t *ret);

/* Whether its sandboxes are clones of a template in which INIT was done. */
bool function_config_has_snap_start(const struct function_config *config, uint64_t version);

/* A new version as $LATEST is now, or will be after its update: Pending, with a revision of its
 * own, last modified never. `description` NULL or "": $LATEST's. 0 or -ENOMEM. */
int function_publish(const struct function *latest, uint64_t version, const char *description,
		     struct function **ret) _must_use_;

/* Whether publishing $LATEST would make a copy of `version`, which was published last. */
bool function_is_published(const struct function *latest, const struct function *version);

/* Lambda's validations, with its messages where it has them; `error` names the field. */
int function_validate_name(const char *name, struct error *error) _must_use_;
int function_validate_config(const struct function_config *config, struct error *error) _must_use_;

/* `known` are the runtimes that this node has images for. */
int function_validate_runtime(const char *runtime, const char *const *known, size_t count,
			      struct error *error) _must_use_;

/* Twelve digits. */
bool tenant_id_is_valid(const char *tenant);

/* arn:aws:lambda:REGION:TENANT:function:NAME[:QUALIFIER]; the caller frees. */
char *function_arn(const char *region, const char *tenant, const char *name, const char *qualifier);

/* Splits NAME, NAME:Q, ACCOUNT:function:NAME[:Q], function:NAME[:Q] or a full ARN
 * (lambda name forms), checks account and region, and joins with a separate qualifier (NULL or
 * "" when none was given). */
struct function_reference {
	char name[FUNCTION_NAME_MAX + 1];
	char qualifier[FUNCTION_QUALIFIER_MAX + 1]; /* "" when none was given */
	bool has_qualifier;
};
int function_parse_reference(const char *text, const char *qualifier, const char *region,
			     const char *tenant, struct function_reference *ret,
			     struct error *error) _must_use_;

/* The account that such a text names; false when it names none, or is no such text. */
bool function_reference_account(const char *text, char ret[TENANT_ID_DIGITS + 1]);
