import { Listeners, MOST_LISTENERS } from '@paddock/agent/local/listeners.ts';
import { changesBetween } from '@paddock/agent/local/state.ts';
import type { LocalListener } from '@paddock/agent/ports-local.ts';
import { uptimeMs } from '@paddock/shared/time.ts';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../harness/agent/fake-clock.ts';
import { localState } from '../../../harness/agent/local-state.ts';
import { quietLog } from '../../../harness/agent/quiet-log.ts';

describe('changes of state', () => {
  it('are none while only time passes', () => {
    const later = localState({
      uptimeMs: uptimeMs(9_000),
      readings: { door: { value: false, ageMs: 99 }, power: { value: 7.2, unit: 'kW', ageMs: 1 } },
      applications: { screen: { status: 'good', ageMs: 999 } },
      outbox: { waiting: 7, droppedRoutine: 0, droppedEvents: 0 },
    });
    expect(changesBetween(localState(), later)).toEqual([]);
  });

  it('are the readings and applications that changed, and every other part whole', () => {
    const door = { value: true, ageMs: 3 };
    const screen = { status: 'silent', ageMs: 9 } as const;
    const after = localState({
      readings: { ...localState().readings, door },
      applications: { screen },
      connection: { online: false },
      desired: { epoch: 0, version: 2, state: {} },
    });
    expect(changesBetween(localState(), after)).toEqual([
      { part: 'connection', value: { online: false } },
      { part: 'readings', value: { door } },
      { part: 'desired', value: { epoch: 0, version: 2, state: {} } },
      { part: 'applications', value: { screen } },
    ]);
  });

  it('are a lock that is taken, taken for longer, and let go, and not one whose time runs', () => {
    const lock = (leftMs: number) => localState({ lock: { owner: 'payment', reason: 'pays', leftMs } });
    const parts = (before = localState(), after = localState()): string[] =>
      changesBetween(before, after).map(({ part }) => part);
    expect(parts(localState(), lock(10))).toEqual(['lock']);
    expect(parts(lock(10), lock(5))).toEqual([]);
    expect(parts(lock(5), lock(10))).toEqual(['lock']);
    expect(parts(lock(5), localState())).toEqual(['lock']);
  });
});

/** Somebody who reads, or not. */
class Ear implements LocalListener {
  readonly heard: string[] = [];
  readonly over = new AbortController();
  isReading = true;
  ended: string | null = null;
  readonly gone = this.over.signal;
  isReady = (): boolean => this.isReading;
  say = (text: string): void => void this.heard.push(text);
  end = (text: string): void => void (this.ended = text);
}

describe('somebody who listens', () => {
  const clock = new FakeClock();
  const codes: string[] = [];
  let state = localState();
  let looks = 0;
  let fault: Error | null = null;
  const listeners = new Listeners(clock, quietLog(codes), async () => {
    looks += 1;
    if (fault !== null) throw fault;
    return state;
  });
  const listen = (): Ear => {
    const ear = new Ear();
    listeners.add()(ear);
    return ear;
  };
  const turn = (value: boolean): void => void (state = localState({ readings: { door: { value, ageMs: 0 } } }));

  it('is told everything first, then changes alone, and now and then that the agent is there', async () => {
    const ear = listen();
    await clock.advance(1_000);
    expect(ear.heard).toEqual([`retry: 1000\nevent: state\ndata: ${JSON.stringify(state)}\n\n`]);
    turn(true);
    await clock.advance(1_000);
    expect(ear.heard[1]).toBe('event: readings\ndata: {"door":{"value":true,"ageMs":0}}\n\n');
    await clock.advance(15_000);
    expect(ear.heard.slice(2)).toEqual([': beat\n\n']);
    ear.over.abort();
  });

  it('costs one text however long it does not read, and is told how things are when it does', async () => {
    const ear = listen();
    await clock.advance(200);
    ear.isReading = false;
    for (let n = 0; n < 40; n += 1) {
      turn(n % 2 === 0);
      await clock.advance(500);
    }
    turn(false);
    expect([ear.heard.length, ear.ended]).toEqual([1, null]);
    ear.isReading = true;
    await clock.advance(200);
    expect(ear.heard[1]).toContain('"door":{"value":false');
    ear.over.abort();
  });

  it('is cut off when it reads nothing for half a minute', async () => {
    const [deaf, ear] = [listen(), listen()];
    await clock.advance(200);
    deaf.isReading = false;
    await clock.advance(31_000);
    expect(deaf.ended).toContain('"code":"listener_too_slow"');
    expect(codes).toEqual(['listener_too_slow']);
    expect(ear.ended).toBeNull();
    ear.over.abort();
  });

  it('hears on when the state could not be read for a while', async () => {
    const ear = listen();
    await clock.advance(200);
    fault = Object.assign(new Error('the disk fails'), { code: 'EIO' });
    turn(true);
    await clock.advance(1_000);
    expect(ear.heard).toHaveLength(1);
    fault = null;
    await clock.advance(200);
    expect([ear.heard.length, codes.filter((code) => code === 'local_state_unread').length]).toEqual([2, 1]);
    ear.over.abort();
  });

  it('is one of so many, and nothing is looked at when there is none', async () => {
    const all = Array.from({ length: MOST_LISTENERS }, listen);
    expect(listen).toThrow(expect.objectContaining({ code: 'too_many_listeners' }));
    all.forEach((ear) => ear.over.abort());
    await clock.advance(1_000);
    const before = looks;
    await clock.advance(10_000);
    expect(looks).toBe(before);
  });

  it('is told when the agent stops, and nobody is taken in any more', () => {
    const ear = listen();
    listeners.stop();
    expect(ear.ended).toContain('"code":"stopping"');
    expect(listen).toThrow(expect.objectContaining({ code: 'stopping' }));
  });
});
