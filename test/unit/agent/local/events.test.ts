import { MOST_NOTES, NOTES_FILE } from '@paddock/agent/local/event-notes.ts';
import { EVENT_BURST } from '@paddock/agent/report/triggers.ts';
import { describe, expect, it } from 'vitest';
import { until } from '../../../harness/agent/fake-clock.ts';
import { LocalEventsBench, SWIPE } from '../../../harness/agent/local-events.ts';
import { SessionBench } from '../../../harness/agent/session.ts';

const ID = 'swipe-0001';
const connected = async (): Promise<LocalEventsBench> =>
  LocalEventsBench.on(await (await SessionBench.start()).connected());
const offline = async (): Promise<LocalEventsBench> => LocalEventsBench.on(await SessionBench.start());

/** What the cloud was told of events, in the order in which it was. */
const swipes = ({ bench }: LocalEventsBench): (string | undefined)[] =>
  bench.cloud.received.flatMap(({ report: { trigger } }) => (trigger.kind === 'event' ? [trigger.id] : []));

describe('an event of the kiosk’s own software', () => {
  it('is answered when the cloud has recorded it, by the moment at which it came', async () => {
    const local = await connected();
    const told = local.post(ID);
    const received = await local.bench.next();
    expect(received.report.trigger).toMatchObject({ kind: 'event', ...SWIPE, id: ID });
    await local.bench.answer(received);
    const receivedAt = expect.stringMatching(/Z$/);
    expect(await told).toEqual([200, { id: ID, state: 'recorded', receivedAt }]);
  });

  it('is on the disk before it is accepted', async () => {
    const local = await connected();
    const go = local.bench.disk.hang('outbox.jsonl');
    let isTold = false;
    const told = local.post(ID, SWIPE, 0).finally(() => (isTold = true));
    await local.bench.clock.advance(5_000);
    expect(isTold).toBe(false);
    go();
    expect(await told).toEqual([202, { id: ID, state: 'kept', why: 'timeout' }]);
    const text = Buffer.from(local.bench.disk.files.get('outbox.jsonl') ?? []).toString();
    expect(text).toContain(ID);
  });

  it('is reported once, however often it is posted: at once, later, and when it is recorded', async () => {
    const local = await connected();
    const both = Promise.all([local.post(ID, SWIPE, 0), local.post(ID, SWIPE, 0)]);
    expect(await both).toEqual([
      [202, { id: ID, state: 'kept', why: 'timeout' }],
      [202, { id: ID, state: 'kept', why: 'timeout' }],
    ]);
    await local.post(ID, SWIPE, 0);
    await local.bench.answer(await local.bench.next());
    expect(await local.post(ID)).toMatchObject([200, { state: 'recorded' }]);
    await local.bench.clock.advance(10_000);
    expect([swipes(local), local.bench.unseen]).toEqual([[ID], 0]);
  });

  it('keeps its id from being used for another one', async () => {
    const local = await connected();
    await local.post(ID, SWIPE, 0);
    expect(await local.post(ID, { name: 'card-swipe', data: { card: 'other' } }, 0)).toBe('event_id_reused');
    await local.bench.answer(await local.bench.next());
    expect(await local.post(ID, { name: 'door-opened' }, 0)).toBe('event_id_reused');
  });

  it('is told to be kept as soon as nobody can answer, and recorded when somebody has', async () => {
    const local = await offline();
    expect(await local.post(ID)).toEqual([202, { id: ID, state: 'kept', why: 'offline' }]);
    local.bench.link.connect();
    const opening = await local.bench.next();
    const told = local.ask(ID, 1e9);
    await local.bench.answer(opening);
    const [swipe] = (await local.bench.arrivals(2)).filter(({ report }) => report.trigger.kind === 'event');
    if (swipe) await local.bench.answer(swipe);
    expect(await told).toMatchObject([200, { state: 'recorded' }]);
  });

  it('is told to be kept when the connection breaks meanwhile', async () => {
    const local = await connected();
    const told = local.post(ID);
    await local.bench.next();
    local.bench.link.cut();
    expect(await told).toEqual([202, { id: ID, state: 'kept', why: 'offline' }]);
  });

  it('is told to be recorded although the answer was there before it was known, and one to an earlier start since', async () => {
    const local = await LocalEventsBench.on(await (await SessionBench.start({ start: 2 })).connected());
    const { bench, events } = local;
    const isKnown = Promise.withResolvers<void>();
    local.known = isKnown.promise;
    const told = local.post(ID);
    await bench.answer(await bench.next());
    await until(() => bench.held.length === 0, 'it is answered');
    const [newest] = local.answers.slice(-1);
    if (newest) events.answered({ ...newest, start: 1, recorded: [[1, 1]] });
    isKnown.resolve();
    expect(await told).toMatchObject([200, { state: 'recorded' }]);
  });

  it('is told to be refused, by the cloud’s code', async () => {
    const local = await connected();
    const told = local.post(ID);
    const { digest, report } = await local.bench.next({ record: false });
    const code = 'payload_invalid';
    await local.bench.answer({ digest, report, envelope: '' }, { rejected: [{ sequence: null, digest, code }] });
    expect(await told).toEqual([200, { id: ID, state: 'rejected', code }]);
  });

  it('is not accepted while the disk takes nothing, and is not posted twice when it does', async () => {
    const local = await offline();
    local.bench.disk.failNext(1_000);
    expect(await local.post(ID)).toBe('event_unkept');
    local.bench.disk.failNext(0);
    await local.post('swipe-0002');
    expect(await local.post(ID)).toEqual([202, { id: ID, state: 'kept', why: 'offline' }]);
    const held = local.bench.session.outbox().held.filter(({ event }) => event);
    expect(held.map(({ eventId, onDisk }) => [eventId, onDisk])).toEqual([
      [ID, true],
      ['swipe-0002', true],
    ]);
  });

  it('is accepted when it is asked for again and the disk is back, although nothing else is written', async () => {
    const local = await offline();
    local.bench.disk.failNext(1_000);
    expect([await local.post(ID), await local.post(ID)]).toEqual(['event_unkept', 'event_unkept']);
    local.bench.disk.failNext(0);
    expect(await local.ask(ID)).toBe('event_unkept');
    expect(await local.post(ID)).toEqual([202, { id: ID, state: 'kept', why: 'offline' }]);
    expect(Buffer.from(local.bench.disk.files.get('outbox.jsonl') ?? []).toString()).toContain(ID);
  });

  it('is not unknown while it is on its way to the disk', async () => {
    const local = await offline();
    const go = local.bench.disk.hang('outbox.jsonl');
    const posted = local.post(ID);
    await local.bench.clock.advance(100);
    const asked = local.ask(ID);
    await local.bench.clock.advance(100);
    go();
    const kept = [202, { id: ID, state: 'kept', why: 'offline' }];
    expect([await posted, await asked]).toEqual([kept, kept]);
  });

  it('is refused rather than that an older one is dropped for it', async () => {
    const local = await offline();
    const told: unknown[] = [];
    for (let n = 0; n < EVENT_BURST && told.at(-1) !== 'outbox_full'; n += 1)
      told.push(await local.post(`swipe-${String(n).padStart(4, '0')}`, SWIPE, 0));
    expect(told.at(-1)).toBe('outbox_full');
    expect(local.bench.session.outbox()).toMatchObject({ droppedEvents: 0, waiting: told.length });
  });

  it('is refused in a storm, and counted by nobody as lost', async () => {
    const bench = await SessionBench.start({ outbox: { routineReports: 64, diskBytes: 8_388_608, maxAgeMs: 1e9 } });
    const local = await LocalEventsBench.on(bench);
    const posted = Array.from({ length: EVENT_BURST + 1 }, (_, n) => local.post(`storm-${n}-of-many`, SWIPE, 0));
    const told = await Promise.all(posted);
    expect(told.filter((one) => one === 'too_many_events')).toHaveLength(1);
    expect(bench.session.outbox().droppedEvents).toBe(0);
  });

  it('is refused when its data would not fit a report, or would be refused by the cloud for good', async () => {
    const local = await connected();
    const deep = JSON.parse(`${'{"a":'.repeat(20)}1${'}'.repeat(20)}`) as Record<string, unknown>;
    expect(await local.post(ID, { name: 'a', data: { text: 'x'.repeat(5_000) } })).toBe('event_data_too_large');
    expect(await local.post(ID, { name: 'a', data: deep })).toBe('request_invalid');
    expect(local.bench.unseen).toBe(0);
  });

  it('is taken no more when the agent stops, and who waits is told what holds', async () => {
    const local = await connected();
    const told = local.post(ID);
    await local.bench.next();
    local.events.stop();
    expect(await told).toEqual([202, { id: ID, state: 'kept', why: 'stopping' }]);
    expect(await local.post('swipe-0002')).toBe('stopping');
  });
});

