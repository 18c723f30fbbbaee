// SPDX-License-Identifier: Apache-2.0
'use strict';

// The managed Node.js runtime: started without a function and kept in a snapshot, given one
// after the restore, then one event at a time (guest/init/shim.h).

const link = require('./mayfly_link.cjs');
const errors = require('./mayfly_errors.cjs');
const logging = require('./mayfly_logging.cjs');
const restore = require('./mayfly_restore.cjs');
const stream = require('./mayfly_stream.cjs');
const { loadHandler } = require('./mayfly_loader.cjs');

const { Kind } = link;
const TASK_ROOT = '/var/task';
const EXIT_REJECTION = 128;
const EXIT_EXCEPTION = 129;
const RESTORE_HOOKS = 1;
const PING_META = ['00000000-0000-4000-8000-000000000000', 'arn', '0', '', '', '', '', ''];

// What handlers commonly need is in the snapshot.
const PRELOAD = ['assert', 'async_hooks', 'buffer', 'crypto', 'dns', 'events', 'fs',
  'fs/promises', 'http', 'https', 'net', 'os', 'path', 'perf_hooks', 'querystring', 'stream',
  'stream/promises', 'string_decoder', 'timers/promises', 'tls', 'url', 'util', 'zlib'];

// Started again with its function, after a crash: no snapshot follows, the function waits.
if (!('_HANDLER' in process.env)) for (const name of PRELOAD) require(name);

let handler = null;
let logGroup = '';
let logStream = '';
let hasFunction = false;
let pings = 0;
let current = null; // the invocation that has no answer yet

// ---- the function ----

function setEnvironment(data) {
  const fresh = new Map();
  for (const entry of data.toString('utf8').split('\0')) {
    const at = entry.indexOf('=');
    if (at > 0) fresh.set(entry.slice(0, at), entry.slice(at + 1));
  }
  fresh.delete('_LAMBDA_TELEMETRY_LOG_FD');
  for (const key of Object.keys(process.env)) if (!fresh.has(key)) delete process.env[key];
  for (const [key, value] of fresh) if (process.env[key] !== value) process.env[key] = value;
}

function logFailure(what, error) {
  logging.log('ERROR', `${what} \t${errors.toLogText(error)}`);
}

function failInit(error, exitCode) {
  const response = errors.toResponse(error);
  logFailure('Uncaught Exception', error);
  link.send(Kind.INIT_ERROR, response.errorType, JSON.stringify(response));
  process.exit(exitCode);
}

async function start(meta, data) {
  const [name, group, logStreamName, format, level] = meta;
  logGroup = group;
  logStream = logStreamName;
  hasFunction = true;
  try {
    if (data.length > 0) setEnvironment(data);
    logging.configure(format, level);
    process.chdir(TASK_ROOT);
    handler = await loadHandler(TASK_ROOT, name);
  } catch (error) {
    failInit(error, 1);
  }
  link.send(Kind.READY);
}

// ---- events ----

function makeContext(meta) {
  const [awsRequestId, invokedFunctionArn, deadline, , clientContext, identity, tenantId] = meta;
  const deadlineMs = Number(deadline);
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: logGroup,
    logStreamName: logStream,
    clientContext: clientContext ? JSON.parse(clientContext) : undefined,
    identity: identity ? JSON.parse(identity) : undefined,
    invokedFunctionArn,
    awsRequestId,
    tenantId: tenantId || undefined,
    getRemainingTimeInMillis: () => deadlineMs - Date.now(),
  };
}

function serialise(value) {
  try {
    const text = JSON.stringify(value === undefined ? null : value);
    return text === undefined ? 'null' : text;
  } catch {
    throw new Error('Unable to stringify response body');
  }
}

// Whatever comes after an answer belongs to the next event.
function waitForNext() {
  current = null;
  // One more turn, so that what is about to finish does so before everything stands still.
  setImmediate(next);
}

function succeed(invocation, value) {
  if (current !== invocation) return;
  let text;
  try {
    text = serialise(value);
  } catch (error) {
    fail(invocation, error);
    return;
  }
  link.send(Kind.RESPONSE, 'application/json', text);
  waitForNext();
}

function fail(invocation, error) {
  if (current !== invocation) return;
  const response = errors.toResponse(error);
  logFailure('Invoke Error', error);
  link.send(Kind.ERROR, response.errorType, JSON.stringify(response));
  waitForNext();
}

function finish(invocation, error, value) {
  if (error !== null && error !== undefined) fail(invocation, error);
  else succeed(invocation, value);
}

// A callback's answer goes out when nothing is left to do, unless the handler wants otherwise.
function callBack(invocation, error, value) {
  if (invocation.answer) return;
  invocation.answer = { error, value };
  if (!invocation.context.callbackWaitsForEmptyEventLoop
      || (error !== null && error !== undefined)) {
    setImmediate(finish, invocation, error, value);
  }
}

