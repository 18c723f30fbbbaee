/* SPDX-License-Identifier: Apache-2.0 */

#include "agent/config.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>

#define MINUTE_S 60
#define HOUR_S   (60 * MINUTE_S)
#define DAY_S    (24 * HOUR_S)
#define PICO     1000000000000ULL

static const char *const accelerators[] = { "auto", "kvm", "tcg", NULL };
static const char *const log_levels[] = { "error", "warning", "notice", "info", "debug", NULL };
static const char *const scalings[] = { "adaptive", "fixed", NULL };
static const char *const encryptions[] = { "none", "aes-256-gcm", NULL };
static const char *const syncs[] = { "full", "normal", NULL };

/* -- rules of single keys: NULL, or what the value must be -- */

static const char *rule_account_id(const char *value)
{
	return strlen(value) == 12 && strspn(value, "0123456789") == 12 ? NULL : "12 digits";
}

static const char *rule_region(const char *value)
{
	size_t len = strlen(value);
	if (len < 3 || len > 32 || strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789-") != len ||
	    !islower((unsigned char)value[0]) || value[len - 1] == '-')
		return "a region name such as us-east-1 (lower-case letters, digits, dashes)";
	return NULL;
}

/* libvirt's sockets are up to 71 bytes longer (with the self-test's own folder), and a socket's
 * path has at most 107. Colons and blanks end a path where the dynamic linker is told what to
 * preload into QEMU, commas where QEMU is told of a file. */
static const char *rule_state_dir(const char *value)
{
	if (value[strcspn(value, " \t:,\"\\")])
		return "a path without blanks, colons, commas, quotes and backslashes";
	return strlen(value) <= 36 ? NULL : "at most 36 bytes, because sockets lie below it";
}

static const char *rule_socket(const char *value)
{
	/* sockaddr_un.sun_path with its NUL */
	return strlen(value) < 108 ? NULL : "shorter than 108 bytes";
}

/* Plain TCP carries no identity, so only this machine may reach it. */
static const char *rule_loopback(const char *value)
{
	static const char *const hosts[] = { "127.0.0.1:", "localhost:", "[::1]:" };
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		size_t len = strlen(hosts[i]);
		if (strncmp(value, hosts[i], len) != 0)
			continue;
		const char *port = value + len;
		size_t digits = strspn(port, "0123456789");
		if (digits < 1 || digits > 5 || port[digits] || strtoul(port, NULL, 10) > 65535)
			return "a loopback address with a port of 0 to 65535";
		return NULL;
	}
	return "a loopback address: 127.0.0.1:PORT, [::1]:PORT or localhost:PORT";
}

static const char *rule_address(const char *value)
{
	static const char rule[] = "HOST:PORT or [IPV6]:PORT, with a port of 0 to 65535";
	const char *colon = strrchr(value, ':');
	const char *end = colon && colon > value && colon[-1] == ']' ? colon - 1 : colon;
	bool is_v6 = end != colon;
	if (!colon || colon == value || (is_v6 && value[0] != '['))
		return rule;
	/* A colon in a host is one of IPv6, which needs its brackets. */
	const char *host_end = value + is_v6 +
			       strspn(value + is_v6, is_v6 ? "0123456789abcdefABCDEF:."
							   : "0123456789abcdefghijklmnopqrstuvwxyz"
							     "ABCDEFGHIJKLMNOPQRSTUVWXYZ.-");
	size_t digits = strspn(colon + 1, "0123456789");
	if (host_end != end || digits < 1 || digits > 5 || colon[1 + digits] ||
	    strtoul(colon + 1, NULL, 10) > 65535)
		return rule;
	return NULL;
}

static const char *rule_user_name(const char *value)
{
	size_t len = strlen(value);
	return len <= 32 && strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len
		       ? NULL
		       : "a user or group name (lower-case letters, digits, _ and -)";
}

static const char *rule_uri(const char *value)
{
	return strncmp(value, "qemu:///", strlen("qemu:///")) == 0
		       ? NULL
		       : "a local QEMU connection: qemu:///system, qemu:///session or "
			 "qemu:///embed…";
}

static const char *rule_trust_domain(const char *value)
{
	size_t len = strlen(value);
	return len <= 255 && strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789.-_") == len
		       ? NULL
		       : "the trust domain of SPIFFE-IDs (lower-case letters, digits, ., - and _)";
}

static const char *rule_credential(const char *value)
{
	size_t len = strlen(value);
	return len <= 255 && value[0] != '.' && !strchr(value, '/')
		       ? NULL
		       : "the name of a systemd credential, not a path";
}

#define FIELD(name)             .offset = offsetof(struct config, name)
#define NUMBER(name, from, to)  .kind = CONFIG_NUMBER, FIELD(name), .min = (from), .max = (to)
#define TEXT(name)              .kind = CONFIG_TEXT, FIELD(name)
#define PATH(name)              .kind = CONFIG_PATH, FIELD(name)
#define FLAG(name)              .kind = CONFIG_FLAG, FIELD(name)
#define CHOICE(name, of_values) .kind = CONFIG_CHOICE, FIELD(name), .choices = (of_values)

