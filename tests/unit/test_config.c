/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_config mayfly_base
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/config.h"

struct heard {
	unsigned count;
	unsigned line;
	char text[256];
};

static void hear(const char *name, unsigned line, const char *text, void *arg)
{
	struct heard *heard = arg;
	assert_non_null(name);
	if (heard->count++ == 0) {
		heard->line = line;
		(void)snprintf(heard->text, sizeof(heard->text), "%s", text);
	}
}

static int setup(void **state)
{
	static struct config config;
	config = CONFIG_INIT;
	*state = &config;
	return config_set_defaults(&config);
}

static int teardown(void **state)
{
	config_clear(*state);
	return 0;
}

static int parse(struct config *config, const char *text, struct heard *heard)
{
	*heard = (struct heard){ 0 };
	return config_parse(config, slice_from_string(text), "test.conf", hear, heard);
}

static void test_defaults_obey_their_own_rules(void **state)
{
	struct config *config = *state;
	assert_string_equal(config->node_state_dir, "/var/lib/mayfly");
	assert_string_equal(config->node_account_id, "123456789012");
	assert_int_equal(config->vm_accelerator, CONFIG_ACCELERATOR_AUTO);
	assert_true(config->pool_spares_on_deploy);

	struct heard heard = { 0 };
	assert_int_equal(config_complete(config, hear, &heard), 0);
	assert_string_equal(config->node_images_dir, "/var/lib/mayfly/images");
}

static void test_a_file_sets_keys(void **state)
{
	struct config *config = *state;
	struct heard heard;
	assert_int_equal(parse(config,
			       "# comment\n\n; another\r\n[pool]\n  spares =\t7 \r\n"
			       "keep_alive_s=5\n[ vm ]\naccelerator = tcg\ncpu_limits = off\n"
			       "[api]\nlisten_tcp = [::1]:0",
			       &heard),
			 0);
	assert_int_equal(config->pool_spares, 7);
	assert_int_equal(config->pool_keep_alive_s, 5);
	assert_int_equal(config->vm_accelerator, CONFIG_ACCELERATOR_TCG);
	assert_false(config->vm_cpu_limits);
	assert_string_equal(config->api_listen_tcp, "[::1]:0");
}

