import { OUTBOX_FILE } from '@paddock/agent/report/outbox-file.ts';
import { EVENT_BURST } from '@paddock/agent/report/triggers.ts';
import { describe, expect, it } from 'vitest';
import { until } from '../../../harness/agent/fake-clock.ts';
import { FakeCloud } from '../../../harness/agent/fake-cloud.ts';
import { MemoryDisk } from '../../../harness/agent/memory-disk.ts';
import { SessionBench } from '../../../harness/agent/session.ts';
import { makeTestKey } from '../../../harness/signing.ts';

describe('a session in a storm of events', () => {
  it('has them on the disk before time passes, in their order, and counts what it drops', async () => {
    const outbox = { routineReports: 16, diskBytes: 4_194_304, maxAgeMs: 30 * 86_400_000 };
    const bench = await (await SessionBench.start({ outbox })).connected();
    for (let i = 0; i < 700; i += 1) bench.event('card-swipe', { i });
    expect(bench.session.outbox().droppedEvents).toBe(700 - EVENT_BURST);
    expect(bench.codes().filter((code) => code === 'event_storm')).toHaveLength(1);
    await until(() => bench.codes().filter((code) => code === 'event_kept').length === EVENT_BURST, 'all are kept');
    const lines = new TextDecoder().decode(bench.disk.files.get(OUTBOX_FILE)).trim().split('\n');
    expect(lines.length).toBeGreaterThanOrEqual(EVENT_BURST);
    const first = await bench.arrivals(16, { record: true });
    expect(first.map(({ report: { trigger } }) => (trigger.kind === 'event' ? trigger.data?.i : null))).toEqual(
      Array.from({ length: 16 }, (_, i) => i),
    );
  });

  it('writes those together that come while the disk is busy, and sees other reports after them', async () => {
    const key = await makeTestKey();
    let signed = 0;
    const sign = (bytes: Uint8Array): Promise<Uint8Array> => {
      signed += 1;
      return key.signing.sign(bytes);
    };
    const cloud = await FakeCloud.create({ ...key, signing: { ...key.signing, sign } });
    const bench = await (await SessionBench.start({}, new MemoryDisk(), cloud)).connected();
    const before = bench.disk.writes.length;
    const back = bench.disk.hang();
    for (let i = 0; i < 40; i += 1) bench.event('card-swipe', { i });
    bench.urgent('door');
    await until(() => signed === 42, 'all of them are made');
    expect(bench.unseen).toBe(0);
    back();
    const seen = await bench.arrivals(41);
    expect(seen.map(({ report }) => report.sequence)).toEqual(Array.from({ length: 41 }, (_, i) => i + 1));
    expect(bench.disk.writes.length - before).toBeLessThan(10);
  });
});
