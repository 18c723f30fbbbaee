/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/webhook_service.h"

#include <string.h>

#include "mayfly/clock.h"
#include "mayfly/v1/webhook.pb-c.h"

#define GIVEN MAYFLY__V1__ROTATE_WEBHOOK_SECRET_REQUEST___OVERLAP_S_OVERLAP_S

static void reply(struct rpc_call *call, const struct webhook_secrets *secrets, const char *tenant,
		  const char *url)
{
	Mayfly__V1__WebhookSecret message = MAYFLY__V1__WEBHOOK_SECRET__INIT;
	char text[WEBHOOK_SECRET_TEXT_BYTES];

	webhook_secret_print(&secrets->current, text);
	message.tenant = (char *)(uintptr_t)tenant;
	message.url = (char *)(uintptr_t)url;
	message.secret = text;
	message.rotated_at_us = secrets->rotated_us;
	message.previous_until_us = secrets->previous_until_us;
	rpc_call_reply(call, &message.base);
	explicit_bzero(text, sizeof(text));
}

static void answer(const struct webhook_secrets *secrets, const char *tenant, const char *url,
		   const struct error *error, void *arg)
{
	if (error)
		rpc_call_fail(arg, error);
	else
		reply(arg, secrets, tenant, url);
}

/* -- methods: the gate has put the tenant into each request -- */

static void on_get(struct rpc_call *call, const ProtobufCMessage *message, void *tenants)
{
	const Mayfly__V1__GetWebhookSecretRequest *from =
		(const Mayfly__V1__GetWebhookSecretRequest *)message;
	_cleanup_error_ struct error error = ERROR_INIT;
	struct webhook_secrets secrets;
	int r;

	if (webhook_secrets_check_url(from->url, &error) < 0) {
		rpc_call_fail(call, &error);
		return;
	}
	r = webhook_secrets_find(tenants, from->tenant, from->url, clock_realtime_us(), &secrets);
	if (r < 0) {
		(void)error_set_errno(&error, r, "Cannot find the secret");
		rpc_call_fail(call, &error);
		return;
	}
	reply(call, &secrets, from->tenant, from->url);
	explicit_bzero(&secrets, sizeof(secrets));
}

static void on_rotate(struct rpc_call *call, const ProtobufCMessage *message, void *tenants)
{
	const Mayfly__V1__RotateWebhookSecretRequest *from =
		(const Mayfly__V1__RotateWebhookSecretRequest *)message;
	int64_t overlap_us = WEBHOOK_OVERLAP_DEFAULT_US;

	if (from->_overlap_s_case == GIVEN)
		overlap_us = from->overlap_s > (uint64_t)(WEBHOOK_OVERLAP_MAX_US / USEC_PER_SEC)
				     ? INT64_MAX
				     : (int64_t)from->overlap_s * USEC_PER_SEC;
	webhook_secrets_rotate(tenants, from->tenant, from->url, overlap_us, answer, call);
}

static const struct rpc_method_handler handlers[] = {
	{ "GetSecret", on_get },
	{ "RotateSecret", on_rotate },
	{ NULL, NULL },
};

int webhook_service_register(struct rpc_server *server, struct tenants *tenants,
			     struct error *error)
{
	return rpc_server_add_service(server, &mayfly__v1__webhook_service__descriptor, handlers,
				      tenants, error);
}
