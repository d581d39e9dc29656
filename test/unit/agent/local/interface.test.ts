import { Applications } from '@paddock/agent/local/applications.ts';
import { LocalInterface } from '@paddock/agent/local/interface.ts';
import { Listeners } from '@paddock/agent/local/listeners.ts';
import { LocalLock } from '@paddock/agent/local/lock.ts';
import { openUpdateLock } from '@paddock/agent/update/lock.ts';
import { describe, expect, it } from 'vitest';
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
