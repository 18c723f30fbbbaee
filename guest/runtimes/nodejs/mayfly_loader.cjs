// SPDX-License-Identifier: Apache-2.0
'use strict';

// From "dir/file.export" to the function: CommonJS and ES modules.

const fs = require('fs');
const path = require('path');
const { createRequire } = require('module');
const { pathToFileURL } = require('url');
const { fault } = require('./mayfly_errors.cjs');

function splitHandler(handler) {
  if (handler.includes('..')) {
    throw fault('Runtime.MalformedHandlerName', `'..' is not valid handler name. Use absolute paths`
      + ' when specifying root directories in handler names.');
  }
  const base = path.basename(handler);
  const match = /^([^.]*)\.(.+)$/.exec(base);
  if (!match) throw fault('Runtime.MalformedHandlerName', 'Bad handler');
  const folder = handler.slice(0, handler.length - base.length);
  return { folder, name: match[1], properties: match[2].split('.') };
}

function isFile(file) {
  try {
    return fs.statSync(file).isFile();
  } catch {
    return false;
  }
}

// Whether a .js file is an ES module, by the package.json nearest to it.
function isModulePackage(file, root) {
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    const description = path.join(folder, 'package.json');
    if (isFile(description)) {
      return JSON.parse(fs.readFileSync(description, 'utf8')).type === 'module';
    }
    if (folder === root || folder === path.dirname(folder)) return false;
  }
}

async function loadModule(root, folder, name) {
  const file = path.resolve(root, folder, name);
  const require = createRequire(path.join(root, 'package.json'));

  if (isFile(file)) return require(file);
  if (isFile(`${file}.js`)) {
    return isModulePackage(file, root)
      ? import(pathToFileURL(`${file}.js`).href)
      : require(`${file}.js`);
  }
  if (isFile(`${file}.mjs`)) return import(pathToFileURL(`${file}.mjs`).href);
  if (isFile(`${file}.cjs`)) return require(`${file}.cjs`);
  const found = require.resolve(name, { paths: [root, path.resolve(root, folder)] });
  return require(found);
}

async function loadUserModule(root, folder, name) {
  try {
    return await loadModule(root, folder, name);
  } catch (error) {
    if (error instanceof SyntaxError) {
      throw Object.assign(fault('Runtime.UserCodeSyntaxError', String(error)),
        { stack: `Runtime.UserCodeSyntaxError: ${error.stack}` });
    }
    if (error?.code === 'MODULE_NOT_FOUND' || error?.code === 'ERR_MODULE_NOT_FOUND') {
      throw fault('Runtime.ImportModuleError', String(error));
    }
    throw error;
  }
}

// The handler function, by Lambda's rules for what `handler` may say.
async function loadHandler(root, handler) {
  const { folder, name, properties } = splitHandler(handler);
  const loaded = await loadUserModule(root, folder, name);
  let value = properties.reduce((object, key) => object?.[key], loaded);

  if (value === undefined && loaded?.default !== undefined) {
    value = properties.reduce((object, key) => object?.[key], loaded.default);
  }
  if (!value) throw fault('Runtime.HandlerNotFound', `${handler} is undefined or not exported`);
  if (typeof value !== 'function') {
    throw fault('Runtime.HandlerNotFound', `${handler} is not a function`);
  }
  return value;
}

module.exports = { loadHandler };
