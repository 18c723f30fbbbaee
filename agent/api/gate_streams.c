/* SPDX-License-Identifier: Apache-2.0 */

/* Streams that are open: who opened one may not be let in any more, by a key or a certificate that
 * was taken back or has expired, or by a tenant that was suspended. Then it is cut. */

#include "agent/api/gate_internal.h"
#include "mayfly/clock.h"
#include "mayfly/log.h"

/* The system's clock may be set meanwhile. */
#define LOOK_AGAIN_US (60 * USEC_PER_SEC)

static bool is_suspended(const struct gate *gate, const struct gate_call *known)
{
	const struct tenant *tenant = known->principal.kind == PRINCIPAL_USER
					      ? tenants_find(gate->tenants, known->principal.tenant)
					      : NULL;

	return tenant && tenant->state == TENANT_SUSPENDED;
}

static bool is_same(const struct principal *a, const struct principal *b)
{
	return a->kind == b->kind && a->role == b->role && strcmp(a->name, b->name) == 0 &&
	       strcmp(a->tenant, b->tenant) == 0;
}

static int refuse_credential(const struct gate_call *known, struct error *e)
{
	return error_set(e, ERROR_UNAUTHENTICATED, NULL,
			 "The %s that opened this stream is not valid any more: it was deleted or "
			 "taken out of use, or has expired.",
			 known->principal.key_id[0] ? "access key" : "certificate");
}

/* As if it were asked for now; but a tenant whose suspension it saw begin is left alone. */
static int check(const struct gate *gate, struct gate_call *known, struct error *e)
{
	struct gate_call now = *known;
	ProtobufCMessage *request = rpc_call_request(known->stream);
	char tenant[TENANT_ID_BYTES];
	int r;

	rpc_call_refresh_peer(known->stream);
	r = gate_find_caller(gate, known->stream, &now.principal, e);
	if (r < 0)
		return r;
	if (!is_same(&now.principal, &known->principal))
		return refuse_credential(known, e);
	r = gate_decide(gate, &now, request, tenant, e);
	if (r == 0 && tenant[0])
		r = tenants_check(gate->tenants, tenant, known->row->effect,
				  known->principal.kind == PRINCIPAL_OPERATOR, e);
	if (r < 0 || known->was_suspended || !is_suspended(gate, known))
		return r;
	/* Suspended now: as of a change, though reading may be asked for anew. */
	return tenants_check(gate->tenants, known->principal.tenant, ACCESS_CHANGE, false, e);
}

static void look(void *arg)
{
	gate_look_again(arg);
}

/* For the one that expires first. */
static void arm(struct gate *gate)
{
	int64_t now_us = clock_realtime_us(), first_us = INT64_MAX, wait_us;
	const struct gate_call *known;

	LIST_FOREACH (known, &gate->streams, link)
		if (known->principal.expires_us && known->principal.expires_us < first_us)
			first_us = known->principal.expires_us;
	if (first_us == INT64_MAX || !gate->loop) {
		timer_disarm(&gate->expiry);
		return;
	}
	wait_us = first_us > now_us ? first_us - now_us : 0;
	if (wait_us > LOOK_AGAIN_US)
		wait_us = LOOK_AGAIN_US;
	if (timer_arm(&gate->expiry, gate->loop, clock_monotonic_us() + wait_us, look, gate) < 0)
		log_error("streams whose access key expires are not ended");
}

void gate_look_again(struct gate *gate)
{
	struct gate_call *known, *next;

	for (known = LIST_FIRST(&gate->streams); known; known = next) {
		_cleanup_error_ struct error e = ERROR_INIT;

		next = LIST_NEXT(known, link);
		if (check(gate, known, &e) < 0)
			rpc_call_cut(known->stream, &e); /* which leaves the list */
	}
	arm(gate);
}

int gate_check_stream(const struct gate *gate, struct rpc_call *call, struct error *e)
{
	const struct gate_call *known = rpc_call_context(call), *other;
	struct access_streams open = { 0 };

	if (!rpc_call_is_stream(call) || known->row->streams == 0)
		return 0;
	LIST_FOREACH (other, &gate->streams, link) {
		bool is_user = other->principal.kind == PRINCIPAL_USER;

		if (other->row != known->row)
			continue;
		open.all++;
		open.of_users += is_user;
		open.of_tenant +=
			is_user && strcmp(other->principal.tenant, known->principal.tenant) == 0;
	}
	return access_check_streams(known->row, &known->principal, &open, e);
}

void gate_follow_stream(struct gate *gate, struct rpc_call *call)
{
	struct gate_call *known = rpc_call_context(call);

	if (!rpc_call_is_stream(call) || known->row->scope == ACCESS_PUBLIC)
		return;
	known->stream = call;
	known->was_suspended = is_suspended(gate, known);
	LIST_INSERT_HEAD(&gate->streams, known, link);
	if (known->principal.expires_us)
		arm(gate);
}

void gate_leave_stream(struct gate_call *known)
{
	if (!known->stream)
		return;
	known->stream = NULL;
	LIST_REMOVE(known, link);
}

void gate_stop(struct gate *gate)
{
	timer_disarm(&gate->expiry);
	failures_end(&gate->failures);
	gate_forget_rates(gate);
}
