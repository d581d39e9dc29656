import { openDisk } from '@paddock/agent/adapters/disk.ts';
import { beginStart } from '@paddock/agent/identity/identity.ts';
import { parseState } from '@paddock/agent/identity/state-file.ts';
import { openEventLog } from '@paddock/agent/report/event-log.ts';
import { parseEvents } from '@paddock/agent/report/event-file.ts';
import type { SealedReport } from '@paddock/agent/report/outbox.ts';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../harness/agent/fake-clock.ts';
import { afterPowerCut, RecordingFiles, type Omitted } from '../../../harness/agent/power-cut.ts';

const DIR = '/data';
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

/** What the program was promised after so many changes. */
interface Promised<T> {
  readonly after: number;
  readonly value: T;
}

/** The last promise that was given before a moment. */
const promisedAt = <T>(promises: readonly Promised<T>[], count: number): T | undefined =>
  promises.findLast(({ after }) => after <= count)?.value;

/** Three starts of the agent, cut at every moment. @returns every moment whose outcome breaks a promise */
async function cutStarts(omitted: Omitted): Promise<string[]> {
  const files = new RecordingFiles(omitted);
  const disk = await openDisk(DIR, files);
  const promises: Promised<number>[] = [];
  for (let i = 0; i < 3; i += 1) {
    const { start } = await beginStart(disk);
    promises.push({ after: files.changes.length, value: start });
  }
  const broken: string[] = [];
  for (let count = 0; count <= files.changes.length; count += 1) {
    for (const left of afterPowerCut(files.changes, count)) {
      const found = await parseState(left.get(`${DIR}/state.json`) ?? null);
      const promised = promisedAt(promises, count) ?? 0;
      // Before the first promise there may be nothing; what is there must be whole, and never older than promised.
      const isFine = typeof found === 'string' ? found === 'missing' && promised === 0 : found.start >= promised;
      if (!isFine) broken.push(`cut ${count}: ${JSON.stringify(found)}, promised start ${promised}`);
    }
  }
  return broken;
}

/** Events that come, are covered and cleared away, cut at every moment. */
async function cutEvents(omitted: Omitted): Promise<string[]> {
  const files = new RecordingFiles(omitted);
  const disk = await openDisk(DIR, files);
  const live: SealedReport[] = [];
  const log = await openEventLog(disk, () => live, quiet, new FakeClock());
  const promises: Promised<string[]>[] = [];
  const promise = (): void =>
    void promises.push({ after: files.changes.length, value: live.map(({ digest }) => digest) });
  for (let i = 0; i < 3; i += 1) {
    const next = event(i);
    await log.append(next, () => live.push(next));
    promise();
  }
  live.shift();
  promise();
  await log.tidy({ all: true });
  const last = event(3);
  await log.append(last, () => live.push(last));
  promise();
  const broken: string[] = [];
  for (let count = 0; count <= files.changes.length; count += 1) {
    for (const left of afterPowerCut(files.changes, count)) {
      const { reports } = await parseEvents(left.get(`${DIR}/events.jsonl`) ?? new Uint8Array());
      const found = new Set(reports.map(({ digest }) => digest));
      const lost = (promisedAt(promises, count) ?? []).filter((digest) => !found.has(digest));
      if (lost.length > 0) broken.push(`cut ${count}: lost ${lost.join(', ')}`);
    }
  }
  return broken;
}

describe('a power cut at any moment', () => {
  it('never takes back a start that was begun, and never tears the state', async () => {
    expect(await cutStarts(null)).toEqual([]);
  });

  it('never loses an event that was kept', async () => {
    expect(await cutEvents(null)).toEqual([]);
  });

  it.each(['file-sync', 'directory-sync', 'rename'] as const)(
    'shows in the state when %s is left out',
    async (omitted) => {
      expect(await cutStarts(omitted)).not.toEqual([]);
    },
  );

  it.each(['file-sync', 'directory-sync', 'rename'] as const)(
    'shows in the events when %s is left out',
    async (omitted) => {
      expect(await cutEvents(omitted)).not.toEqual([]);
    },
  );
});