/* clang-format off */
static const struct config_row rows[] = {
	{ "node", "state_dir", PATH(node_state_dir), .initial = "/var/lib/mayfly",
	  .rule = rule_state_dir,
	  .help = "Everything durable: functions, packages, templates, logs. One node each." },
	{ "node", "images_dir", PATH(node_images_dir), .initial = "", .optional = true,
	  .help = "Kernel, initramfs and runtime images, as build-images made them. Empty: images "
		  "below state_dir." },
	{ "node", "region", TEXT(node_region), .initial = "us-east-1", .rule = rule_region,
	  .help = "The region in ARNs and in AWS_REGION." },
	{ "node", "account_id", TEXT(node_account_id), .initial = "123456789012",
	  .rule = rule_account_id,
	  .help = "The default tenant: 12 digits, part of every ARN. Functions belong to it, so "
		  "choose it before the first one is created." },
	{ "node", "log_level", CHOICE(node_log_level, log_levels), .initial = "info",
	  .help = "The least important messages that the agent logs of itself." },
	{ "node", "drain_s", NUMBER(node_drain_s, 0, HOUR_S), .initial = "30", .unit = "s",
	  .help = "How long a stop waits for running invocations before it ends them." },
	{ "node", "tenants_on_tcg", FLAG(node_tenants_on_tcg), .initial = "no",
	  .help = "Allow more tenants than one where microVMs run on TCG, for which QEMU promises "
		  "no security. With KVM they are always allowed. Where they are not, only the "
		  "default one's functions run." },

	{ "api", "socket", PATH(api_socket), .initial = "/run/mayfly/mayfly.sock",
	  .rule = rule_socket, .help = "The unix socket of the gRPC services, mode 0660." },
	{ "api", "socket_group", TEXT(api_socket_group), .initial = "", .optional = true,
	  .rule = rule_user_name,
	  .help = "The group that may use the socket beside root. Empty: the agent's own." },
	{ "api", "listen_tcp", TEXT(api_listen_tcp), .initial = "", .optional = true,
	  .rule = rule_loopback,
	  .help = "Also listen here, without TLS and for anyone on this machine, hence on a "
		  "loopback address only. Callers need an access key. Empty: do not." },
	{ "api", "listen_tcp_operator", FLAG(api_listen_tcp_operator), .initial = "no",
	  .help = "Whoever calls there without an access key is an operator: for development, on a "
		  "machine of one's own." },
	{ "api", "listen_tls", TEXT(api_listen_tls), .initial = "", .optional = true,
	  .rule = rule_address,
	  .help = "Also listen here, with TLS 1.3, for the network: HOST:PORT or [IPV6]:PORT. "
		  "Callers need an access key or a certificate. Empty: do not." },
	{ "api", "tls_certificate", PATH(api_tls_certificate), .initial = "", .optional = true,
	  .help = "The node's certificate with its chain, PEM. Read again on SIGHUP, as the files "
		  "below; if one is not good, all that were read before stay in use." },
	{ "api", "tls_key", PATH(api_tls_key), .initial = "", .optional = true,
	  .help = "Its private key, PEM, without passphrase." },
	{ "api", "tls_client_ca", PATH(api_tls_client_ca), .initial = "", .optional = true,
	  .help = "Whoever shows a certificate of one of these authorities, PEM, is an operator of "
		  "the node. Where this and the next are empty, nobody is asked for one." },
	{ "api", "tls_tenant_ca", PATH(api_tls_tenant_ca), .initial = "", .optional = true,
	  .help = "Whoever shows a certificate of one of these authorities, PEM, is the user of a "
		  "tenant that its URI names (docs/tenants.md), and never an operator. Needs "
		  "auth.trust_domain." },
	{ "api", "tls_crl", PATH(api_tls_crl), .initial = "", .optional = true,
	  .help = "Revocation lists of these authorities, PEM: a file, or a folder of which all "
		  "files count. From the SIGHUP after a change on, what they name is refused, on "
		  "open connections too. After its next update a list refuses all of its "
		  "authority." },
	{ "api", "max_connections", NUMBER(api_max_connections, 8, 1U << 20), .initial = "1024",
	  .help = "Connections of listen_tcp and listen_tls at a time, and never more than a "
		  "quarter of the files that the agent may have open. Where they are too many, "
		  "the oldest on which nobody called who is known gives way." },
	{ "api", "max_connections_per_address",
	  NUMBER(api_max_connections_per_address, 1, 1U << 20), .initial = "128",
	  .help = "The same, of one IPv4 address or one IPv6 network of 64 bits." },
	{ "api", "connection_idle_s", NUMBER(api_connection_idle_s, 1, 7 * DAY_S),
	  .initial = "300", .unit = "s",
	  .help = "A connection of these without a call is closed after this time; clients open "
		  "another when they need it." },
	{ "api", "max_calls", NUMBER(api_max_calls, 64, 1U << 20), .initial = "8192",
	  .help = "Calls of these at a time, open streams among them; one tenant may have half." },
	{ "api", "max_receiving_mb", NUMBER(api_max_receiving_mb, 128, 1U << 20), .initial = "512",
	  .unit = "MiB",
	  .help = "What requests of these may have in memory before they are whole; of one tenant "
		  "half of it. Beyond, calls of those with most are ended." },
	{ "api", "receive_timeout_s", NUMBER(api_receive_timeout_s, 1, DAY_S), .initial = "120",
	  .unit = "s",
	  .help = "A call whose request has not come whole after this time is ended, by the unix "
		  "socket too. At 1 MB/s the largest package takes 50." },

	{ "auth", "trust_domain", TEXT(auth_trust_domain), .initial = "", .optional = true,
	  .rule = rule_trust_domain,
	  .help = "The trust domain in the URIs of certificates of api.tls_tenant_ca: "
		  "spiffe://TRUST_DOMAIN/tenant/ID/role/ROLE/user/NAME." },
	{ "auth", "master_key_file", PATH(auth_master_key_file), .initial = "", .optional = true,
	  .help = "32 random bytes under which secrets are kept on disk. Where this and the next "
		  "are empty, master.key below state_dir, made at the first start; keep a copy of "
		  "it, away from those of state_dir." },
	{ "auth", "master_key_credential", TEXT(auth_master_key_credential), .initial = "",
	  .optional = true, .rule = rule_credential,
	  .help = "The same from the systemd credential of that name (LoadCredential=, "
		  "LoadCredentialEncrypted=), instead of a file: docs/tenants.md." },

	{ "audit", "max_records", NUMBER(audit_max_records, 100, 100000000), .initial = "100000",
	  .help = "Records of the audit log that are kept; beyond them the oldest go of who has "
		  "the most (docs/tenants.md). One takes about 350 bytes." },
	{ "audit", "keep_days", NUMBER(audit_keep_days, 1, 36500), .initial = "365", .unit = "days",
	  .help = "And for how long." },

	{ "vm", "libvirt_uri", TEXT(vm_libvirt_uri), .initial = "", .optional = true,
	  .rule = rule_uri,
	  .help = "The libvirt connection. Empty: the driver embedded in the agent, with its files "
		  "below state_dir; it needs no libvirt daemon." },
	{ "vm", "emulator", PATH(vm_emulator), .initial = "/usr/bin/qemu-system-x86_64",
	  .help = "The QEMU program." },
	{ "vm", "accelerator", CHOICE(vm_accelerator, accelerators), .initial = "auto",
	  .help = "auto boots a tiny guest to learn whether KVM works here and takes TCG, which is "
		  "emulation, if not. kvm refuses to start without it." },
	{ "vm", "user", TEXT(vm_user), .initial = "mayfly-vm", .optional = true,
	  .rule = rule_user_name,
	  .help = "The unprivileged user that QEMU is asked for its abilities as, and that "
		  "microVMs run as where they cannot have users of their own. Empty: the agent's "
		  "own user, for all, which is said as a warning." },
	{ "vm", "uid_first", NUMBER(vm_uid_first, 65536, 2000000000), .initial = "1900000000",
	  .help = "The first of the user ids, and equal group ids, that microVMs run as, each as "
		  "one of its own: a QEMU taken over by its guest can then neither touch nor read "
		  "what is another's. Nothing else may hand them out. By convention nothing does "
		  "from 1879048192 on: login users end at 60000, subuid at 600100000, containers "
		  "of systemd at 1879048191. Nodes of one host may share a range." },
	{ "vm", "uid_count", NUMBER(vm_uid_count, 0, 1000000), .initial = "65536",
	  .help = "How many there are: more than pool.max_sandboxes, for templates are made in "
		  "microVMs too. 0: all microVMs run as vm.user, which is said as a warning." },
	{ "vm", "tb_size_mb", NUMBER(vm_tb_size_mb, 4, 1024), .initial = "32", .unit = "MiB",
	  .help = "TCG's translation buffer, per microVM; only what is used is touched." },
	{ "vm", "guest_overhead_mb", NUMBER(vm_guest_overhead_mb, 64, 1024), .initial = "128",
	  .unit = "MiB",
	  .help = "RAM of a microVM beside its function's MemorySize, for kernel, init and page "
		  "cache. A change rebuilds the templates." },
	{ "vm", "cpu_limits", FLAG(vm_cpu_limits), .initial = "yes",
	  .help = "CPU time follows memory (1,769 MB is one vCPU) where the host has cgroups. Off "
		  "under TCG whatever is said here. A microVM has that many vCPUs, rounded up, at "
		  "most 6; under TCG always one." },

	{ "packages", "shared", FLAG(packages_shared), .initial = "no",
	  .help = "Whether equal packages of different tenants are one file, and one in the page "
		  "cache: it saves room, and lets a tenant measure whether another has deployed "
		  "the same. Counts for what is deployed from then on." },

	{ "templates", "encryption", CHOICE(templates_encryption, encryptions), .initial = "none",
	  .help = "How templates, which have functions' memory in them, are kept on the disk. "
		  "aes-256-gcm: sealed under the master key, and open only in a file system in "
		  "memory that the agent mounts, while they are used. A change rebuilds them all. "
		  "Needs root, and the embedded libvirt." },
	{ "templates", "open_max_mb", NUMBER(templates_open_max_mb, 0, 1ULL << 24), .initial = "0",
	  .unit = "MiB",
	  .help = "What sealed templates may take of memory while they are open, and while they "
		  "are made. 0: half of the machine's." },
	{ "templates", "open_keep_s", NUMBER(templates_open_keep_s, 1, DAY_S), .initial = "600",
	  .unit = "s",
	  .help = "A sealed template is closed after so long without a sandbox of it, or earlier "
		  "when others need its room." },

	{ "pool", "memory_budget_mb", NUMBER(pool_memory_budget_mb, 0, 1ULL << 24), .initial = "0",
	  .unit = "MiB", .help = "What all sandboxes may take. 0: 80 % of the machine's." },
	{ "pool", "memory_reserve_mb", NUMBER(pool_memory_reserve_mb, 0, 1ULL << 24),
	  .initial = "512", .unit = "MiB",
	  .help = "A start must leave so much memory available on the host." },
	{ "pool", "memory_commit_percent", NUMBER(pool_memory_commit_percent, 1, 100),
	  .initial = "10",  .unit = "%",
	  .help = "The part of MemorySize that a sandbox is counted with: clones share most pages. "
		  "100 never overcommits." },
	{ "pool", "sandbox_overhead_mb", NUMBER(pool_sandbox_overhead_mb, 1, 1024), .initial = "32",
	  .unit = "MiB", .help = "Counted for each sandbox beside that part." },
	{ "pool", "max_sandboxes", NUMBER(pool_max_sandboxes, 1, 1000000), .initial = "4096",
	  .help = "Sandboxes alive at once." },
	{ "pool", "max_concurrent_restores", NUMBER(pool_max_concurrent_restores, 0, 1024),
	  .initial = "0", .help = "Sandboxes being started at once. 0: as many as processors." },
	{ "pool", "max_waiting", NUMBER(pool_max_waiting, 1, 10000000), .initial = "10000",
	  .help = "Invocations that may wait for a sandbox; more are refused. Tenants share the "
		  "room by weight (docs/concurrency.md)." },
	{ "pool", "max_waiting_mb", NUMBER(pool_max_waiting_mb, 8, 1ULL << 24), .initial = "256",
	  .unit = "MiB",
	  .help = "What the events of those may take in memory; more are refused. Shared by "
		  "weight, too. An event has up to 6 MiB." },
	{ "pool", "max_wait_s", NUMBER(pool_max_wait_s, 1, HOUR_S), .initial = "300", .unit = "s",
	  .help = "How long one may wait." },
	{ "pool", "scaling", CHOICE(pool_scaling, scalings), .initial = "adaptive",
	  .help = "adaptive: how long sandboxes are kept, and how many, follows from when each "
		  "function is invoked (docs/scaling.md). fixed: as the keys below say." },
	{ "pool", "keep_alive_s", NUMBER(pool_keep_alive_s, 1, 7 * DAY_S), .initial = "600",
	  .unit = "s", .help = "An idle sandbox ends after so long, adaptive: at the latest." },
	{ "pool", "keep_alive_min_s", NUMBER(pool_keep_alive_min_s, 1, 7 * DAY_S), .initial = "60",
	  .unit = "s",
	  .help = "Adaptive: an idle sandbox does not end before, but for want of memory." },
	{ "pool", "cold_start_worth_s", NUMBER(pool_cold_start_worth_s, 0, 30 * DAY_S),
	  .initial = "0", .unit = "s",
	  .help = "Adaptive: so long of an idle sandbox is worth a cold start. 0: keep_alive_s." },
	{ "pool", "freeze_after_ms", NUMBER(pool_freeze_after_ms, 1, MINUTE_S * 1000),
	  .initial = "10", .unit = "ms",
	  .help = "An idle sandbox's vCPUs are stopped after so long." },
	{ "pool", "active_window_s", NUMBER(pool_active_window_s, 1, 7 * DAY_S), .initial = "600",
	  .unit = "s", .help = "A function has spares for so long after its last use." },
	{ "pool", "spares", NUMBER(pool_spares, 0, 1000), .initial = "1",
	  .help = "Sandboxes kept restored, initialised and unused for each active function, so "
		  "that its next cold start need not wait for QEMU. Adaptive: at least." },
	{ "pool", "spares_max", NUMBER(pool_spares_max, 1, 1000), .initial = "16",
	  .help = "Adaptive: at most so many." },
	{ "pool", "spares_on_deploy", FLAG(pool_spares_on_deploy), .initial = "yes",
	  .help = "A function just deployed counts as active before its first use." },
	{ "pool", "warm_rounds", NUMBER(pool_warm_rounds, 1, 1000), .initial = "3",
	  .help = "Pings through a spare's runtime (never its code) before it is stopped." },
	{ "pool", "base_template_keep_s", NUMBER(pool_base_template_keep_s, 0, 365 * DAY_S),
	  .initial = "86400", .unit = "s",
	  .help = "A base template (about 100 MiB) that no function needs, by its runtime and "
		  "MemorySize, is dropped after so long without use. 0: never." },
	{ "pool", "start_timeout_ms", NUMBER(pool_start_timeout_ms, 0, HOUR_S * 1000),
	  .initial = "0", .unit = "ms", .help = "Limit of a restore. 0: 10 s, under TCG 60 s." },
	{ "pool", "boot_timeout_ms", NUMBER(pool_boot_timeout_ms, 0, HOUR_S * 1000), .initial = "0",
	  .unit = "ms", .help = "Limit of a boot. 0: 30 s, under TCG 180 s." },
	{ "pool", "init_timeout_ms", NUMBER(pool_init_timeout_ms, 100, 15 * MINUTE_S * 1000),
	  .initial = "10000", .unit = "ms", .help = "Limit of the INIT phase; Lambda's is 10 s." },
	{ "pool", "guest_grace_ms", NUMBER(pool_guest_grace_ms, 100, HOUR_S * 1000),
	  .initial = "2000", .unit = "ms",
	  .help = "The agent's patience beyond a limit that the guest enforces itself." },

	{ "limits", "concurrency", NUMBER(limits_concurrency, 1, 1000000), .initial = "1000",
	  .help = "Invocations of one tenant at once; beyond it they are throttled." },
	{ "limits", "unreserved_minimum", NUMBER(limits_unreserved_minimum, 0, 1000000),
	  .initial = "100",
	  .help = "Of limits.concurrency, what reservations of single functions must leave to all "
		  "others of the tenant." },
	{ "limits", "requests_per_concurrency",
	  NUMBER(limits_requests_per_concurrency, 1, 1000000), .initial = "10",
	  .help = "Invocations a second for each unit of a tenant's limit, or of a function's "
		  "reservation." },
	{ "limits", "scaling_per_10s", NUMBER(limits_scaling_per_10s, 10, 1000000),
	  .initial = "1000",
	  .help = "Sandboxes that a function may gain in ten seconds; beyond it it is throttled." },
	{ "limits", "provisioned_percent", NUMBER(limits_provisioned_percent, 0, 100),
	  .initial = "50", .unit = "%",
	  .help = "Of pool.memory_budget_mb, what the provisioned concurrency of one tenant may "
		  "take by MemorySize. A tenant may have a limit of its own." },
	{ "limits", "code_storage_mb", NUMBER(limits_code_storage_mb, 1, 1ULL << 30),
	  .initial = "76800", .unit = "MiB",
	  .help = "Of all ZIPs of a tenant's functions, their versions and its layers together; "
		  "Lambda's 75 GB. A tenant may have a limit of its own." },
	{ "limits", "control_rate", NUMBER(limits_control_rate, 0, 100000), .initial = "15",
	  .unit = "requests/s",
	  .help = "What one tenant's users may ask for in a second but for invocations, in sum; "
		  "GetPolicy is counted apart, with the same limit. 0: as much as they like." },
	{ "limits", "read_rate", NUMBER(limits_read_rate, 0, 100000), .initial = "100",
	  .unit = "requests/s",
	  .help = "The same of FunctionService.Get, and in sum of logs, metrics, usage, budgets, "
		  "queues and the audit log." },

	{ "metrics", "listen", TEXT(metrics_listen), .initial = "", .optional = true,
	  .rule = rule_loopback,
	  .help = "HOST:PORT for Prometheus' text over HTTP at /metrics, on this machine only, "
		  "because it names tenants and functions to whoever asks. Empty: none." },
	{ "metrics", "max_functions", NUMBER(metrics_max_functions, 0, 1000000),
	  .initial = "1000",
	  .help = "Functions with rows of their own; others are counted together, by tenant." },

	{ "logs", "max_group_mb", NUMBER(logs_max_group_mb, 1, 1ULL << 24), .initial = "256",
	  .unit = "MiB", .help = "Kept of one log group; beyond it the oldest files go." },
	{ "logs", "max_tenant_mb", NUMBER(logs_max_tenant_mb, 1, 1ULL << 24), .initial = "4096",
	  .unit = "MiB",
	  .help = "Kept of all log groups of a tenant together, each file and group counted with 4 "
		  "KiB more; beyond it the oldest files go, of whichever group." },
	{ "logs", "max_part_mb", NUMBER(logs_max_part_mb, 1, 1024), .initial = "8", .unit = "MiB",
	  .help = "Size of one log file before the next is begun." },
	{ "logs", "max_waiting_mb", NUMBER(logs_max_waiting_mb, 1, 65536), .initial = "32",
	  .unit = "MiB",
	  .help = "Not yet written, of all groups; more is dropped and counted. The lines of one "
		  "tenant take at most four times what is left free." },
	{ "logs", "flush_after_ms", NUMBER(logs_flush_after_ms, 1, MINUTE_S * 1000),
	  .initial = "20", .unit = "ms",
	  .help = "Lines are gathered for so long before they are written." },

	{ "ledger", "sync", CHOICE(ledger_sync, syncs), .initial = "normal",
	  .help = "What the usage record of an answered invocation survives: normal, the end of "
		  "the agent at any moment; full, also the loss of power, for which each answer "
		  "waits for the disk." },
	{ "ledger", "raw_keep_days", NUMBER(ledger_raw_keep_days, 1, 3650), .initial = "35",
	  .unit = "days",
	  .help = "Single records are deleted after so long: more than a month, so that its bill "
		  "can be checked. The hourly sums stay." },
	{ "ledger", "answer_wait_ms", NUMBER(ledger_answer_wait_ms, 1, HOUR_S * 1000),
	  .initial = "5000", .unit = "ms",
	  .help = "An invocation whose record cannot be written for so long is answered with an "
		  "error, and recorded later." },
	{ "ledger", "price_request_pico", NUMBER(ledger_price_request_pico, 0, PICO),
	  .initial = "0", .unit = "10^-12 units of money",
	  .help = "What an invocation costs: 200000 is 0.20 per million." },
	{ "ledger", "price_gb_second_pico", NUMBER(ledger_price_gb_second_pico, 0, PICO),
	  .initial = "0", .unit = "10^-12 units of money",
	  .help = "What a billed second of 1,024 MB costs: 16666700 is 0.0000166667." },
	{ "ledger", "price_provisioned_run_gb_second_pico",
	  NUMBER(ledger_price_provisioned_run_gb_second_pico, 0, PICO), .initial = "0",
	  .unit = "10^-12 units of money",
	  .help = "The same in a provisioned place; Lambda's is 9722200. 0: the price above." },
	{ "ledger", "price_provisioned_gb_second_pico",
	  NUMBER(ledger_price_provisioned_gb_second_pico, 0, PICO), .initial = "0",
	  .unit = "10^-12 units of money",
	  .help = "What a second of 1,024 MB of provisioned concurrency costs, whether it is used "
		  "or not; Lambda's is 4166700." },
	{ "ledger", "price_storage_gb_second_pico",
	  NUMBER(ledger_price_storage_gb_second_pico, 0, PICO), .initial = "0",
	  .unit = "10^-12 units of money",
	  .help = "What a billed second of 1,024 MB of EphemeralStorage above 512 MB costs; "
		  "Lambda's is 30900." },
	{ "ledger", "price_stream_gb_pico", NUMBER(ledger_price_stream_gb_pico, 0, PICO),
	  .initial = "0", .unit = "10^-12 units of money",
	  .help = "What 2^30 bytes of streamed answers cost, above 6 MiB of each; Lambda's is "
		  "8000000000." },
	{ "ledger", "price_cache_gb_second_pico",
	  NUMBER(ledger_price_cache_gb_second_pico, 0, PICO), .initial = "0",
	  .unit = "10^-12 units of money",
	  .help = "What keeping the snapshot of a version of 1,024 MB with SnapStart costs a "
		  "second; Lambda's is 1504600." },
	{ "ledger", "price_restore_gb_pico", NUMBER(ledger_price_restore_gb_pico, 0, PICO),
	  .initial = "0", .unit = "10^-12 units of money",
	  .help = "What restoring such a snapshot for an invocation costs; Lambda's is "
		  "139799800." },

	{ "events", "sync", CHOICE(events_sync, syncs), .initial = "full",
	  .help = "What an event survives that was answered with 202: normal, the end of the agent "
		  "at any moment; full, also the loss of power." },
	{ "events", "max_running", NUMBER(events_max_running, 1, 10000), .initial = "64",
	  .help = "Events that are tried at once, of all tenants, which take turns." },
	{ "events", "max_waiting", NUMBER(events_max_waiting, 1, 10000000), .initial = "100000",
	  .help = "Events that have not ended; more are refused." },
	{ "events", "max_waiting_mb", NUMBER(events_max_waiting_mb, 1, 1048576), .initial = "1024",
	  .unit = "MiB",
	  .help = "The same, of what they carry. Outcomes that no destination has yet count, too; "
		  "while those alone take so much, no event is tried whose outcome somebody wants "
		  "to know." },
	{ "events", "waiting_percent_of_tenant", NUMBER(events_waiting_percent_of_tenant, 1, 100),
	  .initial = "50", .unit = "%",
	  .help = "Of both, what the events of one tenant may take. A tenant may have a limit of "
		  "its own for their number." },
	{ "events", "max_retries", NUMBER(events_max_retries, 0, 2), .initial = "2",
	  .help = "Further tries after a function error." },
	{ "events", "retry_first_ms", NUMBER(events_retry_first_ms, 1, DAY_S * 1000),
	  .initial = "60000", .unit = "ms",
	  .help = "The wait before the second try; before the third it is twice as long." },
	{ "events", "delay_first_ms", NUMBER(events_delay_first_ms, 1, DAY_S * 1000),
	  .initial = "1000", .unit = "ms",
	  .help = "The wait after a try that a limit or the node did not let run; it doubles each "
		  "time." },
	{ "events", "delay_max_ms", NUMBER(events_delay_max_ms, 1, DAY_S * 1000),
	  .initial = "300000", .unit = "ms", .help = "What that wait does not exceed." },
	{ "events", "max_age_s", NUMBER(events_max_age_s, 1, 21600), .initial = "21600",
	  .unit = "s", .help = "An event that has not ended after so long is dropped." },
	{ "events", "delivery_max_age_s", NUMBER(events_delivery_max_age_s, 1, 7 * DAY_S),
	  .initial = "21600", .unit = "s",
	  .help = "What no destination takes for so long after an event's end is given up. It is "
		  "tried after 1 s, each time after twice as long, up to 5 minutes." },
	{ "events", "queue_max_mb", NUMBER(events_queue_max_mb, 1, 1048576), .initial = "256",
	  .unit = "MiB", .help = "What the queues of one tenant may hold in all." },
	{ "events", "max_webhooks", NUMBER(events_max_webhooks, 1, 1000), .initial = "16",
	  .help = "Posts to webhooks at once." },
	{ "events", "webhook_timeout_ms", NUMBER(events_webhook_timeout_ms, 100, MINUTE_S * 1000),
	  .initial = "10000", .unit = "ms",
	  .help = "How long one may take; half of it until it is connected." },
	{ "events", "webhook_ca_file", PATH(events_webhook_ca_file), .initial = "",
	  .optional = true,
	  .help = "The authorities that vouch for webhooks, PEM. Empty: the system's." },
	{ "events", "webhook_allow_plain", FLAG(events_webhook_allow_plain), .initial = "no",
	  .help = "Allow webhooks without TLS, http://." },
	{ "events", "webhook_allow_private", FLAG(events_webhook_allow_private), .initial = "no",
	  .help = "Allow webhooks at addresses that are not of the public internet: this machine, "
		  "private networks, metadata services of clouds. Tenants choose the address, so "
		  "they reach with it what this node reaches." },

	{ "schedules", "max_per_tenant", NUMBER(schedules_max_per_tenant, 1, 1000000),
	  .initial = "10000", .help = "Schedules of a tenant; more are refused." },
	{ "schedules", "max_input_mb_per_tenant",
	  NUMBER(schedules_max_input_mb_per_tenant, 1, 1048576), .initial = "64", .unit = "MiB",
	  .help = "What the inputs of those may take in memory; more are refused. An input has up "
		  "to 256 KiB." },
};
/* clang-format on */

