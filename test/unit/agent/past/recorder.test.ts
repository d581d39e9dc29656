import { describe, expect, it } from 'vitest';
import type { FixedFile } from '@paddock/agent/ports-past.ts';
import { createRecorder, readRecord, type Recorder } from '@paddock/agent/past/recorder.ts';
import { recordingLog } from '@paddock/agent/past/recording-log.ts';
import { RING_BYTES } from '@paddock/agent/past/ring.ts';
import { lastRun } from '@paddock/agent/past/runs.ts';
import { FakeClock } from '../../../harness/agent/fake-clock.ts';

/** A file in memory, which hangs or fails as a test says. */
class MemoryFile implements FixedFile {
  readonly bytes = new Uint8Array(RING_BYTES);
  hangs: Promise<void> | null = null;
  fails = false;
  syncs = 0;

  async write(at: number, bytes: Uint8Array): Promise<void> {
    await this.hangs;
    this.writeNow(at, bytes);
  }
  writeNow(at: number, bytes: Uint8Array): void {
    if (this.fails) throw Object.assign(new Error('no'), { code: 'EIO' });
    this.bytes.set(bytes, at);
  }
  async sync(): Promise<void> {
    this.syncs += 1;
  }
  async close(): Promise<void> {}
}

function recording(start = 1, file = new MemoryFile()) {
  const clock = new FakeClock();
  const warnings: object[] = [];
  const log = { warn: (fields: object) => void warnings.push(fields) };
  const recorder = createRecorder(file, file.bytes.slice(), { clock, log, bootId: 'c9a646d3-9c61', start });
  const said = (): string[] => readRecord(file.bytes).entries.map(({ what }) => what);
  return { clock, file, recorder, warnings, said };
}
const settle = (recorder: Recorder): Promise<void> => recorder.close();

describe('the flight recorder', () => {
  it('goes on behind what the start before wrote, whose last words it has', async () => {
    const first = recording();
    await first.recorder.keep('begin', 'info', 'The agent starts', { boot: 'c9a646d3-9c61' });
    first.recorder.note('info', 'Connected');
    first.recorder.lastWords('x is not a function', { name: 'TypeError', stack: 'at y' });
    const second = recording(2, first.file);
    await second.recorder.keep('begin', 'info', 'The agent starts', { boot: 'c9a646d3-9c61' });
    await settle(second.recorder);
    const { entries, loss } = readRecord(first.file.bytes);
    expect(loss).toBeNull();
    expect(entries.map(({ start, what }) => `${start} ${what}`)).toEqual([
      '1 The agent starts',
      '1 Connected',
      '1 x is not a function',
      '2 The agent starts',
    ]);
    expect(lastRun(entries.slice(0, -1))).toMatchObject({ start: 1, bootId: 'c9a646d3-9c61', end: { kind: 'error' } });
  });

  it('writes 64 notes at once and 480 a day at most, and says how many it left out', async () => {
    const { clock, recorder, said, file } = recording();
    for (let n = 0; n < 500; n += 1) recorder.note('info', `note ${n}`);
    clock.skip(180_000);
    recorder.note('info', 'later');
    await settle(recorder);
    expect(said()).toHaveLength(65);
    expect(readRecord(file.bytes).entries.at(-1)).toMatchObject({ what: 'later', more: { leftOut: 436 } });
  });

  it('syncs where a start begins and ends, and never for a note', async () => {
    const { recorder, file } = recording();
    await recorder.keep('begin', 'info', 'The agent starts');
    for (let n = 0; n < 20; n += 1) recorder.note('info', 'x');
    recorder.pulse({ rssMiB: 70 });
    await recorder.keep('end', 'info', 'The agent has stopped');
    expect(file.syncs).toBe(2);
  });

  it('is not waited for when the disk hangs, by the last words neither, and keeps a bounded number', async () => {
    const { clock, recorder, file, said } = recording();
    const hanging = Promise.withResolvers<void>();
    file.hangs = hanging.promise;
    for (let n = 0; n < 400; n += 1) {
      recorder.note('info', `note ${n}`);
      clock.skip(180_000);
    }
    recorder.lastWords('the end', {});
    expect(said()).toEqual([]);
    hanging.resolve();
    await settle(recorder);
    expect(said()).toHaveLength(128);
  });

  it('breaks nothing where it cannot be written, and says so once', async () => {
    const { recorder, file, warnings } = recording();
    file.fails = true;
    recorder.note('info', 'a');
    recorder.lastWords('b', {});
    await recorder.keep('end', 'info', 'c');
    expect(warnings).toEqual([expect.objectContaining({ code: 'EIO' })]);
    const none = createRecorder(null, null, { clock: new FakeClock(), log: { warn() {} }, bootId: 'b', start: 1 });
    none.note('info', 'a');
    await none.keep('end', 'info', 'c');
    await none.close();
  });

  it('says what it found instead of a record', () => {
    expect(readRecord(null).loss).toBe('missing');
    expect(readRecord(new Uint8Array(RING_BYTES)).loss).toBe('missing');
    expect(readRecord(new Uint8Array(RING_BYTES).fill(7)).loss).toBe('foreign');
  });
});

describe('the log that the recorder hears', () => {
  it('passes everything on, and writes down from info on what is plain and short', () => {
    const [told, noted]: [string[], object[]] = [[], []];
    const tell = (level: string) => (_fields: object, message: string) => void told.push(`${level} ${message}`);
    const log = { debug: tell('debug'), info: tell('info'), warn: tell('warn'), error: tell('error') };
    let failures = 0;
    const both = recordingLog(
      log,
      { note: (level, what, more) => void noted.push({ level, what, more }) },
      () => void (failures += 1),
    );
    both.debug({}, 'a');
    both.info({ start: 3, deep: { x: 1 }, long: 'y'.repeat(999) }, 'b');
    both.warn({ err: Object.assign(new Error('bad block'), { code: 'EIO' }) }, 'c');
    both.error({}, 'd');
    expect(told).toEqual(['debug a', 'info b', 'warn c', 'error d']);
    expect(noted).toEqual([
      { level: 'info', what: 'b', more: { start: 3, long: 'y'.repeat(64) } },
      { level: 'warn', what: 'c', more: { code: 'EIO', error: 'bad block' } },
      { level: 'error', what: 'd', more: {} },
    ]);
    expect(failures).toBe(1);
  });
});
