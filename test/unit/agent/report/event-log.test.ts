import { openEventLog } from '@paddock/agent/report/event-log.ts';
import type { SealedReport } from '@paddock/agent/report/outbox.ts';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../harness/agent/fake-clock.ts';
import { MemoryDisk } from '../../../harness/agent/memory-disk.ts';

const EVENT: SealedReport = {
  incarnation: 'aaaaaaaaaaa',
  start: 3,
  sequence: 7,
  digest: 'd'.repeat(43),
  envelope: 'header.payload.signature',
  nonce: 'nonce',
  event: true,
};

async function eventLog() {
  const disk = new MemoryDisk();
  const said: { fields: object; writes: number }[] = [];
  const say = (fields: object): void => void said.push({ fields, writes: disk.writes.length });
  const log = { debug: say, info: say, warn: say, error: say };
  return { disk, said, events: await openEventLog(disk, () => [], log, new FakeClock()) };
}

describe('the event log', () => {
  it('says that an event is on the disk, and only after it is', async () => {
    const { said, events } = await eventLog();
    await events.append(EVENT, () => undefined);
    expect(said).toEqual([{ fields: { code: 'event_kept', start: 3, sequence: 7 }, writes: 1 }]);
  });

  it('does not say so when the disk failed', async () => {
    const { disk, said, events } = await eventLog();
    disk.failNext(1);
    await events.append(EVENT, () => undefined);
    expect(said).toMatchObject([{ fields: { code: 'event_file_failed' } }]);
  });

  it('tells of a full disk once, and once that it is well again', async () => {
    const { disk, said, events } = await eventLog();
    disk.failNext(3);
    for (let i = 0; i < 5; i += 1) await events.append(EVENT, () => undefined);
    const codes = said.map(({ fields }) => ('code' in fields ? fields.code : ''));
    expect(codes.filter((code) => code !== 'event_kept')).toEqual(['event_file_failed', 'event_file_well']);
  });
});
