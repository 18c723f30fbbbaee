// SPDX-License-Identifier: Apache-2.0
'use strict';

// What must differ in two processes that were one when the snapshot was taken.

const crypto = require('crypto');
const entropy = require('./mayfly_entropy.node');

const UUID_CACHE = 128; // crypto.randomUUID() draws so many at once
const INT_CACHE = 1024; // crypto.randomInt() too

const state = new Uint32Array(4);

function rotate(value, bits) {
  return (value << bits) | (value >>> (32 - bits));
}

// xoshiro128**: V8's own generator has no door by which it could be reseeded.
function next() {
  const result = Math.imul(rotate(Math.imul(state[1], 5), 7), 9) >>> 0;
  const shifted = state[1] << 9;
  state[2] ^= state[0];
  state[3] ^= state[1];
  state[1] ^= state[2];
  state[0] ^= state[3];
  state[2] ^= shifted;
  state[3] = rotate(state[3], 11);
  return result;
}

function random() {
  return ((next() >>> 5) * 67108864 + (next() >>> 6)) / 9007199254740992;
}

function seed(bytes) {
  for (let i = 0; i < 4; i++) state[i] = bytes.readUInt32LE(i * 4);
  state[0] |= 1; // never all zero
}

function setUp() {
  seed(crypto.randomBytes(16));
  // A bound function shows as native code, as the one it replaces.
  const bound = random.bind(undefined);
  Object.defineProperty(bound, 'name', { value: 'random' });
  Object.defineProperty(Math, 'random', { value: bound });
}

// node keeps random bytes for these ahead of need: what was drawn before the snapshot goes.
function drainCaches() {
  for (let i = 0; i < UUID_CACHE; i++) crypto.randomUUID();
  for (let i = 0; i < INT_CACHE; i++) crypto.randomInt(2);
}

// Gives every generator of this process a state of its own; the kernel's has been reseeded
// by init. `hadFunction`: code of a function has run, and may have used node's caches.
function reseed(fresh, hadFunction) {
  if (!entropy.reseed(fresh.subarray(16))) throw new Error('OpenSSL took no fresh entropy');
  seed(fresh);
  if (hadFunction) drainCaches();
}

module.exports = { setUp, reseed };
