/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/verbs.h"

/* A longer name stands before the shorter one that it begins with. */
const struct verb *const verbs[] = {
	&verb_function_create,
	&verb_function_get,
	&verb_function_list,
	&verb_function_update_code,
	&verb_function_update_configuration,
	&verb_function_delete,
	&verb_concurrency_put,
	&verb_concurrency_get,
	&verb_concurrency_delete,
	&verb_account,
	&verb_invoke,
	&verb_logs,
	&verb_node,
	&verb_sandboxes,
	&verb_templates_list,
	&verb_templates_build,
	&verb_templates_drop,
	&verb_templates,
	&verb_watch,
	&verb_tenant_create,
	&verb_tenant_get,
	&verb_tenant_list,
	&verb_tenant_update,
	&verb_tenant_suspend,
	&verb_tenant_resume,
	&verb_tenant_delete,
	&verb_access_key_create,
	&verb_access_key_list,
	&verb_access_key_set_state,
	&verb_access_key_delete,
	&verb_bench_cold_start,
	&verb_bench_burst,
	&verb_bench_throughput,
	&verb_bench_density,
	&verb_completion,
	NULL,
};

const struct verb_option common_options[] = {
	{ "address", 0, OPTION_TEXT, "ADDRESS",
	  "unix:/path or host:port; else $MAYFLY_ADDRESS, else the node here" },
	{ "tenant", 0, OPTION_TEXT, "ID",
	  "whose functions, for operators; else $MAYFLY_TENANT, else the caller's own" },
	{ "output", 'o', OPTION_CHOICE, "table|json", "for people or for scripts" },
	{ "verbose", 'v', OPTION_FLAG, NULL, "say more" },
	{ "help", 'h', OPTION_FLAG, NULL, "this text" },
	{ 0 },
};