const struct config_row *config_rows(size_t *ret_count)
{
	*ret_count = ARRAY_SIZE(rows);
	return rows;
}

const struct config_row *config_find_row(const char *section, const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (strcmp(rows[i].section, section) == 0 && strcmp(rows[i].key, key) == 0)
			return &rows[i];
	return NULL;
}

static bool section_exists(const char *section)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (strcmp(rows[i].section, section) == 0)
			return true;
	return false;
}

/* -- one value -- */

static void *field_of(struct config *config, const struct config_row *row)
{
	return (char *)config + row->offset;
}

static int refuse(const struct config_row *row, const char *value, const char *rule,
		  struct error *error)
{
	char name[64];
	(void)snprintf(name, sizeof(name), "%s.%s", row->section, row->key);
	return error_set(error, ERROR_INVALID_PARAMETER, name, "%s must be %s, not '%.80s'", name,
			 rule, value);
}

static int set_number(struct config *config, const struct config_row *row, const char *value,
		      struct error *error)
{
	char rule[96];
	(void)snprintf(rule, sizeof(rule), "a whole number%s%s from %llu to %llu",
		       row->unit ? " of " : "", row->unit ? row->unit : "",
		       (unsigned long long)row->min, (unsigned long long)row->max);
	/* strtoull takes signs and blanks, which are no digits here. */
	size_t digits = strspn(value, "0123456789");
	if (digits == 0 || value[digits])
		return refuse(row, value, rule, error);
	errno = 0;
	unsigned long long number = strtoull(value, NULL, 10);
	if (errno || number < row->min || number > row->max)
		return refuse(row, value, rule, error);
	*(uint64_t *)field_of(config, row) = number;
	return 0;
}

