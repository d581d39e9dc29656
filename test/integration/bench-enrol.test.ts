import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const BENCH = join(import.meta.dirname, '../bench/enrol.ts');
const WITHIN_MS = 180_000;

it(
  'the benchmark of enrolment lets devices in, checks their certificates, and says how many a second',
  async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [
      BENCH,
      '--devices',
      '20',
      '--at-once',
      '4',
      '--json',
    ]);
    const figures = JSON.parse(stdout) as Record<string, number>;
    const measured = expect.any(Number) as number;
    // A tenth as many come first, to warm the service up, and their answers are checked as well.
    expect(figures).toEqual({
      processors: measured,
      devices: 22,
      atOnce: 4,
      seconds: measured,
      perSecond: measured,
      medianMs: measured,
      p99Ms: measured,
      serviceMicros: measured,
      databaseMicros: measured,
      loadMicros: measured,
    });
    expect(Object.values(figures).every((figure) => figure > 0)).toBe(true);
    expect(figures['p99Ms']).toBeGreaterThanOrEqual(figures['medianMs'] ?? NaN);
  },
  WITHIN_MS,
);
