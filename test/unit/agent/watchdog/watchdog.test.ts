import type { Disk, Link, LinkEvents, ServiceManager } from '@paddock/agent/ports.ts';
import { createPulse, type PortTold } from '@paddock/agent/watchdog/pulse.ts';
import { keepWatch } from '@paddock/agent/watchdog/watchdog.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../harness/agent/fake-clock.ts';
import { quietLog } from '../../../harness/agent/quiet-log.ts';

const MINUTE_MS = 60_000;
type Said = Parameters<ServiceManager['tell']>[0];

let clock: FakeClock;
let said: Said[];
let codes: string[];
let pulse: ReturnType<typeof createPulse>;
let over: AbortController;
beforeEach(() => {
  clock = new FakeClock();
  [said, codes] = [[], []];
  pulse = createPulse();
  over = new AbortController();
});
afterEach(() => over.abort());

function watch(watchdogMs: number | null = MINUTE_MS): void {
  const manager = { watchdogMs, tell: (lines: Said): void => void said.push(lines) };
  const parts = { clock, manager, log: quietLog(codes), vitals: () => pulse.vitals(), status: () => 'Connected' };
  void keepWatch(parts, over.signal);
}

/** How often the watchdog is told that all is well while time passes. */
async function pings(ms: number): Promise<number> {
  said.length = 0;
  await clock.advance(ms);
  return said.filter(({ WATCHDOG }) => WATCHDOG === '1').length;
}

/** Each call waits for its turn of `let go`. */
function hangingDisk(): { disk: Disk; letGo: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const hang = (): Promise<void> => promise;
  return { disk: { read: async () => null, replace: hang, append: hang, remove: hang }, letGo: resolve };
}

/** A connection whose events a test makes. */
function heardLink(): LinkEvents {
  let events: LinkEvents | null = null;
  const link: Link = { open: (heard) => void (events = heard), publish: async () => {}, close: async () => {} };
  pulse.link(link).open({ online() {}, offline() {}, message() {} });
  if (events === null) throw new Error('nobody opened it');
  return events;
}

describe('the service manager', () => {
  it('is told four times in its time that all is well, and how the agent does', async () => {
    watch();
    expect(await pings(MINUTE_MS)).toBeGreaterThanOrEqual(4);
    expect(said.at(-1)).toEqual({ STATUS: 'Connected', WATCHDOG: '1' });
  });

  it('is not told by a loop that came too late, and is again when it comes in time', async () => {
    watch();
    await clock.advance(MINUTE_MS);
    clock.skip(MINUTE_MS);
    said.length = 0;
    await clock.advance(0);
    expect(said).toEqual([{ STATUS: expect.stringContaining('The event loop came') }]);
    expect(codes).toEqual(['watchdog_late']);
    expect(await pings(MINUTE_MS)).toBe(4);
  });

  it('is not told any more when a disk hangs, and is again when it goes on', async () => {
    const { disk, letGo } = hangingDisk();
    const watched = pulse.disk(disk);
    watch();
    void watched.append('outbox.jsonl', new Uint8Array(1));
    expect(await pings(4 * MINUTE_MS)).toBe(16);
    await clock.advance(2 * MINUTE_MS);
    expect(await pings(2 * MINUTE_MS)).toBe(0);
    expect(said.at(-1)?.STATUS).toContain('No progress of the disk');
    expect(codes).toEqual(['watchdog_stalled']);
    letGo();
    expect(await pings(MINUTE_MS)).toBe(4);
  });

  it('is told for ever by a disk that has nothing to do, or fails', async () => {
    const failing: Disk = { ...hangingDisk().disk, append: () => Promise.reject(new Error('full')) };
    const watched = pulse.disk(failing);
    watch();
    await expect(watched.append('outbox.jsonl', new Uint8Array(1))).rejects.toThrow('full');
    expect(await pings(30 * MINUTE_MS)).toBe(120);
  });

  it('is told while the connection stands, or is tried again; not when nobody tries any more', async () => {
    const events = heardLink();
    watch();
    events.online();
    expect(await pings(30 * MINUTE_MS)).toBe(120);
    events.offline('gone');
    await clock.advance(4 * MINUTE_MS);
    events.offline('refused');
    expect(await pings(4 * MINUTE_MS)).toBe(16);
    await clock.advance(2 * MINUTE_MS);
    expect(await pings(MINUTE_MS)).toBe(0);
  });

  it('is not told when a port that asks by itself brings neither values nor faults', async () => {
    const port: PortTold = { name: 'meter', state: 'open', told: 0 };
    let now = port;
    pulse.sensing([{ name: 'meter', pollMs: 1_000 }], () => [now]);
    watch();
    await clock.advance(MINUTE_MS);
    now = { ...port, told: 1 };
    expect(await pings(2 * MINUTE_MS)).toBe(8);
    await clock.advance(MINUTE_MS);
    expect(await pings(MINUTE_MS)).toBe(0);
    // Unplugged, it is tried again and again.
    now = { ...port, state: 'lost' };
    expect(await pings(MINUTE_MS)).toBe(4);
  });

  it('is not told when no report is tried any more', async () => {
    let tried = 0;
    pulse.reporting(
      () => tried,
      () => MINUTE_MS,
    );
    watch();
    await clock.advance(6 * MINUTE_MS);
    tried = 1;
    expect(await pings(6 * MINUTE_MS)).toBe(24);
    await clock.advance(2 * MINUTE_MS);
    expect(await pings(MINUTE_MS)).toBe(0);
  });

  it('hears how the agent does where it does not watch', async () => {
    watch(null);
    await clock.advance(MINUTE_MS);
    expect(said.at(-1)).toMatchObject({ STATUS: 'Connected' });
  });
});
