/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The guest as the agent knows it: one task at a time, one runtime process. guest.c takes the
 * agent's messages, runtime_process.c starts and ends the runtime, invocation.c carries an event
 * in and a response out, tasks.c ends what was asked for. */

#include "channel.h"
#include "environment.h"
#include "event.h"
#include "logs.h"
#include "memory_watch.h"
#include "outcome.h"
#include "package.h"
#include "runtime_api.h"
#include "shim.h"

#define GUEST_ID_BYTES      64
#define GUEST_CHUNK_BYTES   (256U << 10)
#define GUEST_PAYLOAD_BYTES (8U << 20)
#define GUEST_STREAM_BYTES  (200ULL << 20) /* the most a streaming response may have */
#define GUEST_PREPARE_US    (120 * USEC_PER_SEC)
#define GUEST_HOOKS_US      (10 * USEC_PER_SEC)
#define GUEST_COMPILE_US    (10 * USEC_PER_SEC)
#define GUEST_COMPILE_FILES 64U
#define GUEST_COMPILE_BYTES (512U << 10) /* all bytecode: an answer is one frame */

/* What the agent asked for and has no answer to yet. */
enum guest_task {
	TASK_NONE,
	TASK_PREPARE,
	TASK_RESTORE,
	TASK_COMPILE,
	TASK_INITIALIZE,
	TASK_WARM,
	TASK_INVOKE,
	TASK_SNAPSHOT,
	TASK_SHUTDOWN,
};

enum runtime_state {
	RUNTIME_NONE,          /* no process, or one that is to be killed */
	RUNTIME_STARTING,      /* a shim that has not said hello */
	RUNTIME_IDLE,          /* a shim without a function */
	RUNTIME_LOADING,       /* INIT runs */
	RUNTIME_AWAIT_RESTORE, /* INIT done, waits for restore/next */
	RUNTIME_READY,         /* waits for an event */
	RUNTIME_BUSY,
};

/* The runtime's first start, in Prepare: outside of the function's cgroup, so that the pages of the
 * language's own files are charged to init for ever. Were they the function's, they would be all
 * there is to reclaim at its limit, and would be read again at once: instead of the out-of-memory
 * killer there would be a crawl until the timeout. */
enum prime_state { PRIME_NONE, PRIME_RUNS, PRIME_DONE };

enum response_state { RESPONSE_NONE, RESPONSE_STARTED, RESPONSE_ENDED };

/* What Compile has made so far. */
struct compiled {
	Mayfly__Guest__V1__Bytecode files[GUEST_COMPILE_FILES]; /* owned */
	size_t count;
	size_t bytes;
};

struct guest_invocation {
	char request_id[GUEST_ID_BYTES];
	invoke_message *message; /* owned copy, when the event could not be delivered at once */
	struct buf payload;
	bool payload_complete;
	int64_t started_us;
	int64_t deadline_ms; /* epoch */
	unsigned timeout_ms;
	int64_t init_us; /* of an INIT inside this invocation */
	enum response_state response;
	bool stream_failed;
	uint64_t response_bytes;
	struct outcome outcome;
};

struct guest {
	struct event_loop loop;
	struct channel channel;
	struct logs logs;
	struct shim shim;
	struct runtime_api api;
	struct event_source signals;
	struct event_timer deadline;
	enum guest_task task;
	enum runtime_state runtime;
	enum prime_state prime;
	struct memory_watch memory;
	uint64_t language_bytes; /* of the language's files, which are charged to init */
	bool starved;            /* this runtime process was killed by the watch over its memory */
	int runtime_kind;
	pid_t pid;            /* of the runtime, 0: none */
	bool kill_wanted;     /* before the next sleep: not from within its own frames */
	bool shim_spoke;      /* this process is a shim, not an HTTP client */
	uint64_t oom_kills;   /* when the runtime started */
	uint32_t warm_rounds; /* that Prepare asked for */
	uint32_t pings_left;
	char runtime_version[GUEST_ID_BYTES];
	uint32_t scratch_mb; /* of the disk that was mounted before the snapshot, 0: none */
	uint32_t limit_mb;   /* that the function's cgroup has, 0: none yet */
	bool placed;         /* the package's files are there, without its disk */
	bool has_libraries;  /* its layers bring some (package_has_layer_libraries()) */
	char entries[PACKAGE_ENTRIES_BYTES]; /* their names on the first level, "/" between */
	struct compiled compiled;
	initialize_message *function; /* owned copy without the package; NULL: none yet */
	struct environment environment;
	int64_t init_started_us;
	struct guest_invocation invocation;
};