function runBuffered(invocation, event) {
  const { context } = invocation;
  const callback = (error, value) => callBack(invocation, error, value);
  context.done = (error, value) => setImmediate(finish, invocation, error, value);
  context.succeed = (value) => context.done(null, value);
  context.fail = (error) => context.done(error ?? 'handled');
  const result = handler(event, context, callback);
  if (typeof result?.then === 'function') {
    result.then((value) => succeed(invocation, value), (error) => fail(invocation, error));
  }
}

async function runStreaming(invocation, event) {
  const response = new stream.ResponseStream(stream.highWaterMark(handler));
  invocation.stream = response;
  const finished = new Promise((resolve, reject) => {
    response.once('finish', resolve);
    response.once('error', reject);
  });
  finished.catch(() => {});
  await handler(event, response, invocation.context);
  await finished;
  if (current !== invocation) return;
  link.send(Kind.STREAM_END);
  waitForNext();
}

function invoke(meta, data) {
  logging.setInvocation(meta[0], meta[6]);
  if (meta[3]) process.env._X_AMZN_TRACE_ID = meta[3];
  else delete process.env._X_AMZN_TRACE_ID;
  const invocation = { context: null, answer: null, stream: null };
  current = invocation;
  try {
    const event = data.length > 0 ? JSON.parse(data.toString('utf8')) : {};
    invocation.context = makeContext(meta);
    if (stream.isStreaming(handler)) {
      runStreaming(invocation, event).catch((error) => fail(invocation, error));
    } else {
      runBuffered(invocation, event);
    }
  } catch (error) {
    fail(invocation, error);
  }
}

// Nothing is left to do: an answer that waited for this, or none at all.
function onDrained() {
  const invocation = current;
  if (!invocation) return;
  if (invocation.stream && !invocation.stream.writableEnded) {
    invocation.stream.end();
    return;
  }
  const { error, value } = invocation.answer ?? { error: null, value: null };
  finish(invocation, error, value);
}

function onFatal(what, error, exitCode) {
  if (hasFunction && !handler) failInit(error, exitCode);
  const invocation = current;
  if (invocation) {
    const response = errors.toResponse(error);
    logFailure(what, error);
    link.send(Kind.ERROR, response.errorType, JSON.stringify(response), link.FLAG_LEAVING);
  }
  process.exit(exitCode);
}

function rejection(reason) {
  const error = errors.fault('Runtime.UnhandledPromiseRejection', String(reason));
  error.reason = reason;
  return error;
}

// ---- pings and snapshots ----

// Loads handlers of both kinds anew, the way a function's is loaded.
async function warmLoader() {
  pings += 1;
  await loadHandler(__dirname, 'mayfly_warm_commonjs.handler');
  delete require.cache[require.resolve('./mayfly_warm_commonjs.cjs')];
  await loadHandler(__dirname, 'mayfly_warm.handler');
  await import(`./mayfly_warm.mjs?${pings}`);
}

// Goes the way of an event, so that all of it is warm; leaves nothing in a function's log.
function ping(data) {
  logging.mute(hasFunction);
  logging.setInvocation(PING_META[0], '');
  const event = JSON.parse(data.toString('utf8'));
  const context = makeContext(PING_META);
  console.log('ping %s', context.awsRequestId, event);
  const text = serialise({ pong: event, left: context.getRemainingTimeInMillis() });
  logging.setInvocation(undefined, '');
  logging.mute(false);
  // A turn of the loop and a promise, as an async handler takes.
  (hasFunction ? Promise.resolve() : warmLoader()).then(() => setImmediate(() => {
    link.send(Kind.PONG, '', text);
    next();
  }));
}

function runHooks(type, hooks) {
  try {
    hooks();
    link.send(Kind.HOOKS_DONE);
  } catch (error) {
    logFailure('Uncaught Exception', error);
    link.send(Kind.HOOKS_DONE, type, JSON.stringify(errors.toResponse(error)));
  }
  next();
}

function next() {
  const { kind, flags, meta, data } = link.receive();
  switch (kind) {
    case Kind.INVOKE:
      invoke(meta, data);
      break;
    case Kind.PING:
      ping(data);
      break;
    case Kind.START:
      start(meta, data).then(() => setImmediate(next));
      break;
    case Kind.RESEED:
      runHooks('Runtime.AfterRestoreError',
        () => restore.reseed(data, hasFunction || (flags & RESTORE_HOOKS) !== 0));
      break;
    case Kind.BEFORE_SNAPSHOT:
      runHooks('Runtime.BeforeSnapshotError', () => global.gc?.());
      break;
    default:
      setImmediate(next);
  }
}

process.on('beforeExit', onDrained);
process.on('uncaughtException', (error) => onFatal('Uncaught Exception', error, EXIT_EXCEPTION));
process.on('unhandledRejection', (reason) => onFatal('Unhandled Promise Rejection',
  rejection(reason), EXIT_REJECTION));
globalThis.awslambda = stream.awslambda;
logging.setUp();
restore.setUp();
link.send(Kind.HELLO, process.versions.node);
next();
