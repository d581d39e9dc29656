import { FIRST_FILE, OUTBOX_FILE, parseOutbox } from '@paddock/agent/report/outbox-file.ts';
import { openOutboxLog } from '@paddock/agent/report/outbox-log.ts';
import { Outbox } from '@paddock/agent/report/outbox.ts';
import type { SealedReport } from '@paddock/agent/report/sealed.ts';
import { uptimeMs, wallMs } from '@paddock/shared/time.ts';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../harness/agent/fake-clock.ts';
import { answerTo, findHeld, FIRST_FORMAT, sealedReport, THIS_START } from '../../../harness/agent/held-reports.ts';
import { MemoryDisk } from '../../../harness/agent/memory-disk.ts';

const DEVICE = 'kiosk-0001';
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const event = (sequence: number, envelope = 'x'.repeat(1_000)): SealedReport =>
  sealedReport(sequence, { event: true, nonce: 'n', envelope });

async function openLog(disk = new MemoryDisk()) {
  const said: { code: string; writes: number }[] = [];
  const say = (fields: object): void =>
    void said.push({ code: 'code' in fields ? String(fields.code) : '', writes: disk.writes.length });
  const log = { debug: say, info: say, warn: say, error: say };
  const outbox = new Outbox({ routineReports: 8, diskBytes: 1e6, maxAgeMs: Infinity }, THIS_START);
  const { file, found } = await openOutboxLog({ disk, clock: new FakeClock(), log, device: DEVICE, outbox });
  const hold = (report: SealedReport, onDisk = true): void =>
    outbox.hold(report, { live: false, onDisk, heldAt: uptimeMs(0) });
  for (const report of found.reports) hold(report);
  const keep = (report: SealedReport): Promise<void> =>
    file.append(
      () => [report],
      (written) => hold(report, written !== null),
    );
  const onDisk = () => parseOutbox(disk.files.get(OUTBOX_FILE) ?? new Uint8Array(), DEVICE);
  const codes = (): string[] => said.map(({ code }) => code).filter((code) => code !== '');
  const sequences = (): number[] => onDisk().reports.map(({ sequence }) => sequence);
  return { disk, outbox, file, keep, hold, codes, onDisk, sequences };
}