/* Takes the agent's port over. */
int guest_open(struct guest *guest, int port_fd) _must_use_;
int guest_run(struct guest *guest) _must_use_;
int guest_send_booted(struct guest *guest) _must_use_;

/* Says why and stops the loop. */
void guest_fail(struct guest *guest, const char *format, ...) _printf_(2, 3);

/* A small package, as a message has it. */
struct guest_files {
	Mayfly__Guest__V1__PackageFile *const *files; /* on /var/task */
	size_t count;
	Mayfly__Guest__V1__PackageFile *const *layer_files; /* on /opt */
	size_t layer_count;
};
int guest_place(struct guest *guest, const struct guest_files *files,
		char failure[BOOT_FAILURE_SIZE]) _must_use_;

/* Whether the function needs what a runtime that runs already cannot take on. */
bool guest_needs_restart(const struct guest *guest, const initialize_message *message);

/* ---- runtime_process.c ---- */

/* Starts what the kind wants, with `environment`. On failure *outcome says why in Lambda's
 * words. */
int runtime_process_start(struct guest *guest, const struct environment *environment,
			  struct outcome *outcome) _must_use_;
void runtime_process_kill(struct guest *guest);
/* The most that the function has had, the language's own files among it. */
uint64_t runtime_process_memory_peak(const struct guest *guest);
/* The same before the next sleep; until then the runtime counts as gone. */
void runtime_process_kill_later(struct guest *guest);
/* SIGCHLD. */
void runtime_process_reap(struct guest *guest);

/* ---- compile.c ---- */

/* Places the files and has the runtime compile the sources; ends the task by itself. */
void compile_begin(struct guest *guest, const Mayfly__Guest__V1__Compile *message);
void compile_add(struct guest *guest, struct slice path, struct slice bytecode);
/* Sends what was made, and forgets it. */
void compile_finish(struct guest *guest, struct outcome *outcome);
/* Gives the runtime what Initialize brought; what cannot be given is compiled at INIT. */
void compile_deliver(struct guest *guest, const initialize_message *message);

/* ---- invocation.c ---- */

void invocation_begin(struct guest *guest, const invoke_message *message);
void invocation_add_payload(struct guest *guest, const Mayfly__Guest__V1__PayloadChunk *chunk);
/* The runtime is ready and the event complete: goes in. */
void invocation_deliver(struct guest *guest);
/* Ends it; `outcome` is borrowed. */
void invocation_finish(struct guest *guest, struct outcome *outcome);
void invocation_response_start(struct guest *guest, struct slice content_type, bool streaming);
void invocation_response_data(struct guest *guest, struct slice data);
void invocation_release_pressure(struct guest *guest);

/* ---- tasks.c: the listener's side ---- */

extern const struct runtime_listener guest_shim_listener;
extern const struct runtime_listener guest_api_listener;

/* Runs INIT for the function, by the runtime that waits or a new one. */
void tasks_begin_init(struct guest *guest);
void tasks_start_pings(struct guest *guest, uint32_t rounds);
/* Ends the current task with this outcome, whichever it is. */
void tasks_finish(struct guest *guest, struct outcome *outcome);
void tasks_finish_ok(struct guest *guest);
void tasks_on_deadline(void *user);
/* The runtime process has ended. */
void tasks_on_exit(struct guest *guest, int wait_status);
