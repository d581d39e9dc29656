#!/usr/bin/env node
'use strict';
// CommonJS and old syntax on purpose: an older Node has to get as far as the line that says what is missing.
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 24 || (major === 24 && minor < 11)) {
  console.error('replay-clock needs Node 24.11 or newer; this is Node ' + process.versions.node + '.');
  process.exitCode = 1;
} else {
  import('../src/replay-clock.ts')
    .then(({ run }) => run(process.argv.slice(2), process))
    .then(
      (exitCode) => {
        process.exitCode = exitCode;
      },
      (error) => {
        console.error(error);
        process.exitCode = 1;
      },
    );
}
