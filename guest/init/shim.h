/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The link to a managed runtime's shim: a stream socket that is descriptor 3 of the runtime
 * process. Frames both ways:
 *
 *   u32 length of what follows the header (little-endian)
 *   u8 type, u8 flags, u16 length of the meta part (little-endian)
 *   meta: text fields separated by NUL;  then data
 *
 * An HTTP request per event costs a Python under emulation more than the handler itself; here an
 * event is one write and one read. */

#include "event.h"
#include "mayfly/buf.h"
#include "runtime.h"

#define SHIM_HEADER_BYTES       8
#define SHIM_FRAME_BYTES        (8U << 20) /* most that is kept of one frame */

#define SHIM_FLAG_RESTORE_HOOKS 1U /* of SHIM_RESEED */
#define SHIM_FLAG_LEAVING       1U /* of SHIM_ERROR */

enum shim_type {
	/* init to shim */
	SHIM_START = 1,  /* meta: handler, log group, stream, format, level, and the names in
			  * /var/task with "/" between, or nothing when a disk was mounted there;
			  * data: KEY=VALUE entries separated by NUL, or nothing when the process
			  * has its environment */
	SHIM_INVOKE = 2, /* meta: id, arn, deadline ms, trace, client context, cognito
			  * identity, tenant, content type; data: the event */
	SHIM_PING = 3,   /* data: an event */
	SHIM_RESEED = 4, /* data: fresh random bytes; flags 1: run the restore hooks */
	SHIM_BEFORE_SNAPSHOT = 5,
	SHIM_COMPILE = 6,  /* meta: paths of sources below /var/task */
	SHIM_BYTECODE = 7, /* meta: path of a source; data: what SHIM_COMPILED had; before
			    * SHIM_START */
	/* shim to init */
	SHIM_HELLO = 16,      /* meta: version of the language */
	SHIM_READY = 17,      /* the function is loaded */
	SHIM_INIT_ERROR = 18, /* meta: type; data: JSON */
	SHIM_PONG = 19,
	SHIM_RESPONSE = 20,     /* meta: content type; data: all of it */
	SHIM_ERROR = 21,        /* meta: type; data: JSON; before or within a stream; flags 1: the
				 * process ends after it */
	SHIM_STREAM_START = 22, /* meta: content type */
	SHIM_STREAM_CHUNK = 23,
	SHIM_STREAM_END = 24,
	SHIM_HOOKS_DONE = 25, /* meta: type, empty if all went well; data: JSON */
	SHIM_COMPILED = 26, /* meta: path of a source; data: its bytecode; without meta: no more */
};

struct shim_frame {
	uint8_t type;
	uint8_t flags;
	struct slice meta;
	struct slice data;
	size_t length; /* of meta and data, as the header said */
	size_t consumed;
};

struct shim {
	struct event_loop *loop;
	struct event_source source;
	const struct runtime_listener *listener;
	void *user;
	struct buf in;
	struct buf out;
	size_t out_offset;
	size_t skip; /* bytes of an oversized response still to be thrown away */
	bool paused;
};

/* 1: a whole frame; 0: more bytes are needed; -EBADMSG: no frame; -EMSGSIZE: a well-formed
 * header of a frame over SHIM_FRAME_BYTES, then `type` and `length` are set. */
int shim_parse(struct slice in, struct shim_frame *ret) _must_use_;

/* Takes the descriptor over. Owner's events follow from the loop. */
int shim_open(struct shim *shim, struct event_loop *loop, int fd,
	      const struct runtime_listener *listener, void *user) _must_use_;
void shim_close(struct shim *shim);
static inline bool shim_is_open(const struct shim *shim)
{
	return shim->source.fd >= 0;
}

int shim_send(struct shim *shim, enum shim_type type, uint8_t flags, struct slice meta,
	      struct slice data) _must_use_;
int shim_send_event(struct shim *shim, const struct runtime_event *event) _must_use_;

/* Takes bytes as if the shim had sent them. */
void shim_feed(struct shim *shim, struct slice bytes);

/* Handles what the shim has written so far; called before its end is judged. */
void shim_drain(struct shim *shim);

/* Holds a streaming runtime back while the agent is slow. */
void shim_pause(struct shim *shim, bool pause);
