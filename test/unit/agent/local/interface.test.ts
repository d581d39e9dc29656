import { Applications } from '@paddock/agent/local/applications.ts';
import { LocalInterface } from '@paddock/agent/local/interface.ts';
import { Listeners } from '@paddock/agent/local/listeners.ts';
import { LOCK_TAKES } from '@paddock/agent/local/budget.ts';
import { LocalLock } from '@paddock/agent/local/lock.ts';
import { openUpdateLock } from '@paddock/agent/update/lock.ts';
import { describe, expect, it, vi } from 'vitest';
import { LocalEventsBench, SWIPE } from '../../../harness/agent/local-events.ts';
import { localState } from '../../../harness/agent/local-state.ts';
import { quietLog } from '../../../harness/agent/quiet-log.ts';
import { SessionBench } from '../../../harness/agent/session.ts';

const { bench, events, gone } = await LocalEventsBench.on(await (await SessionBench.start()).connected());
const { clock, disk } = bench;
const log = quietLog();
const applications = new Applications(['screen'], clock, log);
const state = async () => localState();
const lock = new LocalLock(openUpdateLock({ clock, disk, bootId: 'a-boot' }), clock);
const served = new LocalInterface({
  clock,
  log,
  events,
  applications,
  state,
  lock,
  listeners: new Listeners(clock, log, state),
});

const ask = async (method: string, path: string, body: object = {}, wait = '60'): Promise<unknown> => {
  const query = new Map([['wait', wait]]);
  const reply = await served.answer({ method, path, query, body: JSON.stringify(body), gone: gone.signal });
  return 'status' in reply ? [reply.status, 'code' in reply.body ? reply.body.code : ''] : reply;
};

describe('requests about events, which wait for the cloud', () => {
  it('are so many, and keep nobody from saying how he is, from the lock and from the state', async () => {
    const waiting = Array.from({ length: 16 }, (_, n) => ask('PUT', `/v1/events/swipe-00${n}`, SWIPE));
    await clock.advance(200);
    expect(await ask('PUT', '/v1/events/swipe-0099', SWIPE, '0')).toEqual([429, 'too_many_requests']);
    const health = { status: 'good', withinSeconds: 30 };
    expect([
      await ask('PUT', '/v1/applications/screen', health),
      await ask('PUT', '/v1/lock/payment', { reason: 'a customer pays', seconds: 60 }),
      await ask('GET', '/v1/state'),
    ]).toEqual([
      [200, ''],
      [200, ''],
      [200, ''],
    ]);
    gone.abort();
    expect(new Set((await Promise.all(waiting)).map(String))).toEqual(new Set(['202,']));
    expect(await ask('GET', '/v1/events/swipe-0099')).toEqual([404, 'event_unknown']);
  });
});

describe('the lock', () => {
  it('is written as often as a disk can bear it, whoever takes it, and can always be let go', async () => {
    await clock.advance(600_000);
    const replace = vi.spyOn(disk, 'replace');
    const body = { reason: 'a customer pays', seconds: 60 };
    const statuses: unknown[] = [];
    for (let n = 0; n < 200; n += 1) {
      statuses.push(await ask('PUT', `/v1/lock/app-${n % 7}`, body));
      await ask('DELETE', `/v1/lock/app-${n % 7}`);
    }
    const refused = [429, 'too_many_lock_takes'];
    expect(statuses.slice(0, LOCK_TAKES.most).every((said) => String(said) === '200,')).toBe(true);
    expect(new Set(statuses.slice(LOCK_TAKES.most).map(String))).toEqual(new Set([String(refused)]));
    expect(replace).toHaveBeenCalledTimes(LOCK_TAKES.most);
    await clock.advance(5_000);
    expect(await ask('PUT', '/v1/lock/payment', body)).toEqual([200, '']);
    // Who asks for what another one holds writes nothing, and hears that it is held.
    for (let n = 0; n < 50; n += 1) expect(await ask('PUT', '/v1/lock/screen', body)).toEqual([409, 'lock_held']);
    expect(await ask('PUT', '/v1/lock/payment', body)).toEqual(refused);
    expect(await ask('DELETE', '/v1/lock/payment')).toEqual([200, '']);
    await clock.advance(5_000);
    expect(await ask('PUT', '/v1/lock/screen', body)).toEqual([200, '']);
    expect(replace).toHaveBeenCalledTimes(LOCK_TAKES.most + 2);
  });
});

it('a method that an address does not take is refused with those that it takes', async () => {
  const reply = await served.answer({
    method: 'POST',
    path: '/v1/lock/a',
    query: new Map(),
    body: '',
    gone: gone.signal,
  });
  expect(reply).toMatchObject({ status: 405, allow: 'PUT, DELETE' });
});
