#!/usr/bin/env node
'use strict';

const path = require('node:path');

// Whatever is wrong here, there is an agent beside it.
const OWN = path.join(__dirname, 'paddock-agent.cjs');

import('../src/cli-start.ts')
  .then(({ startAgent }) => startAgent(process.argv.slice(2), OWN))
  .catch((error) => {
    console.error(error);
    process.exitCode = 70;
  });
