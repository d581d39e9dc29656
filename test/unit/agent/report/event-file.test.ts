import { formatEvent, formatRefused, parseEvents } from '@paddock/agent/report/event-file.ts';
import { openEventLog } from '@paddock/agent/report/event-log.ts';
import type { SealedReport } from '@paddock/agent/report/outbox.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../harness/agent/fake-clock.ts';
import { MemoryDisk } from '../../../harness/agent/memory-disk.ts';

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const event = (sequence: number): SealedReport => ({
  incarnation: 'aaaaaaaaaaa',
  start: 1,
  sequence,
  digest: `digest-${sequence}`,
  envelope: `envelope-${sequence}`,
  nonce: 'nnnnnnnnnnn',
  event: true,
});
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const sequences = async (content: Uint8Array): Promise<number[]> =>
  (await parseEvents(content)).reports.map(({ sequence }) => sequence);

describe('the event file', () => {
  it('gives back what was written, without what was refused', async () => {
    const lines = await Promise.all([...[0, 1, 2].map((n) => formatEvent(event(n))), formatRefused('digest-1')]);
    const parsed = await parseEvents(bytes(lines.join('')));
    expect(parsed).toEqual({ reports: [event(0), event(2)], lines: 4, damaged: 0 });
  });

  it('believes no line that was damaged, and all the others', async () => {
    const lines = await Promise.all([0, 1, 2].map((n) => formatEvent(event(n))));
    const whole = bytes(lines.join(''));
    const first = lines[0]?.length ?? 0;
    const second = lines[1]?.length ?? 0;
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: first, max: first + second - 2 }), fc.nat(255), async (place, value) => {
        const found = await sequences(whole.with(place, value));
        const isUnchanged = whole[place] === value;
        expect(found).toEqual(isUnchanged ? [0, 1, 2] : [0, 2]);
      }),
    );
  });

  it('has lost the last line at most, however short it was cut', async () => {
    const lines = await Promise.all([0, 1].map((n) => formatEvent(event(n))));
    const whole = bytes(lines.join(''));
    const first = lines[0]?.length ?? 0;
    for (let length = first; length < whole.length - 1; length += 1) {
      expect(await sequences(whole.slice(0, length))).toEqual([0]);
    }
  });
});

describe('the event log', () => {
  it('appends behind a torn end only after mending it', async () => {
    const disk = new MemoryDisk();
    const lines = await Promise.all([0, 1].map((n) => formatEvent(event(n))));
    disk.files.set('events.jsonl', bytes(lines.join('').slice(0, -20)));
    const live: SealedReport[] = [];
    const log = await openEventLog(disk, () => live, quiet, new FakeClock());
    live.push(...log.found);
    await log.append(event(2), () => live.push(event(2)));
    expect(await sequences(disk.files.get('events.jsonl') ?? bytes(''))).toEqual([0, 2]);
  });

  it('is written anew when more of it is useless than useful, and not before', async () => {
    const disk = new MemoryDisk();
    const live: SealedReport[] = [];
    const log = await openEventLog(disk, () => live, quiet, new FakeClock());
    for (let i = 0; i < 64; i += 1) await log.append(event(i), () => {});
    await log.tidy();
    expect(disk.writes.filter(({ operation }) => operation === 'replace')).toHaveLength(0);
    await log.append(event(64), () => {});
    await log.tidy();
    expect(disk.files.get('events.jsonl')).toHaveLength(0);
  });
});
