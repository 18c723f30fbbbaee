/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* End-tenants: the tenants that a function itself has (Lambda's guide, "Tenant isolation"; the
 * X-Amz-Tenant-Id of Invoke). A function created with TenantIsolationMode PER_TENANT is invoked in
 * the name of one of them each time, and a sandbox of it serves one of them in all its life. They
 * are nothing to Mayfly but their ids: not to be confused with the tenant whose function it is.
 * Pure; any thread. */

#include "agent/functions/function.h"

#define END_TENANT_MAX 256

/* Whether the id ("" or NULL: none) is right for a function of this configuration: Lambda's rules,
 * in its words where they are known (docs/tenants.md). */
int end_tenant_check(const char *id, const struct function_config *config,
		     struct error *error) _must_use_;
