// SPDX-License-Identifier: Apache-2.0
'use strict';

// console as Lambda's Node.js runtimes have it: text lines or JSON objects, whole over the
// telemetry descriptor when there is one, else as lines of stdout.

const fs = require('fs');
const util = require('util');
const { isError, toResponse } = require('./mayfly_errors.cjs');

const FRAME_BYTES = 16;
const FRAME_TEXT = 0xa55a0003;
const FRAME_JSON = 0xa55a0002;
const LEVELS = { TRACE: 1, DEBUG: 2, INFO: 3, WARN: 4, ERROR: 5, FATAL: 6 };
const METHODS = {
  trace: 'TRACE', debug: 'DEBUG', log: 'INFO', info: 'INFO', warn: 'WARN', error: 'ERROR',
  fatal: 'FATAL',
};

let telemetryFd = -1;
let jsonFormat = false;
let lowest = 0;
let muted = false;
let requestId;
let tenantId;

function writeAll(fd, bytes) {
  let offset = 0;
  while (offset < bytes.length) {
    try {
      offset += fs.writeSync(fd, bytes, offset);
    } catch (error) {
      if (error.code !== 'EINTR' && error.code !== 'EAGAIN') throw error;
    }
  }
}

function write(text, level) {
  if (muted) return;
  if (telemetryFd < 0) {
    // Without frames each line would become a log event of its own.
    writeAll(1, Buffer.from(text.replace(/\n/g, '\r') + '\n'));
    return;
  }
  const length = Buffer.byteLength(text);
  const frame = Buffer.allocUnsafe(FRAME_BYTES + length);
  frame.writeUInt32BE(((jsonFormat ? FRAME_JSON : FRAME_TEXT) | LEVELS[level] << 2) >>> 0, 0);
  frame.writeUInt32BE(length, 4);
  frame.writeBigUInt64BE(BigInt(Date.now()) * 1000n, 8);
  frame.write(text, FRAME_BYTES);
  writeAll(telemetryFd, frame);
}

function jsonText(level, args) {
  const entry = { timestamp: new Date().toISOString(), level, requestId };
  if (tenantId) entry.tenantId = tenantId;
  const error = args.find(isError);
  entry.message = args.length === 1 && !error ? args[0] : util.format(...args);
  if (error) {
    const { errorType, errorMessage, trace } = toResponse(error);
    Object.assign(entry, { errorType, errorMessage, stackTrace: trace });
  }
  try {
    return JSON.stringify(entry);
  } catch {
    return JSON.stringify({ ...entry, message: util.format(...args) });
  }
}

function log(level, ...args) {
  if (LEVELS[level] < lowest) return;
  const text = jsonFormat
    ? jsonText(level, args)
    : `${new Date().toISOString()}\t${requestId}\t${level}\t${util.format(...args)}`;
  write(text, level);
}

function setUp() {
  const fd = process.env._LAMBDA_TELEMETRY_LOG_FD;
  delete process.env._LAMBDA_TELEMETRY_LOG_FD;
  if (fd !== undefined) telemetryFd = Number.parseInt(fd, 10);
  for (const [method, level] of Object.entries(METHODS)) {
    console[method] = (...args) => log(level, ...args);
  }
  console.trace = (...args) => {
    const at = { name: 'Trace', message: util.format(...args) };
    Error.captureStackTrace(at, console.trace);
    log('TRACE', at.stack);
  };
}

// Of a function's LoggingConfig.
function configure(format, level) {
  jsonFormat = format === 'JSON';
  lowest = jsonFormat ? LEVELS[level] ?? 0 : 0;
}

function setInvocation(id, tenant) {
  requestId = id;
  tenantId = tenant || undefined;
}

function mute(on) {
  muted = on;
}

module.exports = { setUp, configure, setInvocation, mute, log };
