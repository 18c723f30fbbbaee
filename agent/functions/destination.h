/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where the outcome of an asynchronous invocation goes, as it is written in a configuration (Lambda
 * API reference, OnSuccess and OnFailure). Pure; any thread. */

#include "agent/functions/function.h"

#define DESTINATION_MAX       1024 /* bytes */
#define DESTINATION_QUEUE_MAX 80   /* of a queue's name (Amazon SQS, "Message queues") */

enum destination_kind {
	DESTINATION_FUNCTION, /* arn:aws:lambda:REGION:TENANT:function:NAME[:QUALIFIER] */
	DESTINATION_QUEUE,    /* arn:aws:sqs:REGION:TENANT:NAME */
	DESTINATION_WEBHOOK,  /* https://HOST[:PORT][/PATH] or http:// */
};

struct destination {
	enum destination_kind kind;
	bool is_plain;                              /* of a webhook: without TLS */
	char name[DESTINATION_QUEUE_MAX + 1];       /* of a function or a queue */
	char qualifier[FUNCTION_QUALIFIER_MAX + 1]; /* of a function; "": $LATEST */
};

/* 0, or -EINVAL for what is none, or names another region or tenant. */
int destination_parse(const char *text, const char *region, const char *tenant,
		      struct destination *ret) _must_use_;

/* A function's dead letters go to a queue of its own tenant, or nowhere. */
int destination_check_dead_letters(const struct function_config *config, const char *region,
				   const char *tenant, struct error *error) _must_use_;

/* For logs: a webhook's path and query may have a token in them, so of a URL it is the scheme, host
 * and port; of what is no URL that a webhook may have "https://..." or "http://...". Anything else
 * as it is, cut at the end. */
#define DESTINATION_SHOWN_BYTES 280
void destination_show(const char *text, char out[DESTINATION_SHOWN_BYTES]);

/* 1 to 80 letters, digits, - and _. */
bool destination_queue_name_is_valid(const char *name);
/* The queue's name in NAME or in an ARN of this region and tenant. */
int destination_parse_queue(const char *text, const char *region, const char *tenant,
			    char ret[DESTINATION_QUEUE_MAX + 1]) _must_use_;
/* The caller frees; NULL when memory is short. */
char *destination_queue_arn(const char *region, const char *tenant, const char *name);
