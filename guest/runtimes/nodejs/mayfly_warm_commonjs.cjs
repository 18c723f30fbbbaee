// SPDX-License-Identifier: Apache-2.0
'use strict';

// Loaded by pings, so that the loader of CommonJS modules is warm before it loads a function.
exports.handler = async (event) => event;
