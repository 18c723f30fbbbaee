/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Authorities and revocation lists as they are read from files. Any thread; blocks. */

#include <openssl/x509.h>

#include "rpc/rpc_server.h"

struct certificate_files {
	X509_STORE *stores[RPC_TLS_AUTHORITIES]; /* owned; NULL: there is no such authority */
	STACK_OF(X509_CRL) * crls;               /* owned; NULL: none */
};

/* `ret_pem` gets the certificates of all authorities. Cleared by the caller in any case. */
int certificate_files_load(const struct rpc_tls_files *files, struct certificate_files *ret,
			   struct buf *ret_pem, struct error *e) _must_use_;
void certificate_files_clear(struct certificate_files *files);

/* All certificates of a PEM text, in order; what is none ends it. The caller's; may be empty or
 * NULL. */
STACK_OF(X509) * certificate_parse(struct slice pem);
