/**
 * What is done to an agent from outside, in its own process (`node --import`), and nothing of the product: another boot
 * of the machine, an error that nobody catches, a heap that fills up.
 */
import promises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

const BOOT_ID = '/proc/sys/kernel/random/boot_id';
const { PLUG_BOOT_ID: bootId } = process.env;

if (bootId !== undefined) {
  const { readFile } = promises;
  promises.readFile = (path, ...more) => (path === BOOT_ID ? Promise.resolve(`${bootId}\n`) : readFile(path, ...more));
  syncBuiltinESMExports();
}

process.on('SIGUSR2', () => {
  throw new TypeError('planted: password=hunter2');
});

process.on('SIGHUP', () => {
  for (const held = []; ;) held.push(Array.from({ length: 1_000 }, () => ({})));
});
