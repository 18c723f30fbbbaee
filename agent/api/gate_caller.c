/* SPDX-License-Identifier: Apache-2.0 */

/* Who calls: by an access key, by a certificate, by where they come from. */

#include <stdio.h>

#include "agent/api/gate_internal.h"
#include "agent/auth/spiffe.h"
#include "agent/tenants/keys.h"
#include "mayfly/clock.h"

static void take_operator(const char *name, struct principal *ret)
{
	ret->kind = PRINCIPAL_OPERATOR;
	(void)snprintf(ret->name, sizeof(ret->name), "%s", name);
	for (char *p = ret->name; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?'; /* it is shown, and may be anything */
}

/* A certificate of the operators' authority that calls itself a tenant's user was signed by the
 * wrong one: it is nobody's. */
static void take_certificate(const struct gate *gate, const struct rpc_peer *peer,
			     struct principal *ret)
{
	const struct rpc_certificate *certificate = &peer->certificate;
	struct principal user;

	if (certificate->authority == GATE_OPERATORS && !spiffe_is_user(certificate->uri) &&
	    certificate->uris <= 1)
		take_operator(peer->common_name, ret);
	if (certificate->authority == GATE_TENANTS && certificate->uris == 1 &&
	    spiffe_parse(certificate->uri, gate->trust_domain, &user) == 0 &&
	    tenants_find(gate->tenants, user.tenant))
		*ret = user;
}

static void take_peer(const struct gate *gate, const struct rpc_peer *peer, struct principal *ret)
{
	char name[32];

	if (peer->kind == RPC_PEER_UNIX) {
		(void)snprintf(name, sizeof(name), "uid %u", (unsigned)peer->uid);
		take_operator(name, ret);
	} else if (peer->kind == RPC_PEER_TLS && peer->certificate.is_shown) {
		take_certificate(gate, peer, ret);
	} else if (peer->kind == RPC_PEER_TCP && gate->tcp_is_operator) {
		take_operator("loopback", ret);
	}
}

int gate_find_caller(const struct gate *gate, const struct rpc_call *call, struct principal *ret,
		     struct error *e)
{
	struct slice authorization = rpc_call_metadata(call, "authorization");
	const struct rpc_peer peer = rpc_call_peer(call);
	const struct rpc_certificate *certificate = &peer.certificate;

	*ret = (struct principal){ .kind = PRINCIPAL_NOBODY };
	if (certificate->is_shown && certificate->refusal[0])
		return error_set(e, ERROR_UNAUTHENTICATED, NULL,
				 "The client certificate is refused: %s.", certificate->refusal);
	if (!authorization.data)
		take_peer(gate, &peer, ret);
	else if (keys_authenticate(gate->tenants, authorization, clock_realtime_us(), ret) < 0)
		ret->kind = PRINCIPAL_NOBODY;
	if (certificate->is_shown && certificate->expires_us != INT64_MAX &&
	    (!ret->expires_us || certificate->expires_us < ret->expires_us))
		ret->expires_us = certificate->expires_us;
	return 0;
}
