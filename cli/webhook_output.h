/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Secrets of webhooks, for people and scripts. */

#include "cli/verb.h"

int webhook_secret_output(const struct context *context, const Mayfly__V1__WebhookSecret *secret);
