import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { promisify } from 'node:util';
import { run } from '@paddock/cloud/replay-clock.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { worldLines } from '../../harness/world/world.ts';

const LINES = [...worldLines('ordinary', { seed: 5, devices: 6, reports: 800 })].map(({ line }) => line);
const TRACE = LINES.map((line) => JSON.stringify(line));
const REPORTS = LINES.filter(({ kind }) => kind === 'report');

let directory = '';
beforeAll(async () => void (directory = await mkdtemp(join(tmpdir(), 'paddock-trace-'))));
afterAll(() => rm(directory, { recursive: true, force: true }));

class Text extends Writable {
  text = '';
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

/** Runs the program on a text, from a file unless `stdin` is to be read. */
async function replay(text: string, args: readonly string[] = [], from: 'file' | 'stdin' = 'file') {
  const file = join(directory, 'trace.ndjson');
  await writeFile(file, text);
  const [stdout, stderr] = [new Text(), new Text()];
  const stdin = Readable.from([Buffer.from(text)]);
  const code = await run([...args, from === 'file' ? file : '-'], { stdin, stdout, stderr });
  const placed = stdout.text === '' ? [] : stdout.text.trim().split('\n');
  return { code, placed, told: stderr.text };
}

const identity = (line: string): string => {
  const { deviceId, boot, seq } = JSON.parse(line);
  return `${deviceId} ${boot.id ?? boot} ${seq}`;
};

describe('replay:clock', () => {
  it('writes one line for each report, in the order of the file', async () => {
    const { code, placed, told } = await replay(`${TRACE.join('\n')}\n`);
    expect(code).toBe(0);
    expect(placed.map(identity)).toEqual(REPORTS.map((line) => identity(JSON.stringify(line))));
    expect(told).toMatch(
      /^6 devices, \d+ boots, 800 reports \(\d+ repeats\), \d+ requests for the time, 0 lines left out; /m,
    );
    for (const line of placed) {
      const { deviceId, boot, seq, earliest, latest, estimate, basis, changes, ...rest } = JSON.parse(line);
      expect(rest).toEqual({});
      expect([typeof deviceId, typeof boot, typeof seq, typeof basis, Array.isArray(changes)]).toEqual([
        'string',
        'string',
        'number',
        'string',
        true,
      ]);
      expect((earliest ?? -Infinity) <= estimate && estimate <= latest).toBe(true);
      expect(String(latest)).toMatch(/^\d+(\.\d{1,3})?$/);
    }
  });

  it('reads standard input, lines that end in CR LF, and a last line that does not end', async () => {
    const { placed } = await replay(TRACE.join('\n'));
    expect((await replay(TRACE.join('\r\n'), [], 'stdin')).placed).toEqual(placed);
    expect((await replay(`\n\n${TRACE.join('\n\n')}`, [], 'stdin')).placed).toEqual(placed);
  });

  it('tells of bad lines by number and code, leaves them out, and places the rest as if they were not there', async () => {
    const { placed } = await replay(TRACE.join('\n'));
    const bad = [
      TRACE[0],
      'garbage',
      '{"kind":"receipt"}',
      '{"kind":"report"}',
      'x'.repeat(5_000_000),
      ...TRACE.slice(1),
    ];
    const { code, placed: among, told } = await replay(bad.join('\n'));
    expect(among).toEqual(placed);
    expect(code).toBe(0);
    expect(
      told
        .split('\n')
        .filter((line) => line.startsWith('line '))
        .slice(0, 4)
        .map((line) => line.split(': ').slice(0, 2)),
    ).toEqual([
      ['line 2', 'line_malformed'],
      ['line 3', 'line_kind_unknown'],
      ['line 4', 'line_invalid'],
      ['line 5', 'line_too_long'],
    ]);
    expect(told).toContain('4 lines left out; ');
    expect((await replay(bad.join('\n'), ['--strict'])).code).toBe(1);
  });

  it('takes the cloud for wrong by as much as it is told', async () => {
    const [first] = (await replay(TRACE[0] ?? '')).placed;
    const [wider] = (await replay(TRACE[0] ?? '', ['--cloud-error-ms', '40'])).placed;
    expect(JSON.parse(wider ?? '').latest - JSON.parse(first ?? '').latest).toBe(40);
  });

  it.each([
    [['--help'], 0, 'Usage: replay-clock'],
    [[], 2, 'name one file'],
    [['a', 'b'], 2, 'name one file'],
    [['--what', 'a'], 2, '--what'],
    [['--cloud-error-ms=-1', 'a'], 2, '--cloud-error-ms'],
    [['/nowhere/trace.ndjson'], 1, 'ENOENT'],
  ])('answers %j with %i', async (args, expected, text) => {
    const [stdout, stderr] = [new Text(), new Text()];
    expect(await run(args, { stdin: Readable.from([]), stdout, stderr })).toBe(expected);
    expect(stdout.text + stderr.text).toContain(text);
  });

  it('runs as npm starts it', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, ['cloud/bin/replay-clock.cjs', '--help']);
    expect(stdout).toContain('"time-request"');
  });
});
