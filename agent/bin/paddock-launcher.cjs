#!/usr/bin/env node
'use strict';

// Plain CommonJS on purpose: an old Node must get as far as saying that it is too old.
const LEAST = [24, 11];
const [major, minor] = process.versions.node.split('.').map(Number);

if (major < LEAST[0] || (major === LEAST[0] && minor < LEAST[1])) {
  console.error(`paddock-launcher needs Node ${LEAST.join('.')} or newer; this is Node ${process.versions.node}.`);
  process.exitCode = 1;
} else {
  import('../src/cli-launcher.ts')
    .then(({ runLauncher }) => runLauncher(process.argv.slice(2)))
    .catch((error) => {
      console.error(error);
      process.exitCode = 70;
    });
}
