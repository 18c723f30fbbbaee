/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One POST, by libcurl. Private to this room; the thread's. */

#include <curl/curl.h>
#include <sys/queue.h>

#include "agent/webhook/webhook.h"

#define WEBHOOK_WHY_BYTES (CURL_ERROR_SIZE + 64)

struct webhook_transfer {
	LIST_ENTRY(webhook_transfer) link;
	struct webhooks *webhooks;
	struct webhook_post *post; /* borrowed from the loop until the answer */
	bool allow_private;
	CURL *easy; /* owned, as the next */
	struct curl_slist *headers;
	size_t header_bytes, answer_bytes;
	bool is_forbidden; /* an address was refused */
	bool is_allowed;   /* another was not */
	enum webhook_result result;
	char why[WEBHOOK_WHY_BYTES];
	char detail[CURL_ERROR_SIZE]; /* libcurl's words */
};

/* Its post is set. 0 or -ENOMEM. */
int webhook_transfer_prepare(struct webhook_transfer *transfer,
			     const struct webhooks_config *config) _must_use_;
/* Sets result and why. */
void webhook_transfer_judge(struct webhook_transfer *transfer, CURLcode code);
/* Not in a multi handle any more. Keeps result and why. */
void webhook_transfer_end(struct webhook_transfer *transfer);
