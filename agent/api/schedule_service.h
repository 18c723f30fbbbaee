/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mayfly.v1.SchedulerService: functions that are invoked at set times. Loop thread. */

#include "agent/api/api_context.h"
#include "agent/schedules/schedules.h"
#include "rpc/rpc_server.h"

struct schedule_service;

/* Borrows all until it is freed, which is after the server's shutdown. */
int schedule_service_register(struct rpc_server *server, struct schedules *schedules,
			      const struct api_context *context, struct schedule_service **ret,
			      struct error *error) _must_use_;
struct schedule_service *schedule_service_free(struct schedule_service *service);
DEFINE_CLEANUP(struct schedule_service, schedule_service_free)
