/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Posts JSON to addresses that tenants name. What may be reached is the operator's decision: by
 * default https alone, with a certificate that is right for the name, at addresses of the public
 * internet, looked at where the connection is made, so that no name server leads elsewhere. No
 * redirects, no proxy, a bounded answer, bounded time. A thread of its own does it, from the first
 * post on. Calls and callbacks: loop thread. */

#include "agent/core/loop.h"
#include "agent/webhook/webhook_signature.h"
#include "mayfly/buf.h"
#include "mayfly/error.h"

struct webhooks;

struct webhooks_config {
	const char *ca_file; /* PEM, in the place of the system's; "": those */
	bool allow_plain;    /* http:// */
	bool allow_private;  /* addresses that are not of the public internet */
	unsigned timeout_ms; /* of one post as a whole; half of it for the connection */
};

int webhooks_new(const struct webhooks_config *config, struct loop *loop, struct webhooks **ret,
		 struct error *error) _must_use_;
/* When the loop has ended: posts under way are given up, without an answer. Copes with NULL. */
struct webhooks *webhooks_free(struct webhooks *webhooks);
DEFINE_CLEANUP(struct webhooks, webhooks_free)

enum webhook_result {
	WEBHOOK_TAKEN,   /* answered with 2xx */
	WEBHOOK_AGAIN,   /* 408, 425, 429, 5xx, no connection, no time: it may be better later */
	WEBHOOK_REFUSED, /* any other answer, or what must not be reached */
};

#define WEBHOOK_KEY_BYTES 32

/* What a post is signed with: each of them, the newest first. */
struct webhook_keys {
	size_t count;
	uint8_t bytes[WEBHOOK_KEYS_MAX][WEBHOOK_KEY_BYTES];
};

/* Embedded in the caller's own struct, which lives until `done`. */
struct webhook_post {
	const char *url; /* borrowed, as the next three */
	const char *id;  /* printable, no full stop; the same when the same is posted again */
	const char *condition;
	struct slice body;
	struct webhook_keys keys; /* overwritten once it is signed */
	/* Once, later. `why` is one sentence, borrowed. */
	void (*done)(struct webhook_post *post, enum webhook_result result, const char *why);
	struct webhook_transfer *transfer; /* the sender's, as what follows */
	struct webhook_post *next;
};

void webhooks_submit(struct webhooks *webhooks, struct webhook_post *post);
