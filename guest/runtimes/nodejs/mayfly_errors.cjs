// SPDX-License-Identifier: Apache-2.0
'use strict';

// What a caller gets of an error, and what the log gets.

function fault(type, message) {
  const error = new Error(message);
  error.name = type;
  error.stack = `${type}: ${message}` + error.stack.slice(error.stack.indexOf('\n    at'));
  return error;
}

function isError(value) {
  return value instanceof Error || Object.prototype.toString.call(value) === '[object Error]';
}

// The answer: {errorType, errorMessage, trace}.
function toResponse(value) {
  try {
    if (isError(value)) {
      return {
        errorType: value.name ?? 'Error',
        errorMessage: value.message ?? '',
        trace: String(value.stack ?? '').split('\n'),
      };
    }
    return { errorType: typeof value, errorMessage: String(value), trace: [] };
  } catch {
    return { errorType: 'handled', errorMessage: 'callback called with Error argument, but there'
      + ' was a problem while retrieving one or more of its message, name, and stack', trace: [] };
  }
}

// For the log: with the error's own fields, and its stack under Lambda's name for it.
function toLogText(value) {
  if (!isError(value)) return JSON.stringify(toResponse(value));
  const { errorType, errorMessage, trace } = toResponse(value);
  try {
    return JSON.stringify({ errorType, errorMessage, ...value, stack: trace });
  } catch {
    return JSON.stringify({ errorType, errorMessage, stack: trace });
  }
}

module.exports = { fault, isError, toResponse, toLogText };