describe('the outbox log', () => {
  it('appends behind a torn end without harm, and without a rewrite', async () => {
    const before = await openLog();
    for (const n of [0, 1]) await before.keep(event(n));
    const whole = before.disk.files.get(OUTBOX_FILE) ?? bytes('');
    before.disk.files.set(OUTBOX_FILE, whole.slice(0, -20));
    const { disk, keep, sequences, codes } = await openLog(before.disk.copy());
    await keep(event(2));
    expect(sequences()).toEqual([0, 2]);
    expect(disk.writes.map(({ operation }) => operation)).toEqual(['append']);
    expect(codes()).toEqual(['outbox_cut']);
  });

  it('is written anew when more of it is useless than useful and that is worth it, and not before', async () => {
    const { disk, file, keep, outbox, sequences } = await openLog();
    for (let n = 0; n < 100; n += 1) await keep(event(n));
    const settle = (last: number) =>
      outbox.settle(answerTo(event(last), { recorded: [[0, last]] }), findHeld(outbox, event(last)), uptimeMs(1));
    settle(40);
    await file.tidy();
    expect(disk.writes.filter(({ operation }) => operation !== 'append')).toEqual([]);
    settle(70);
    await file.tidy();
    expect(sequences()).toEqual(Array.from({ length: 29 }, (_, n) => n + 71));
    settle(99);
    await file.tidy();
    expect(disk.files.has(OUTBOX_FILE)).toBe(true);
    await file.tidy({ all: true });
    expect(disk.files.has(OUTBOX_FILE)).toBe(false);
  });

  it('tells of a full disk once, and once that it is well again; then all of it is there', async () => {
    const { disk, outbox, file, keep, codes, sequences } = await openLog();
    disk.failNext(3, 30);
    for (const n of [0, 1, 2]) await keep(event(n));
    expect(outbox.unwritten(false)).toHaveLength(3);
    await file.append(
      () => outbox.unwritten(false),
      (written) => outbox.written(written ?? []),
    );
    await keep(event(3));
    expect(codes()).toEqual(['outbox_file_failed', 'outbox_file_well']);
    expect(sequences()).toEqual([0, 1, 2, 3]);
    expect(outbox.unwritten(false)).toEqual([]);
  });

  it('does not try a rewrite on a disk that takes no line, nor again and again where there is no room for it', async () => {
    const { disk, outbox, file, keep, codes } = await openLog();
    for (let n = 0; n < 100; n += 1) await keep(event(n));
    const answer = answerTo(event(80), { recorded: [[0, 80]] });
    outbox.settle(answer, findHeld(outbox, event(80)), uptimeMs(1));
    disk.failNext(1);
    await keep(event(100));
    disk.failNext(2);
    await file.tidy();
    expect(codes()).toEqual(['outbox_file_failed']);
    disk.failNext(0);
    await keep(event(101));
    disk.failNext(10);
    for (let n = 0; n < 5; n += 1) await file.tidy();
    disk.failNext(0);
    await keep(event(102));
    const well = ['outbox_file_failed', 'outbox_file_well'];
    expect(codes()).toEqual([...well, ...well]);
    await file.tidy();
    expect(disk.writes.filter(({ operation }) => operation === 'replace')).toEqual([]);
  });

  it('keeps what a newer version wrote when it writes the file anew', async () => {
    const disk = new MemoryDisk();
    const newer = '[3,"something","kiosk-0001",{"new":true},"AAAAAAAAAAAAAAAAAAAAAA"]';
    disk.files.set(OUTBOX_FILE, bytes(`${newer}\nnoise\n`));
    const { file, onDisk, codes } = await openLog(disk);
    await file.tidy({ all: true });
    expect(codes()).toEqual(['outbox_newer', 'outbox_foreign']);
    expect(onDisk()).toMatchObject({ newer: [newer], lines: 1 });
  });

  it('does not write the file anew again and again for what a newer version left, however much that is', async () => {
    const disk = new MemoryDisk();
    const newer = `[3,"${'x'.repeat(50_000)}","AAAAAAAAAAAAAAAAAAAAAA"]\n`;
    disk.files.set(OUTBOX_FILE, bytes(newer.repeat(4)));
    const { file, keep, onDisk } = await openLog(disk);
    for (let n = 0; n < 5; n += 1) {
      await keep(event(n));
      await file.tidy();
    }
    await file.tidy({ all: true });
    expect(disk.writes.map(({ operation }) => operation)).toEqual(Array.from({ length: 5 }, () => 'append'));
    expect(onDisk().newer).toHaveLength(4);
  });

  it('does not try with every report to move it where there is no room', async () => {
    const disk = new MemoryDisk();
    disk.files.set(FIRST_FILE, bytes(FIRST_FORMAT.join('')));
    const { file, keep, codes } = await openLog(disk);
    const replace = disk.replace.bind(disk);
    let tries = 0;
    disk.replace = async () => {
      tries += 1;
      throw Object.assign(new Error('No space left on device'), { code: 'ENOSPC' });
    };
    for (let n = 0; n < 40; n += 1) {
      await keep(event(n, 'short'));
      await file.tidy();
    }
    expect(tries).toBeLessThan(8);
    expect(codes().length).toBeLessThan(16);
    disk.replace = replace;
    await file.tidy({ all: true });
    expect([...disk.files.keys()]).toEqual([OUTBOX_FILE]);
  });

  it('moves what the first version of the agent left into the one file', async () => {
    const disk = new MemoryDisk();
    disk.files.set(FIRST_FILE, bytes(FIRST_FORMAT.join('')));
    const { file, sequences } = await openLog(disk);
    await file.tidy();
    expect(sequences()).toEqual([1]);
    expect([...disk.files.keys()]).toEqual([OUTBOX_FILE]);
  });

  it('knows whether a report of this start that asks is in the file', async () => {
    const { file, keep, disk } = await openLog();
    expect(file.asks(THIS_START)).toBe(false);
    disk.failNext(1);
    await keep(event(0));
    expect(file.asks(THIS_START)).toBe(false);
    await keep(event(1));
    expect(file.asks(THIS_START)).toBe(true);
  });

  it('remembers since when it knows of an old start, through a rewrite too', async () => {
    const disk = new MemoryDisk();
    const first = await openLog(disk);
    await first.keep(sealedReport(1, { start: 2, event: true, nonce: 'n' }));
    const second = await openLog(disk);
    second.outbox.known({ ...THIS_START, start: 2 }, wallMs(7));
    await second.file.mark(second.outbox.aged());
    expect(second.onDisk().known).toEqual([{ start: { ...THIS_START, start: 2 }, since: 7 }]);
    await second.file.tidy({ all: true });
    expect(second.onDisk().known).toEqual([{ start: { ...THIS_START, start: 2 }, since: 7 }]);
  });
});
