/**
 * Draws a pin of gpio-sim up and down: `node draw-pin.ts PULL-FILE EDGES EVERY-MICROSECONDS [DONE-FILE]`. Prints how
 * long that took, in ms.
 */
import { openSync, writeFileSync, writeSync } from 'node:fs';

const [file = '', edges = '0', everyMicros = '0', done] = process.argv.slice(2);
const pin = openSync(file, 'w');
const never = new Int32Array(new SharedArrayBuffer(4));
const start = process.hrtime.bigint();
for (let edge = 0; edge < Number(edges); edge += 1) {
  const leftMs = Number(start + BigInt(edge * Number(everyMicros)) * 1000n - process.hrtime.bigint()) / 1e6;
  // Asleep, so that the program that counts has the processor.
  if (leftMs > 0.05) Atomics.wait(never, 0, 0, leftMs);
  writeSync(pin, edge % 2 === 0 ? 'pull-up' : 'pull-down', 0);
}
process.stdout.write(`${Math.round(Number(process.hrtime.bigint() - start) / 1e6)}\n`);
if (done !== undefined) writeFileSync(done, '');
