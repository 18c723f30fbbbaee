/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The node's configuration: one table (section, key, kind, default, bounds, unit, help) from which
 * the file's parser, --set, --print-configuration-manual and docs/configuration.md come. The
 * values are read once at start; afterwards immutable, any thread. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "mayfly/buf.h"
#include "mayfly/error.h"

#define CONFIG_DEFAULT_PATH   "/etc/mayfly/mayflyd.conf"
#define CONFIG_MAX_FILE_BYTES (1U << 20)
#define CONFIG_MAX_LINE_BYTES 4096U

/* Values of vm.accelerator, node.log_level, ledger.sync and events.sync, in the order of their
 * names in the table. */
enum config_accelerator { CONFIG_ACCELERATOR_AUTO, CONFIG_ACCELERATOR_KVM, CONFIG_ACCELERATOR_TCG };
enum config_log_level {
	CONFIG_LOG_ERROR,
	CONFIG_LOG_WARNING,
	CONFIG_LOG_NOTICE,
	CONFIG_LOG_INFO,
	CONFIG_LOG_DEBUG,
};

enum config_encryption { CONFIG_ENCRYPTION_NONE, CONFIG_ENCRYPTION_AES_256_GCM };
enum config_sync { CONFIG_SYNC_FULL, CONFIG_SYNC_NORMAL };
enum config_scaling { CONFIG_SCALING_ADAPTIVE, CONFIG_SCALING_FIXED };

/* Strings are owned; "" where a key is left empty. What each means is in the table. */
struct config {
	char *node_state_dir;
	char *node_images_dir; /* never "": filled in by config_complete() */
	char *node_region;
	char *node_account_id;
	unsigned node_log_level;
	uint64_t node_drain_s;
	bool node_tenants_on_tcg;
	char *api_socket;
	char *api_socket_group;
	char *api_listen_tcp;
	bool api_listen_tcp_operator;
	char *api_listen_tls;
	char *api_tls_certificate;
	char *api_tls_key;
	char *api_tls_client_ca;
	char *api_tls_tenant_ca;
	char *api_tls_crl;
	uint64_t api_max_connections;
	uint64_t api_max_connections_per_address;
	uint64_t api_connection_idle_s;
	uint64_t api_max_calls;
	uint64_t api_max_receiving_mb;
	uint64_t api_receive_timeout_s;
	char *auth_trust_domain;
	char *auth_master_key_file; /* "": below state_dir */
	char *auth_master_key_credential;
	uint64_t audit_max_records;
	uint64_t audit_keep_days;
	char *vm_libvirt_uri;
	char *vm_emulator;
	unsigned vm_accelerator;
	char *vm_user;
	uint64_t vm_uid_first;
	uint64_t vm_uid_count;
	uint64_t vm_tb_size_mb;
	uint64_t vm_guest_overhead_mb;
	bool vm_cpu_limits;
	bool packages_shared;
	unsigned templates_encryption;
	uint64_t templates_open_max_mb;
	uint64_t templates_open_keep_s;
	uint64_t pool_memory_budget_mb;
	uint64_t pool_memory_reserve_mb;
	uint64_t pool_memory_commit_percent;
	uint64_t pool_sandbox_overhead_mb;
	uint64_t pool_max_sandboxes;
	uint64_t pool_max_concurrent_restores;
	uint64_t pool_max_waiting;
	uint64_t pool_max_waiting_mb;
	uint64_t pool_max_wait_s;
	unsigned pool_scaling; /* CONFIG_SCALING_… */
	uint64_t pool_keep_alive_s;
	uint64_t pool_keep_alive_min_s;
	uint64_t pool_cold_start_worth_s;
	uint64_t pool_base_template_keep_s;
	uint64_t pool_freeze_after_ms;
	uint64_t pool_active_window_s;
	uint64_t pool_spares;
	uint64_t pool_spares_max;
	bool pool_spares_on_deploy;
	uint64_t pool_warm_rounds;
	uint64_t pool_start_timeout_ms;
	uint64_t pool_boot_timeout_ms;
	uint64_t pool_init_timeout_ms;
	uint64_t pool_guest_grace_ms;

	char *metrics_listen;
	uint64_t metrics_max_functions;

