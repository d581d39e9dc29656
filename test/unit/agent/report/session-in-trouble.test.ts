import { describe, expect, it } from 'vitest';
import { until } from '../../../harness/agent/fake-clock.ts';
import { FakeCloud } from '../../../harness/agent/fake-cloud.ts';
import { MemoryDisk } from '../../../harness/agent/memory-disk.ts';
import { DEVICE, SessionBench } from '../../../harness/agent/session.ts';
import { OUTBOX_FILE, parseOutbox } from '@paddock/agent/report/outbox-file.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { makeTestKey } from '../../../harness/signing.ts';

/** Waits in real and in virtual time. */
async function passing(bench: SessionBench, condition: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 2_000 && !condition(); i += 1) {
    await bench.clock.advance(20);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await until(condition, what);
}

describe('events when all goes wrong', () => {
  it('fills neither the disk nor the log when the connection never comes', async () => {
    const bench = await SessionBench.start({ outbox: { routineReports: 16, diskBytes: 8_192, maxAgeMs: 1e9 } });
    for (let i = 0; i < 200; i += 1) bench.event('card-swipe', { i });
    await passing(bench, () => bench.session.outbox().droppedEvents > 150, 'most of them were dropped');
    const lines = (): number => new TextDecoder().decode(bench.disk.files.get(OUTBOX_FILE)).split('\n').length;
    expect(lines()).toBeLessThan(2 * bench.held.length + 66);
    expect(bench.codes().filter((code) => code !== 'event_kept')).toEqual([]);
  });

  it('waits for no disk that hangs, and writes what it left out when the disk is back', async () => {
    const bench = await (await SessionBench.start()).connected();
    const release = bench.disk.hang(OUTBOX_FILE);
    bench.event('card-swipe', { card: '1' });
    bench.tick();
    await until(() => bench.disk.hanging === 1, 'the event waits for the disk');
    await bench.clock.advance(10_000);
    const [event, routine] = await bench.arrivals(2, { record: false });
    expect([event?.report.trigger.kind, routine?.report.trigger.kind]).toEqual(['event', 'schedule']);
    bench.event('card-swipe', { card: '2' });
    await bench.next({ record: false });
    release();
    await until(() => bench.codes().includes('outbox_file_well'), 'the disk is back');
    // The first of them was given up and written nevertheless: it is held once however often the file names it.
    const { reports } = parseOutbox(bench.disk.files.get(OUTBOX_FILE) ?? new Uint8Array(), DEVICE);
    expect(reports).toHaveLength(2);
  });

  it('let the end come in the middle of a storm', async () => {
    const bench = await (await SessionBench.start()).connected();
    const append = bench.disk.append.bind(bench.disk);
    // Whatever is kept, two more come.
    bench.disk.append = async (...given) => {
      for (let i = 0; i < 2; i += 1) bench.event('card-swipe', { i });
      await append(...given);
    };
    bench.event('card-swipe', { first: true });
    await until(() => bench.unseen > 20, 'the storm');
    let isStopped = false;
    const stopped = bench.session.stop().then(() => (isStopped = true));
    await passing(bench, () => isStopped, 'stopped');
    await stopped;
    expect(bench.link.closed).toBe(true);
    const { report } = await bench.cloud.receive(bench.link.published.at(-1)?.payload ?? '');
    expect(report.trigger.kind).toBe('shutdown');
  });
});

describe('a report that cannot be made', () => {
  it('uses up no sequence: a gap would look like a loss of the network', async () => {
    const key = await makeTestKey();
    let isBroken = false;
    const sign = async (bytes: Uint8Array): Promise<Uint8Array> => {
      if (isBroken) throw new Error('The token is gone');
      return key.signing.sign(bytes);
    };
    const cloud = await FakeCloud.create({ ...key, signing: { ...key.signing, sign } });
    const bench = await (await SessionBench.start({}, new MemoryDisk(), cloud)).connected();
    isBroken = true;
    bench.tick();
    await bench.clock.advance(0);
    await until(() => bench.codes().includes('unexpected'), 'it is said');
    isBroken = false;
    bench.tick();
    await bench.clock.advance(0);
    expect((await bench.next()).report.sequence).toBe(1);
  });
});

describe('the end with a disk that hangs', () => {
  it('comes nevertheless, before the supervisor loses its patience', async () => {
    const bench = await (await SessionBench.start()).connected();
    bench.disk.hang(OUTBOX_FILE);
    bench.event('card-swipe', { card: '1' });
    await until(() => bench.disk.hanging === 1, 'the event waits for the disk');
    const from = bench.clock.monotonic();
    let isStopped = false;
    void bench.session.stop().then(() => (isStopped = true));
    await passing(bench, () => isStopped, 'stopped');
    expect(bench.link.closed).toBe(true);
    expect(bench.clock.monotonic() - from).toBeLessThan(5_000);
  });
});

describe('answers in a flood', () => {
  it('are told of once, and do not pile up', async () => {
    const bench = await (await SessionBench.start()).connected();
    for (let i = 0; i < 500; i += 1) bench.link.deliver(topicOf('answer', DEVICE), `a.b.${i}`);
    await until(() => bench.codes().includes('envelope_not_canonical'), 'the first is refused');
    bench.tick();
    await bench.clock.advance(0);
    await bench.next();
    expect(bench.log.filter(({ message }) => message === 'An answer was not taken')).toHaveLength(1);
  });
});

describe('a broker that is away', () => {
  it('is told of once a reason', async () => {
    const bench = await SessionBench.start();
    for (let i = 0; i < 5; i += 1) bench.link.cut();
    expect(bench.codes().filter((code) => code === 'link_down')).toHaveLength(1);
    bench.link.connect();
    bench.link.cut();
    expect(bench.codes().filter((code) => code === 'link_lost')).toHaveLength(1);
  });
});
