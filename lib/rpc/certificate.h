/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a client's certificate is worth here: of which authority it is, whether that took it back,
 * until when it holds. Core asks only whether it is of any authority, and only once, when a
 * connection is made; this is asked for every call. What was found out is remembered, so that
 * asking costs a digest. One thread at a time. */

#include "rpc/rpc_server.h"

struct certificates;

/* The authorities and revocation lists that `files` names; NULL in *ret when it names no authority.
 * `ret_pem` gets all authorities. Blocks. */
int certificates_load(const struct rpc_tls_files *files, struct certificates **ret,
		      struct buf *ret_pem, struct error *e) _must_use_;
struct certificates *certificates_free(struct certificates *certificates);
DEFINE_CLEANUP(struct certificates, certificates_free)

/* Fills peer->certificate. `chain` is what the client sent beside `leaf`, all of it PEM; `now_us`
 * is Unix time. */
void certificates_judge(struct certificates *certificates, struct slice leaf, struct slice chain,
			int64_t now_us, struct rpc_certificate *ret);
