import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

/** Holds every descriptor that it may have, and then asks for a chip by its name. */
const PROGRAM = `
import { openSync } from 'node:fs';
import { createGpio } from '@paddock/agent/adapters/gpio.ts';
const gpio = createGpio();
for (;;) try { openSync('/dev/null', 'r'); } catch { break; }
for (const ask of [() => gpio.chip('bench'), () => gpio.chip('/dev/null'), () => gpio.chips()])
  try { ask(); } catch ({ code, message }) { process.stdout.write(code + ': ' + message + '\\n'); }
`;

it('a machine that is out of file descriptors is said to have no chip that answers, by a code', async () => {
  const node = [process.execPath, '--input-type=module', '--eval', PROGRAM];
  const { stdout } = await promisify(execFile)('sh', ['-c', 'ulimit -n 64; exec "$@"', 'sh', ...node]);
  const said = (path: string): string => `gpio_no_answer: The GPIO chip does not answer: ${path} (EMFILE)\n`;
  expect(stdout).toBe(said('/dev') + said('/dev/null') + said('/dev'));
});
