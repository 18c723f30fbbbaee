/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One clone under the self-test: the messages in their order, what came back, and when. Loop
 * thread; every function waits, turning the loop itself, and so is not for callbacks. */

#include <stdbool.h>

#include "agent/vm/template.h"
#include "agent/vm/vm.h"
#include "mayfly/buf.h"
#include "mayfly/id.h"

#define SELF_TEST_LIMIT_US (60 * 1000000LL)
#define SELF_TEST_SAMPLE   16

struct self_test_guest {
	struct loop *loop;
	struct vm *vm; /* NULL once it is gone */
	char id[HEX_ID_BYTES];
	char log_stream[64];
	char *gone_reason; /* owned */
	bool loaded;
	bool restored;
	bool initialized;
	bool answered;
	struct error failure; /* an outcome that was not good */
	uint8_t sample[SELF_TEST_SAMPLE];
	size_t sample_len;
	int64_t clock_error_us; /* guest's clock beside the host's, after the restore */
	struct buf reply;

	/* CLOCK_MONOTONIC */
	int64_t requested_us;
	int64_t spawned_us;
	int64_t loaded_us;
	int64_t restored_us;
	int64_t initialized_us;
	int64_t invoked_us;
	int64_t answered_us;
};

/* Turns the loop until *flag, at most `limit_us`. -ETIME beyond it. */
int self_test_wait(struct loop *loop, const bool *flag, int64_t limit_us) _must_use_;

/* Clones the template, restores its identity, entropy and clock. */
int self_test_guest_start(struct self_test_guest *guest, struct loop *loop, struct vm_host *host,
			  struct template *source, const char *package_path, unsigned memory_mb,
			  struct error *error) _must_use_;

/* INIT of the handler that is in the package. */
int self_test_guest_initialize(struct self_test_guest *guest, const char *runtime,
			       unsigned memory_mb, struct error *error) _must_use_;

/* One event; the answer is in guest->reply. */
int self_test_guest_invoke(struct self_test_guest *guest, const char *event,
			   struct error *error) _must_use_;

/* Ends it, and waits until nothing of it is left. */
int self_test_guest_end(struct self_test_guest *guest, struct error *error);

void self_test_guest_clear(struct self_test_guest *guest);
