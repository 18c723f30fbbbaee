// SPDX-License-Identifier: Apache-2.0

// Loaded by pings, so that the loader of ES modules is warm before it loads a function.
import { createHash } from 'crypto';

export const handler = async (event) => createHash('sha256').update(event).digest('hex');