static int set_flag(struct config *config, const struct config_row *row, const char *value,
		    struct error *error)
{
	static const char *const yes[] = { "yes", "true", "on", "1" };
	static const char *const no[] = { "no", "false", "off", "0" };
	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		if (strcmp(value, yes[i]) != 0 && strcmp(value, no[i]) != 0)
			continue;
		*(bool *)field_of(config, row) = strcmp(value, yes[i]) == 0;
		return 0;
	}
	return refuse(row, value, "yes or no", error);
}

static int set_choice(struct config *config, const struct config_row *row, const char *value,
		      struct error *error)
{
	char rule[96] = "one of";
	for (unsigned i = 0; row->choices[i]; i++) {
		if (strcmp(value, row->choices[i]) == 0) {
			*(unsigned *)field_of(config, row) = i;
			return 0;
		}
		size_t len = strlen(rule);
		(void)snprintf(rule + len, sizeof(rule) - len, " %s", row->choices[i]);
	}
	return refuse(row, value, rule, error);
}

static int set_text(struct config *config, const struct config_row *row, const char *value,
		    struct error *error)
{
	if (!*value && !row->optional)
		return refuse(row, value, "set", error);
	if (*value && row->kind == CONFIG_PATH && (*value != '/' || strlen(value) >= PATH_MAX))
		return refuse(row, value, "an absolute path", error);
	const char *rule = *value && row->rule ? row->rule(value) : NULL;
	if (rule)
		return refuse(row, value, rule, error);
	char *copy = strdup(value);
	if (!copy)
		return error_set_errno(error, ENOMEM, "cannot keep %s.%s", row->section, row->key);
	char **field = field_of(config, row);
	free(*field);
	*field = copy;
	return 0;
}

