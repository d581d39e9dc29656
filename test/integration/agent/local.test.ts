import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createSystemClock } from '@paddock/agent/adapters/system-clock.ts';
import { loadConfig } from '@paddock/agent/config.ts';
import { checkLocal } from '@paddock/agent/doctor-local.ts';
import type { Finding } from '@paddock/agent/finding.ts';
import { turnsIn } from '@paddock/agent/update-lock.ts';
import { PaddockLocal, type State } from '../../../agent/client/paddock-local.mjs';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { AnsweredKiosk } from '../../harness/agent/answered-kiosk.ts';
import { agent } from '../../harness/agent/cli.ts';
import { until } from '../../harness/agent/fake-clock.ts';
import { ask } from '../../harness/agent/local-client.ts';

const YAML = 'local: { applications: [screen, kiosk-app] }';
const APPLICATION = join(import.meta.dirname, '../../../firmware-bundles/kiosk-app');
const WITHIN = { timeout: 30_000, interval: 50 };
const READING = 'application.screen';

describe('the software of a kiosk', () => {
  let kiosk: AnsweredKiosk;
  let paddock: PaddockLocal;
  let socket: string;

  const opens = (): Promise<void> => until(() => existsSync(socket), 'the socket is there');
  const online = async (): Promise<void> => {
    let state: State | null = null;
    const stop = paddock.follow((is) => (state = is));
    await until(() => state?.connection.online === true, 'it is online');
    stop();
  };
  /** Reports of an event, each once however often it was sent. */
  const reportsOf = (id: string): string[] => [
    ...new Set(
      kiosk.received.flatMap(({ digest, report: { trigger } }) =>
        trigger.kind === 'event' && trigger.id === id ? [digest] : [],
      ),
    ),
  ];
  const doctor = async (running: boolean): Promise<Finding | undefined> =>
    (await checkLocal(await loadConfig(join(kiosk.home, 'agent.yaml')), running))[0];

  beforeAll(async () => {
    kiosk = await AnsweredKiosk.prepare(YAML);
    socket = join(kiosk.home, 'run/agent.sock');
    paddock = new PaddockLocal(socket);
  });
  afterAll(() => kiosk.close());

  it('hears of an event that the cloud has recorded it', async () => {
    kiosk.start();
    await opens();
    await online();
    const told = await paddock.event('card-swipe', { card: '04A2F7C1' }, { id: 'swipe-0001' });
    expect(told).toEqual({ id: 'swipe-0001', state: 'recorded', receivedAt: expect.stringMatching(/Z$/) });
    const again = await paddock.event('card-swipe', { card: '04A2F7C1' }, { id: 'swipe-0001' });
    expect([again.state, reportsOf('swipe-0001').length]).toEqual(['recorded', 1]);
  });

  it('asks again with the same id after the agent was killed, and one event comes of it', async () => {
    kiosk.isAnswering = false;
    const told = await paddock.event('card-swipe', { card: '2' }, { id: 'swipe-0002', waitSeconds: 0 });
    expect(told).toMatchObject({ state: 'kept' });
    await kiosk.end('SIGKILL');
    const again = paddock.event('card-swipe', { card: '2' }, { id: 'swipe-0002', waitSeconds: 30 });
    kiosk.isAnswering = true;
    kiosk.start();
    // Before it is connected it says that the event is kept.
    expect(['kept', 'recorded']).toContain((await again).state);
    await online();
    expect(await paddock.outcome('swipe-0002', { waitSeconds: 30 })).toMatchObject({ state: 'recorded' });
    expect(reportsOf('swipe-0002')).toHaveLength(1);
  });

  it('says how it is, and its silence is reported at once', async () => {
    const readings = (): unknown[] => kiosk.received.map(({ report }) => report.readings[READING]?.value);
    expect(readings()).not.toContain(true);
    await paddock.sayHealth('screen', 'good', { withinSeconds: 1 });
    await until(() => readings().includes(true), 'it is reported to be well');
    await until(() => {
      const last = kiosk.received.at(-1)?.report;
      return last?.trigger.kind === 'change' && last.readings[READING]?.reason === 'stale';
    }, 'its silence is reported');
    expect(kiosk.received.at(-1)?.report.trigger).toEqual({ kind: 'change', sensor: READING });
    expect(await paddock.state()).toMatchObject({ applications: { screen: { status: 'silent' } } });
    await expect(paddock.sayHealth('stranger', 'good')).rejects.toMatchObject({ code: 'application_unknown' });
  });

  it('holds updates back by the same lock as the command', async () => {
    expect(await paddock.takeLock('payment', 'a customer pays', 60)).toMatchObject({ owner: 'payment' });
    await expect(paddock.takeLock('charging', 'a car charges', 60)).rejects.toMatchObject({ code: 'lock_held' });
    const { out } = await agent(kiosk.home, 'lock', 'show', '--json');
    expect(JSON.parse(out)).toMatchObject({ holder: { owner: 'payment', reason: 'a customer pays' } });
    await paddock.releaseLock('payment');
    await expect(paddock.releaseLock('payment')).rejects.toMatchObject({ code: 'lock_not_held' });
    await expect(paddock.takeLock('payment', '', 60)).rejects.toMatchObject({ code: 'lock_invalid' });
    const both = await Promise.allSettled([paddock.takeLock('a', 'x', 9), paddock.takeLock('b', 'x', 9)]);
    expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    await paddock.releaseLock('a');
  });

  it('takes its turn among all who take the lock', async () => {
    const clock = createSystemClock();
    const { asked, first } = await turnsIn(
      join(kiosk.home, 'state'),
      clock,
    )(async () => {
      const taken = paddock.takeLock('payment', 'a customer pays', 60);
      const winner = await Promise.race([taken.then(() => 'it'), clock.sleep(300).then(() => 'who had the turn')]);
      return { asked: { taken }, first: winner };
    });
    expect([first, (await asked.taken).owner]).toEqual(['who had the turn', 'payment']);
    await paddock.releaseLock('payment');
  });

  it('is told that something failed while the disk cannot be read, and is served on', async () => {
    const inTheWay = join(kiosk.home, 'state/update-lock.json');
    const seen: (State | null)[] = [];
    const stop = paddock.follow((state) => void seen.push(state));
    await until(() => seen.length > 0, 'the state comes');
    mkdirSync(inTheWay);
    await expect(paddock.state()).rejects.toMatchObject({ code: 'internal' });
    await new Promise((resolve) => setTimeout(resolve, 500));
    rmdirSync(inTheWay);
    await paddock.takeLock('payment', 'a customer pays', 60);
    await until(() => seen.at(-1)?.lock?.owner === 'payment', 'the lock comes');
    stop();
    expect(seen).not.toContain(null);
    await paddock.releaseLock('payment');
  });

  it('is served although what became of its events cannot be read', async () => {
    const notes = join(kiosk.home, 'state/local-events.jsonl');
    await kiosk.end('SIGTERM');
    renameSync(notes, `${notes}.aside`);
    mkdirSync(notes);
    kiosk.start();
    await opens();
    await online();
    expect(await paddock.event('card-swipe', { card: '3' }, { id: 'swipe-0004' })).toMatchObject({ state: 'recorded' });
    rmdirSync(notes);
    renameSync(`${notes}.aside`, notes);
  });

  it('follows the state over a restart of the agent', async () => {
    const seen: (State | null)[] = [];
    const stop = paddock.follow((state) => void seen.push(state));
    await until(() => seen.at(-1)?.readings['door'] !== undefined, 'the state comes');
    await paddock.takeLock('payment', 'a customer pays', 60);
    await until(() => seen.at(-1)?.lock?.owner === 'payment', 'the lock comes');
    await kiosk.end('SIGTERM');
    expect(existsSync(socket)).toBe(false);
    await until(() => seen.at(-1) === null, 'it is gone');
    kiosk.start();
    await until(() => seen.at(-1)?.lock?.owner === 'payment', 'it is back, and so is the lock');
    stop();
    await paddock.releaseLock('payment');
  });

  it('is told what is wrong with what it asks', async () => {
    const told = async (method: string, path: string, body?: unknown): Promise<unknown[]> => {
      const { status, body: problem } = await ask(socket, method, path, body);
      return [status, problem['code']];
    };
    expect(await told('GET', '/v2/state')).toEqual([404, 'not_found']);
    expect(await told('GET', '/v1/state/')).toEqual([404, 'not_found']);
    expect(await told('DELETE', '/v1/lock/%E0%A4%A')).toEqual([404, 'not_found']);
    expect(await told('POST', '/v1/state')).toEqual([405, 'method_not_allowed']);
    expect((await ask(socket, 'POST', '/v1/lock/screen')).headers['allow']).toBe('PUT, DELETE');
    expect(await told('PUT', '/v1/events/short', {})).toEqual([400, 'request_invalid']);
    expect(await told('PUT', '/v1/events/swipe-0003', '{')).toEqual([400, 'body_malformed']);
    expect(await told('PUT', '/v1/events/swipe-0003', { name: 'A' })).toEqual([400, 'request_invalid']);
    expect(await told('PUT', '/v1/events/swipe-0003', { name: 'a', more: 1 })).toEqual([400, 'request_invalid']);
    expect(await told('PUT', '/v1/events/swipe-0003?wait=61', { name: 'a' })).toEqual([400, 'request_invalid']);
    expect(await told('GET', '/v1/events/swipe-0003')).toEqual([404, 'event_unknown']);
    expect(await told('PUT', '/v1/applications/screen', { status: 'fine' })).toEqual([400, 'request_invalid']);
    expect(await told('DELETE', '/v1/lock/nobody')).toEqual([409, 'lock_not_held']);
  });

  it('may be the demonstration’s application, which says how it is and has a card answered for', async () => {
    const slot = join(kiosk.home, 'slot');
    for (const part of ['application', '1.0.0/payload']) cpSync(join(APPLICATION, part), slot, { recursive: true });
    const env = { ...process.env, PADDOCK_APP_DIR: join(kiosk.home, 'run') };
    const child = spawn(process.execPath, [join(slot, 'bin/kiosk-app')], {
      env,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const own = join(kiosk.home, 'run/kiosk-app.sock');
    try {
      await vi.waitFor(async () => {
        expect((await paddock.state()).applications['kiosk-app']).toMatchObject({ status: 'good' });
        expect((await ask(own, 'GET', '/kiosk')).body).toMatchObject({ device: 'kiosk-0001', online: true });
      }, WITHIN);
      const { body } = await ask(own, 'POST', '/card/04A2F7C1');
      expect(body).toMatchObject({ state: 'recorded' });
      expect(reportsOf(String(body['id']))).toHaveLength(1);
      expect((await paddock.state()).lock).toBeNull();
    } finally {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  });

  it('is in the doctor’s words: running, killed, stopped, and kept out', async () => {
    expect(await doctor(true)).toMatchObject({ status: 'ok', message: expect.stringContaining('An agent answers') });
    expect(await doctor(false)).toMatchObject({ status: 'fail', code: 'local_in_use' });
    await kiosk.end('SIGKILL');
    expect(await doctor(false)).toMatchObject({ status: 'ok', message: expect.stringContaining('replaces it') });
    expect(await doctor(true)).toMatchObject({ status: 'fail', code: 'local_not_open' });
    rmSync(socket);
    expect(await doctor(false)).toMatchObject({
      status: 'ok',
      message: expect.stringContaining('is made at the start'),
    });
    writeFileSync(socket, 'no socket');
    expect(await doctor(false)).toMatchObject({ status: 'fail', code: 'local_path_taken' });
  });

  it('has no interface when its place is taken, and the agent reports all the same', async () => {
    mkdirSync(join(kiosk.home, 'run'), { recursive: true });
    writeFileSync(socket, 'no socket');
    const before = kiosk.received.length;
    kiosk.start();
    await until(() => kiosk.received.length > before, 'it reports');
    expect(await doctor(true)).toMatchObject({ code: 'local_path_taken' });
    const ended = await kiosk.end('SIGTERM');
    expect([ended?.code, ended?.err.includes('"code":"local_path_taken"')]).toEqual([0, true]);
  });
});
