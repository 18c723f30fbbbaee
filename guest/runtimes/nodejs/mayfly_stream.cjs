// SPDX-License-Identifier: Apache-2.0
'use strict';

// Response streaming: the stream that a handler writes to, and awslambda's part of it.

const { Writable } = require('stream');
const link = require('./mayfly_link.cjs');
const { fault } = require('./mayfly_errors.cjs');

const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
const HIGH_WATER_MARK = Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark');
const HTTP_TYPE = 'application/vnd.awslambda.http-integration-response';
const PRELUDE_END = Buffer.alloc(8);

class ResponseStream extends Writable {
  #contentType = '';
  #started = false;
  #prelude = null;

  constructor(highWaterMark) {
    super({ highWaterMark: highWaterMark ?? 65536 });
  }

  get started() {
    return this.#started;
  }

  setContentType(type) {
    if (this.#started) {
      throw fault('Runtime.InvalidStreamingOperation', 'Cannot set content-type, too late.');
    }
    this.#contentType = String(type);
  }

  setPrelude(prelude) {
    this.setContentType(HTTP_TYPE);
    this.#prelude = Buffer.from(JSON.stringify(prelude));
  }

  #start() {
    if (this.#started) return;
    this.#started = true;
    link.send(link.Kind.STREAM_START, this.#contentType);
    if (this.#prelude) link.sendChunks(Buffer.concat([this.#prelude, PRELUDE_END]));
  }

  _write(chunk, encoding, callback) {
    try {
      this.#start();
      link.sendChunks(chunk);
      // The loop gets its turn between chunks.
      setImmediate(callback);
    } catch (error) {
      callback(error);
    }
  }

  _final(callback) {
    this.#start();
    callback();
  }
}

// Objects go out as JSON, as a handler's return value does.
const write = ResponseStream.prototype.write;
ResponseStream.prototype.write = function writeAny(chunk, ...rest) {
  const plain = typeof chunk === 'string' || ArrayBuffer.isView(chunk);
  return write.call(this, plain || chunk === null ? chunk : JSON.stringify(chunk), ...rest);
};

class HttpResponseStream {
  static from(stream, prelude) {
    stream.setPrelude(prelude ?? {});
    return stream;
  }
}

function streamifyResponse(handler, options) {
  if (typeof handler !== 'function') {
    throw fault('Runtime.MalformedStreamingHandler', 'Only functions can be streamified.');
  }
  handler[STREAMING] = 'response';
  if (options?.highWaterMark !== undefined) {
    handler[HIGH_WATER_MARK] = Number.parseInt(options.highWaterMark, 10);
  }
  return handler;
}

module.exports = {
  ResponseStream,
  isStreaming: (handler) => handler[STREAMING] === 'response',
  highWaterMark: (handler) => handler[HIGH_WATER_MARK],
  awslambda: { streamifyResponse, HttpResponseStream },
};