static int set_row(struct config *config, const struct config_row *row, const char *value,
		   struct error *error)
{
	switch (row->kind) {
	case CONFIG_NUMBER:
		return set_number(config, row, value, error);
	case CONFIG_FLAG:
		return set_flag(config, row, value, error);
	case CONFIG_CHOICE:
		return set_choice(config, row, value, error);
	case CONFIG_TEXT:
	case CONFIG_PATH:
		break;
	}
	return set_text(config, row, value, error);
}

int config_set(struct config *config, const char *section, const char *key, const char *value,
	       struct error *error)
{
	const struct config_row *row = config_find_row(section, key);
	if (row)
		return set_row(config, row, value, error);
	if (!section_exists(section))
		return error_set(error, ERROR_INVALID_PARAMETER, NULL,
				 "there is no section [%.40s]", section);
	return error_set(error, ERROR_INVALID_PARAMETER, NULL, "there is no key %.40s.%.40s",
			 section, key);
}

int config_set_assignment(struct config *config, const char *assignment, struct error *error)
{
	const char *dot = strchr(assignment, '.');
	const char *equals = strchr(assignment, '=');
	if (!dot || !equals || dot > equals)
		return error_set(error, ERROR_INVALID_PARAMETER, NULL,
				 "'%.80s' is not section.key=value", assignment);
	_cleanup_free_ char *section = strndup(assignment, (size_t)(dot - assignment));
	_cleanup_free_ char *key = strndup(dot + 1, (size_t)(equals - dot - 1));
	if (!section || !key)
		return error_set_errno(error, ENOMEM, "cannot read '%.80s'", assignment);
	return config_set(config, section, key, equals + 1, error);
}