describe('an event that an agent before this one took', () => {
  it('is known while it waits, so that it is not reported again', async () => {
    const before = await offline();
    await before.post(ID);
    const bench = await SessionBench.start({ start: 2 }, before.bench.disk.copy(), before.bench.cloud);
    const local = await LocalEventsBench.on(bench);
    expect(await local.post(ID)).toEqual([202, { id: ID, state: 'kept', why: 'offline' }]);
    expect(bench.session.outbox().held.filter(({ event }) => event)).toHaveLength(1);
  });

  it('keeps its id from being used for another one, while it waits and when it is recorded', async () => {
    const before = await offline();
    const odd = { name: 'card-swipe', data: { b: [1.5, null, { z: 'ü\ud800\u0000', a: -0 }], 2: 'two', 1: true } };
    const bare = { name: 'card-swipe' };
    await before.post(ID, odd);
    await before.post('swipe-0002', bare);
    const bench = await SessionBench.start({ start: 2 }, before.bench.disk.copy(), before.bench.cloud);
    const local = await LocalEventsBench.on(bench);
    const kept = [202, { state: 'kept', why: 'offline' }];
    expect([await local.post(ID, odd), await local.post('swipe-0002', bare)]).toMatchObject([kept, kept]);
    for (const id of [ID, 'swipe-0002']) expect(await local.post(id)).toBe('event_id_reused');
    bench.link.connect();
    await bench.answer(await bench.next());
    const told = Promise.all([local.post(ID, odd), local.post('swipe-0002', bare)]);
    for (const received of await bench.arrivals(2)) await bench.answer(received);
    const recorded = [200, { state: 'recorded' }];
    expect(await told).toMatchObject([recorded, recorded]);
    for (const id of [ID, 'swipe-0002']) expect(await local.post(id)).toBe('event_id_reused');
  });

  it('is known when it was recorded', async () => {
    const before = await connected();
    const told = before.post(ID);
    await before.bench.answer(await before.bench.next());
    await told;
    const disk = before.bench.disk.copy();
    // As soon as an answer covers it, the outbox need not have it any more.
    disk.files.delete('outbox.jsonl');
    const bench = await SessionBench.start({ start: 2 }, disk, before.bench.cloud);
    const local = await LocalEventsBench.on(bench);
    expect(await local.post(ID)).toMatchObject([200, { state: 'recorded' }]);
    expect(await local.ask('never-posted')).toBe('event_unknown');
  });

  it('is one of so many that are remembered, and a torn line costs itself alone', async () => {
    const local = await connected();
    const { disk } = local.bench;
    disk.failNext(1, 20, NOTES_FILE);
    for (const id of [ID, 'swipe-0002']) {
      const told = local.post(id);
      await local.bench.answer(await local.bench.next());
      await told;
    }
    expect(local.codes).toContain('local_event_unnoted');
    const left = disk.copy();
    left.files.delete('outbox.jsonl');
    const again = await LocalEventsBench.on(await SessionBench.start({ start: 2 }, left, local.bench.cloud));
    expect(await again.ask('swipe-0002')).toMatchObject([200, { state: 'recorded' }]);
    expect(await again.ask(ID)).toBe('event_unknown');
    expect(MOST_NOTES).toBeGreaterThan(EVENT_BURST);
  });
});