static void test_problems_name_line_and_rule(void **state)
{
	static const struct {
		const char *text;
		unsigned line;
		const char *message;
	} cases[] = {
		{ "spares = 1", 1, "a key must stand below a [section]" },
		{ "[pool\n", 1, "a section line must end with ']'" },
		{ "\n[swimming]\nspares = 1", 2, "there is no section [swimming]" },
		{ "[pool]\nspare = 1", 2, "there is no key pool.spare" },
		{ "[pool]\nhello", 2, "a line must be '[section]', 'key = value' or a comment" },
		{ "[pool]\nspares = 1\nspares = 2", 3,
		  "pool.spares is set twice (first in line 2)" },
		{ "[pool]\nspares = -1", 2,
		  "pool.spares must be a whole number from 0 to 1000, not '-1'" },
		{ "[pool]\nspares = 1001", 2,
		  "pool.spares must be a whole number from 0 to 1000, not '1001'" },
		{ "[pool]\nspares = 99999999999999999999999", 2,
		  "pool.spares must be a whole number from 0 to 1000, not "
		  "'99999999999999999999999'" },
		{ "[pool]\nkeep_alive_s = 1m", 2,
		  "pool.keep_alive_s must be a whole number of s from 1 to 604800, not '1m'" },
		{ "[pool]\nspares =", 2,
		  "pool.spares must be a whole number from 0 to 1000, not ''" },
		{ "[vm]\naccelerator = xen", 2,
		  "vm.accelerator must be one of auto kvm tcg, not 'xen'" },
		{ "[vm]\ncpu_limits = maybe", 2, "vm.cpu_limits must be yes or no, not 'maybe'" },
		{ "[node]\nstate_dir = var", 2,
		  "node.state_dir must be an absolute path, not 'var'" },
		{ "[node]\nstate_dir = /234567890123456789012345678901234567", 2,
		  "node.state_dir must be at most 36 bytes, because sockets lie below it, not "
		  "'/234567890123456789012345678901234567'" },
		{ "[node]\nstate_dir = /a:b", 2,
		  "node.state_dir must be a path without blanks, colons, commas, quotes and "
		  "backslashes, not '/a:b'" },
		{ "[node]\nstate_dir = /a b", 2,
		  "node.state_dir must be a path without blanks, colons, commas, quotes and "
		  "backslashes, not '/a b'" },
		{ "[node]\nstate_dir =", 2, "node.state_dir must be set, not ''" },
		{ "[node]\naccount_id = 12345678901", 2,
		  "node.account_id must be 12 digits, not '12345678901'" },
		{ "[api]\nlisten_tcp = 0.0.0.0:80", 2,
		  "api.listen_tcp must be a loopback address: 127.0.0.1:PORT, [::1]:PORT or "
		  "localhost:PORT, not '0.0.0.0:80'" },
		{ "[api]\nlisten_tcp = 127.0.0.1:65536", 2,
		  "api.listen_tcp must be a loopback address with a port of 0 to 65535, not "
		  "'127.0.0.1:65536'" },
		{ "[api]\nlisten_tls = example.com", 2,
		  "api.listen_tls must be HOST:PORT or [IPV6]:PORT, with a port of 0 to 65535, not "
		  "'example.com'" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct heard heard;
		assert_int_equal(parse(*state, cases[i].text, &heard), 1);
		assert_int_equal(heard.line, cases[i].line);
		assert_string_equal(heard.text, cases[i].message);
	}
}

static void test_every_problem_is_heard(void **state)
{
	struct config *config = *state;
	struct heard heard;
	assert_int_equal(
		parse(config, "[pool]\nspares = x\nmax_waiting = 5\nwarm_rounds = 0\n", &heard), 2);
	assert_int_equal(heard.count, 2);
	/* What is wrong changes nothing, what is right is taken. */
	assert_int_equal(config->pool_spares, 1);
	assert_int_equal(config->pool_max_waiting, 5);
	assert_int_equal(config->pool_warm_rounds, 3);
}

static void test_hostile_lines(void **state)
{
	struct heard heard = { 0 };
	assert_int_equal(config_parse(*state, slice_new("[pool]\0\n", 8), "t", hear, &heard), 1);
	assert_string_equal(heard.text, "the line has a NUL byte");

	_cleanup_buf_ struct buf line = BUF_INIT;
	for (unsigned i = 0; i <= CONFIG_MAX_LINE_BYTES; i++)
		assert_int_equal(buf_append_string(&line, "a"), 0);
	heard = (struct heard){ 0 };
	assert_int_equal(config_parse(*state, buf_slice(&line), "t", hear, &heard), 1);
	assert_string_equal(heard.text, "the line is longer than 4096 bytes");
}

static void test_assignments(void **state)
{
	struct config *config = *state;
	assert_int_equal(config_set_assignment(config, "vm.user=", NULL), 0);
	assert_string_equal(config->vm_user, "");
	assert_int_equal(config_set_assignment(config, "node.region=eu-central-1", NULL), 0);
	assert_string_equal(config->node_region, "eu-central-1");

	static const char *const bad[] = { "",         "=",       "pool",      "pool.spares",
					   "pool=1.5", "pool.=1", ".spares=1", "pool.spares=",
					   "a.b=c" };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_error_ struct error error = ERROR_INIT;
		assert_int_equal(config_set_assignment(config, bad[i], &error), -EINVAL);
		assert_int_equal(error.code, ERROR_INVALID_PARAMETER);
	}
}

static void test_rules_between_keys(void **state)
{
	struct config *config = *state;
	struct heard heard = { 0 };
	assert_int_equal(config_set_assignment(config, "logs.max_group_mb=4", NULL), 0);
	assert_int_equal(config_complete(config, hear, &heard), 1);
	assert_string_equal(heard.text, "logs.max_part_mb must not be over logs.max_group_mb");

	assert_int_equal(config_set_assignment(config, "logs.max_group_mb=4097", NULL), 0);
	heard = (struct heard){ 0 };
	assert_int_equal(config_complete(config, hear, &heard), 1);
	assert_string_equal(heard.text, "logs.max_group_mb must not be over logs.max_tenant_mb");

	assert_int_equal(config_set_assignment(config, "logs.max_group_mb=256", NULL), 0);
	assert_int_equal(config_set_assignment(config, "vm.uid_count=4096", NULL), 0);
	heard = (struct heard){ 0 };
	assert_int_equal(config_complete(config, hear, &heard), 1);
	assert_string_equal(heard.text, "vm.uid_count must be over pool.max_sandboxes, or 0");
	assert_int_equal(config_set_assignment(config, "vm.uid_count=0", NULL), 0);
	assert_int_equal(config_complete(config, hear, &heard), 0);

	assert_int_equal(config_set_assignment(config, "api.listen_tls=0.0.0.0:443", NULL), 0);
	heard = (struct heard){ 0 };
	assert_int_equal(config_complete(config, hear, &heard), 1);
	assert_string_equal(heard.text, "api.listen_tls needs api.tls_certificate and api.tls_key");
	assert_int_equal(config_set_assignment(config, "api.tls_certificate=/c", NULL), 0);
	assert_int_equal(config_set_assignment(config, "api.tls_key=/k", NULL), 0);
	assert_int_equal(config_complete(config, hear, &heard), 0);
}

