/* SPDX-License-Identifier: Apache-2.0 */
// links: mayfly_vm

/* A libvirt daemon's domains belong to several agents: each ends its own. The driver is libvirt's
 * own for tests, which keeps its domains in memory. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/vm/host.h"

#define ID "0123456789abcdef0123456789abcdef"

static void start(struct vm_host *host, const char *name)
{
	char xml[512];
	virDomainPtr domain;

	(void)snprintf(xml, sizeof(xml),
		       "<domain type='test'><name>%s</name><memory>1024</memory>"
		       "<os><type>hvm</type></os></domain>",
		       name);
	domain = virDomainCreateXML(host->connection, xml, 0);
	assert_non_null(domain);
	(void)virDomainFree(domain);
}

static bool is_there(struct vm_host *host, const char *name)
{
	virDomainPtr domain = virDomainLookupByName(host->connection, name);

	if (domain)
		(void)virDomainFree(domain);
	return domain != NULL;
}

static void others_domains_are_left_alone(void **state _unused_)
{
	struct vm_host host = { .tag = "11111111" };
	struct vm_host other = { .tag = "22222222" };
	char mine[VM_NAME_BYTES], theirs[VM_NAME_BYTES];

	assert_int_equal(virInitialize(), 0);
	host.connection = virConnectOpen("test:///default");
	assert_non_null(host.connection);
	host_name_domain(&host, ID, mine);
	host_name_domain(&other, ID, theirs);
	assert_string_not_equal(mine, theirs);
	start(&host, mine);
	start(&host, theirs);
	start(&host, "mayfly-" ID);
	start(&host, "mayfly-website");
	leftovers_end_domains(&host);
	assert_false(is_there(&host, mine));
	assert_true(is_there(&host, theirs));
	assert_true(is_there(&host, "mayfly-" ID));
	assert_true(is_there(&host, "mayfly-website"));
	assert_true(is_there(&host, "test")); /* the driver's own */
	(void)virConnectClose(host.connection);
}

static void a_name_gives_its_id_back(void **state _unused_)
{
	struct vm_host host = { .tag = "11111111" };
	struct vm_host other = { .tag = "22222222" };
	char name[VM_NAME_BYTES];

	host_name_domain(&host, ID, name);
	assert_string_equal(host_find_domain_id(&host, name), ID);
	assert_null(host_find_domain_id(&other, name));
	assert_null(host_find_domain_id(&host, "mayfly-" ID));
	assert_null(host_find_domain_id(&host, ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(others_domains_are_left_alone),
		cmocka_unit_test(a_name_gives_its_id_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
