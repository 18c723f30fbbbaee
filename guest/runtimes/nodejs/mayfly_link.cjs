// SPDX-License-Identifier: Apache-2.0
'use strict';

// The link to mayfly-init: frames over descriptor 3 (guest/init/shim.h has the layout).
// Reading blocks: between two events the function stands still, as a frozen one does.

const fs = require('fs');

const FD = 3;
const HEADER_BYTES = 8;
const READ_BYTES = 65536;
const CHUNK_BYTES = 512 * 1024;

const Kind = Object.freeze({
  START: 1, INVOKE: 2, PING: 3, RESEED: 4, BEFORE_SNAPSHOT: 5,
  HELLO: 16, READY: 17, INIT_ERROR: 18, PONG: 19, RESPONSE: 20, ERROR: 21,
  STREAM_START: 22, STREAM_CHUNK: 23, STREAM_END: 24, HOOKS_DONE: 25,
});

let buffer = Buffer.allocUnsafeSlow(READ_BYTES);

function readInto(target, offset) {
  for (;;) {
    try {
      const n = fs.readSync(FD, target, offset, target.length - offset, null);
      // init is gone or has ended this process's part.
      if (n === 0) process.reallyExit(0);
      return n;
    } catch (error) {
      if (error.code !== 'EINTR' && error.code !== 'EAGAIN') throw error;
    }
  }
}

// The next frame: kind, flags, meta (array of text fields), data (borrowed until the next).
function receive() {
  let target = buffer;
  let have = 0;
  while (have < HEADER_BYTES) have += readInto(target, have);
  const length = target.readUInt32LE(0);
  const kind = target[4];
  const flags = target[5];
  const metaBytes = target.readUInt16LE(6);
  const end = HEADER_BYTES + length;
  if (end > target.length) {
    target = Buffer.allocUnsafeSlow(end);
    buffer.copy(target, 0, 0, have);
  }
  while (have < end) have += readInto(target, have);
  const metaEnd = HEADER_BYTES + metaBytes;
  return {
    kind,
    flags,
    meta: target.toString('utf8', HEADER_BYTES, metaEnd).split('\0'),
    data: target.subarray(metaEnd, end),
  };
}

function writeAll(bytes) {
  let offset = 0;
  while (offset < bytes.length) {
    try {
      offset += fs.writeSync(FD, bytes, offset);
    } catch (error) {
      if (error.code !== 'EINTR' && error.code !== 'EAGAIN') throw error;
    }
  }
}

// Of an ERROR frame: the process ends after it.
const FLAG_LEAVING = 1;

// Sends one frame; `data` is text or bytes.
function send(kind, meta = '', data = '', flags = 0) {
  const metaBytes = Buffer.byteLength(meta);
  const dataBytes = typeof data === 'string' ? Buffer.byteLength(data) : data.length;
  const frame = Buffer.allocUnsafe(HEADER_BYTES + metaBytes + dataBytes);
  frame.writeUInt32LE(metaBytes + dataBytes, 0);
  frame[4] = kind;
  frame[5] = flags;
  frame.writeUInt16LE(metaBytes, 6);
  frame.write(meta, HEADER_BYTES);
  if (typeof data === 'string') frame.write(data, HEADER_BYTES + metaBytes);
  else frame.set(data, HEADER_BYTES + metaBytes);
  writeAll(frame);
}

function sendChunks(data) {
  for (let offset = 0; offset < data.length; offset += CHUNK_BYTES) {
    send(Kind.STREAM_CHUNK, '', data.subarray(offset, offset + CHUNK_BYTES));
  }
}

module.exports = { Kind, FLAG_LEAVING, receive, send, sendChunks };