static void test_callers_need_both_halves(void **state)
{
	static const struct {
		const char *assignment, *opposite, *text;
	} rows[] = {
		{ "api.tls_tenant_ca=/ca", "auth.trust_domain=mayfly.example",
		  "api.tls_tenant_ca needs auth.trust_domain" },
		{ "api.tls_crl=/crl", "api.tls_client_ca=/ca",
		  "api.tls_crl needs api.tls_client_ca or api.tls_tenant_ca" },
		{ "auth.master_key_file=/key", "auth.master_key_file=",
		  "auth.master_key_file and auth.master_key_credential exclude each other" },
	};
	struct config *config = *state;
	struct heard heard;

	assert_int_equal(config_set_assignment(config, "auth.master_key_credential=k", NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(config_set_assignment(config, "api.tls_tenant_ca=", NULL), 0);
		assert_int_equal(config_set_assignment(config, rows[i].assignment, NULL), 0);
		heard = (struct heard){ 0 };
		assert_int_equal(config_complete(config, hear, &heard), 1);
		assert_string_equal(heard.text, rows[i].text);
		assert_int_equal(config_set_assignment(config, rows[i].opposite, NULL), 0);
		assert_int_equal(config_complete(config, hear, &heard), 0);
	}
	assert_true(config_set_assignment(config, "auth.trust_domain=A/b", NULL) < 0);
	assert_true(config_set_assignment(config, "auth.master_key_credential=a/b", NULL) < 0);
}

static void test_addresses_for_tls(void **state)
{
	static const struct {
		const char *address;
		int result;
	} rows[] = {
		{ "0.0.0.0:443", 0 },          { "[::]:443", 0 },
		{ "[2001:db8::1]:0", 0 },      { "node-1.example.com:65535", 0 },
		{ "[::1:443", -EINVAL },       { "::1:443", -EINVAL },
		{ "::1]:443", -EINVAL },       { ":443", -EINVAL },
		{ "host", -EINVAL },           { "host:", -EINVAL },
		{ "host:65536", -EINVAL },     { "host:44a", -EINVAL },
		{ "unix:/path:443", -EINVAL }, { "a b:443", -EINVAL },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(config_set(*state, "api", "listen_tls", rows[i].address, NULL),
				 rows[i].result);
}

static void test_a_missing_file_is_a_problem(void **state)
{
	struct heard heard = { 0 };
	assert_int_equal(config_load(*state, "/nonexistent/mayflyd.conf", hear, &heard), 1);
	assert_int_equal(heard.line, 0);
}

/* The default file, with its marks of comment taken off, gives the defaults again. */
static void test_the_default_file_is_read_again(void **state)
{
	struct config *config = *state;
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	assert_non_null(out);
	config_print_default_file(out);
	assert_int_equal(fclose(out), 0);
	for (char *p = text; (p = strstr(p, "\n#"));) {
		p[1] = strncmp(p, "\n# ", 3) == 0 ? ';' : ' ';
		p++;
	}
	struct heard heard;
	assert_int_equal(parse(config, text + strcspn(text, "\n"), &heard), 0);
	assert_int_equal(config->pool_keep_alive_s, 600);

	assert_int_equal(parse(config, "[pool]\nkeep_alive_s = 1", &heard), 0);
	assert_int_equal(parse(config, text + strcspn(text, "\n"), &heard), 0);
	assert_int_equal(config->pool_keep_alive_s, 600);
}

static void test_the_manual_has_every_key(void **state)
{
	(void)state;
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	assert_non_null(out);
	config_print_manual(out);
	assert_int_equal(fclose(out), 0);

	size_t count;
	const struct config_row *rows = config_rows(&count);
	for (size_t i = 0; i < count; i++) {
		char key[96];
		(void)snprintf(key, sizeof(key), "| `%s` | ", rows[i].key);
		assert_non_null(strstr(text, key));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_defaults_obey_their_own_rules, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_file_sets_keys, setup, teardown),
		cmocka_unit_test_setup_teardown(test_problems_name_line_and_rule, setup, teardown),
		cmocka_unit_test_setup_teardown(test_every_problem_is_heard, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_assignments, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rules_between_keys, setup, teardown),
		cmocka_unit_test_setup_teardown(test_addresses_for_tls, setup, teardown),
		cmocka_unit_test_setup_teardown(test_callers_need_both_halves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_missing_file_is_a_problem, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_default_file_is_read_again, setup,
						teardown),
		cmocka_unit_test(test_the_manual_has_every_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