/* -- all values -- */

int config_set_defaults(struct config *config)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int r = set_row(config, &rows[i], rows[i].initial, NULL);
		if (r < 0)
			return r;
	}
	return 0;
}

void config_clear(struct config *config)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].kind == CONFIG_TEXT || rows[i].kind == CONFIG_PATH)
			free(*(char **)field_of(config, &rows[i]));
	*config = CONFIG_INIT;
}

/* -- what must go together -- */

static int check_callers(const struct config *config, config_problem_fn *problem, void *arg)
{
	const struct {
		bool is_wrong;
		const char *text;
	} rules[] = {
		{ *config->api_listen_tls &&
			  (!*config->api_tls_certificate || !*config->api_tls_key),
		  "api.listen_tls needs api.tls_certificate and api.tls_key" },
		{ *config->api_tls_tenant_ca && !*config->auth_trust_domain,
		  "api.tls_tenant_ca needs auth.trust_domain" },
		{ *config->api_tls_crl && !*config->api_tls_client_ca &&
			  !*config->api_tls_tenant_ca,
		  "api.tls_crl needs api.tls_client_ca or api.tls_tenant_ca" },
		{ *config->auth_master_key_file && *config->auth_master_key_credential,
		  "auth.master_key_file and auth.master_key_credential exclude each other" },
	};
	int problems = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (rules[i].is_wrong) {
			problem("configuration", 0, rules[i].text, arg);
			problems++;
		}
	return problems;
}

int config_complete(struct config *config, config_problem_fn *problem, void *arg)
{
	int problems = 0;
	if (!*config->node_images_dir) {
		char *path = NULL;
		if (asprintf(&path, "%s/images", config->node_state_dir) < 0)
			return -ENOMEM;
		free(config->node_images_dir);
		config->node_images_dir = path;
	}
	if (config->logs_max_part_mb > config->logs_max_group_mb) {
		problem("configuration", 0, "logs.max_part_mb must not be over logs.max_group_mb",
			arg);
		problems++;
	}
	if (config->logs_max_group_mb > config->logs_max_tenant_mb) {
		problem("configuration", 0, "logs.max_group_mb must not be over logs.max_tenant_mb",
			arg);
		problems++;
	}
	problems += check_callers(config, problem, arg);
	if (config->vm_uid_count && config->vm_uid_count <= config->pool_max_sandboxes) {
		problem("configuration", 0, "vm.uid_count must be over pool.max_sandboxes, or 0",
			arg);
		problems++;
	}
	return problems;
}
