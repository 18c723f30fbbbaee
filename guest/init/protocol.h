/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Short names for the generated types of proto/mayfly/guest/v1/guest.proto. */

#include "mayfly/guest/v1/guest.pb-c.h"

typedef Mayfly__Guest__V1__HostMessage host_message;
typedef Mayfly__Guest__V1__GuestMessage guest_message;
typedef Mayfly__Guest__V1__Prepare prepare_message;
typedef Mayfly__Guest__V1__Restore restore_message;
typedef Mayfly__Guest__V1__Initialize initialize_message;
typedef Mayfly__Guest__V1__Invoke invoke_message;
typedef Mayfly__Guest__V1__Outcome outcome_message;
typedef Mayfly__Guest__V1__Status outcome_status;

#define GUEST_MESSAGE(field, case_name)                                                            \
	((guest_message){                                                                          \
		.base = PROTOBUF_C_MESSAGE_INIT(&mayfly__guest__v1__guest_message__descriptor),    \
		.kind_case = MAYFLY__GUEST__V1__GUEST_MESSAGE__KIND_##case_name,                   \
		field })

#define STATUS(name)     MAYFLY__GUEST__V1__STATUS__STATUS_##name
#define HOST_KIND(name)  MAYFLY__GUEST__V1__HOST_MESSAGE__KIND_##name
#define RUNTIME(name)    MAYFLY__GUEST__V1__RUNTIME_KIND__RUNTIME_KIND_##name
#define INIT_TYPE(name)  MAYFLY__GUEST__V1__INITIALIZATION_TYPE__INITIALIZATION_TYPE_##name
#define LOG_SOURCE(name) MAYFLY__GUEST__V1__LOG_SOURCE__LOG_SOURCE_##name