	uint64_t limits_concurrency;
	uint64_t limits_unreserved_minimum;
	uint64_t limits_requests_per_concurrency;
	uint64_t limits_scaling_per_10s;
	uint64_t limits_provisioned_percent;
	uint64_t limits_code_storage_mb;
	uint64_t limits_control_rate;
	uint64_t limits_read_rate;
	uint64_t logs_max_group_mb;
	uint64_t logs_max_tenant_mb;
	uint64_t logs_max_part_mb;
	uint64_t logs_max_waiting_mb;
	uint64_t logs_flush_after_ms;
	unsigned ledger_sync;
	uint64_t ledger_raw_keep_days;
	uint64_t ledger_answer_wait_ms;
	uint64_t ledger_price_request_pico;
	uint64_t ledger_price_gb_second_pico;
	uint64_t ledger_price_provisioned_run_gb_second_pico;
	uint64_t ledger_price_provisioned_gb_second_pico;
	uint64_t ledger_price_storage_gb_second_pico;
	uint64_t ledger_price_stream_gb_pico;
	uint64_t ledger_price_cache_gb_second_pico;
	uint64_t ledger_price_restore_gb_pico;
	unsigned events_sync;
	uint64_t events_max_running;
	uint64_t events_max_waiting;
	uint64_t events_max_waiting_mb;
	uint64_t events_waiting_percent_of_tenant;
	uint64_t events_max_retries;
	uint64_t events_retry_first_ms;
	uint64_t events_delay_first_ms;
	uint64_t events_delay_max_ms;
	uint64_t events_max_age_s;
	uint64_t events_delivery_max_age_s;
	uint64_t events_queue_max_mb;
	uint64_t events_max_webhooks;
	uint64_t events_webhook_timeout_ms;
	char *events_webhook_ca_file;
	bool events_webhook_allow_plain;
	bool events_webhook_allow_private;
	uint64_t schedules_max_per_tenant;
	uint64_t schedules_max_input_mb_per_tenant;
};

#define CONFIG_INIT ((struct config){ 0 })

/* Sets every key to its default. 0 or -ENOMEM. */
int config_set_defaults(struct config *config) _must_use_;

void config_clear(struct config *config);
#define _cleanup_config_ _cleanup_(config_clear)

/* One assignment; `error` names the key and the rule it breaks, and nothing is changed. */
int config_set(struct config *config, const char *section, const char *key, const char *value,
	       struct error *error) _must_use_;

/* The same from the command line's "section.key=value". */
int config_set_assignment(struct config *config, const char *assignment,
			  struct error *error) _must_use_;

/* Hears of each problem; `line` is 0 when it belongs to none. */
typedef void config_problem_fn(const char *name, unsigned line, const char *text, void *arg);

/* Reads a file's text; `name` is for the problems. Goes on after a problem, so that all are heard
 * of. Returns the number of problems or -ENOMEM. */
int config_parse(struct config *config, struct slice text, const char *name,
		 config_problem_fn *problem, void *arg) _must_use_;

/* The same from a file. */
int config_load(struct config *config, const char *path, config_problem_fn *problem,
		void *arg) _must_use_;

/* Rules between keys, and defaults that follow from other keys. Last step. The same results. */
int config_complete(struct config *config, config_problem_fn *problem, void *arg) _must_use_;

/* docs/configuration.md, and the commented default file. */
void config_print_manual(FILE *out);
void config_print_default_file(FILE *out);

/* -- the table, for the files of this room -- */

enum config_kind { CONFIG_TEXT, CONFIG_PATH, CONFIG_NUMBER, CONFIG_FLAG, CONFIG_CHOICE };

struct config_row {
	const char *section;
	const char *key;
	enum config_kind kind;
	size_t offset; /* of the field in struct config */
	const char *initial;
	uint64_t min; /* numbers */
	uint64_t max;
	const char *unit;           /* numbers; NULL: a count */
	const char *const *choices; /* NULL-terminated */
	bool optional;              /* texts and paths: may be empty */
	/* A further rule of its own; the error's text is completed by the caller. */
	const char *(*rule)(const char *value);
	const char *help;
};

const struct config_row *config_rows(size_t *ret_count);
const struct config_row *config_find_row(const char *section, const char *key);
