import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, type TestContext } from 'vitest';
import { PaddockLocal } from '../../../agent/client/paddock-local.mjs';
import { AnsweredKiosk } from '../../harness/agent/answered-kiosk.ts';
import { agent } from '../../harness/agent/cli.ts';
import { until } from '../../harness/agent/fake-clock.ts';
import { RawClient } from '../../harness/agent/local-client.ts';

/** What the machine has, and beside it what another one would have. */
const HARDWARE = `
ports:
  bench: { kind: simulated }
  panel: { kind: serial-lines, path: /dev/ttyNONE0, patterns: ['^DOOR=(?<door>open|closed)$'] }
  meter: { kind: modbus-rtu, path: /dev/ttyNONE1 }
  pins: { kind: gpio, chip: pinctrl-nowhere }
  chip: { kind: gpio, chip: /dev/null }
sensors:
  temperature: { kind: number, source: { port: bench, wave: sine, periodMs: 600000, low: 18, high: 24 } }
  door: { kind: binary, source: { port: panel, field: door, on: open } }
  power: { kind: number, source: { port: meter, unit: 1, table: input, address: 12 } }
  lid: { kind: binary, source: { port: pins, line: GPIO17 } }
  flap: { kind: binary, source: { port: chip, line: 1 } }
outputs:
  lock: { kind: binary, safe: true, target: { port: pins, line: 22 } }
  lamp: { kind: binary, safe: false, target: { port: panel, send: "LAMP {value}\\n" } }
`;

const AS_ROOT = process.getuid?.() === 0;
const KEY = 'identity.key.pem';
let kiosk: AnsweredKiosk;
beforeAll(async () => {
  kiosk = await AnsweredKiosk.prepare('local: {}');
  const file = join(kiosk.home, 'agent.yaml');
  const [basics = ''] = readFileSync(file, 'utf8').split('\nports:');
  const often = basics.replace('"*/5 * * * *"', '"* * * * * *"').replace('jitterSeconds: 20', 'jitterSeconds: 0');
  writeFileSync(file, `${often}\nlocal: {}\n${HARDWARE}`);
});
afterEach(() => kiosk.end('SIGKILL'));
afterAll(() => kiosk.close());

const socket = (): string => join(kiosk.home, 'run/agent.sock');
const newest = () => kiosk.received.at(-1)?.report;
async function reports(): Promise<void> {
  const { length } = kiosk.received;
  await until(() => kiosk.received.length > length, 'it reports on');
}

it('a configuration for other hardware costs what is not there, each by its code, and the rest goes on', async () => {
  kiosk.start();
  await until(() => kiosk.received.length > 0, 'the first report');
  await reports();
  const { readings, outputs } = newest() ?? {};
  const reasons = Object.fromEntries(Object.entries(readings ?? {}).map(([name, reading]) => [name, reading.reason]));
  expect(readings?.['temperature']).toMatchObject({ value: expect.any(Number) });
  expect(reasons).toMatchObject({ door: 'unplugged', power: 'unplugged', lid: 'unplugged', flap: 'refused' });
  expect(outputs).toMatchObject({
    lock: { state: 'failed', actual: null, error: { code: 'gpio_chip_missing' } },
    lamp: { state: 'failed', actual: null, error: { code: 'output_port_gone' } },
  });
  const ended = await kiosk.end('SIGTERM');
  expect([ended?.code, newest()?.trigger.kind]).toEqual([0, 'shutdown']);
});

it('programs of the kiosk that send garbage, flood or never read cost nobody else anything', async () => {
  kiosk.start();
  await until(() => existsSync(socket()), 'the socket is there');
  const hostile = (first: string): RawClient => {
    const client = new RawClient(socket());
    client.say(first);
    return client;
  };
  const GET = 'GET /v1/state HTTP/1.1\r\nhost: kiosk\r\n\r\n';
  const garbage = hostile('\0\xff'.repeat(50));
  const flood = hostile(GET.repeat(2_000));
  const deaf = Array.from({ length: 6 }, () => hostile(GET.replace('state', 'changes')));
  for (const { socket: one } of deaf) one.pause();
  expect((await garbage.closed).split('\r\n')[0]).toBe('HTTP/1.1 400 The request is not HTTP that can be read');
  expect(await flood.closed).toContain('"code":"too_many_requests"');
  await reports();
  const state = await new PaddockLocal(socket()).state();
  expect(state.connection.online).toBe(true);
  await reports();
  for (const { socket: one } of deaf) one.destroy();
  expect((await kiosk.end('SIGTERM'))?.code).toBe(0);
});

describe('a disk', () => {
  const state = (): string => join(kiosk.home, 'state');
  /** As a file system is that turns read-only by itself: whoever has a file open keeps it. */
  const freeze = (): void => {
    execFileSync('mount', ['--bind', state(), state()]);
    execFileSync('mount', ['-o', 'remount,bind,ro', state()]);
  };
  const thaw = (): unknown => execFileSync('umount', ['--lazy', state()]);
  beforeEach(({ skip }: TestContext) => {
    skip(!AS_ROOT, 'Only root mounts disks: run this test as root');
    // With nothing but the key that `init` has made.
    const key = readFileSync(join(state(), KEY));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m,mode=700', 'tmpfs', state()]);
    writeFileSync(join(state(), KEY), key, { mode: 0o600 });
  });
  afterEach(async () => {
    await kiosk.end('SIGKILL');
    while (readFileSync('/proc/mounts', 'utf8').includes(` ${state()} `)) thaw();
  });
  const filler = (): string => join(state(), 'of-others');
  const fill = (): void => expect(() => writeFileSync(filler(), Buffer.alloc(9_000_000))).toThrow('ENOSPC');

  it('that is read-only, or full, from the start keeps the agent from starting, and says what to do', async () => {
    const refused = async (): Promise<unknown> => {
      const { code, out } = await agent(kiosk.home, 'run', '--json');
      return [code, JSON.parse(out)];
    };
    const saying = (advice: string): unknown => [
      1,
      { error: { code: 'data_dir_unusable', message: expect.stringContaining(advice) } },
    ];
    freeze();
    expect(await refused()).toEqual(saying('the file system is mounted read-only: mount it writable'));
    thaw();
    fill();
    expect(await refused()).toEqual(saying('the disk is full: free some space'));
    rmSync(filler());
    kiosk.start();
    await reports();
    expect(newest()).toMatchObject({ start: 1 });
  });

  it('that becomes read-only, or full, costs what must be on it, and the agent reports on and is whole again', async () => {
    kiosk.start();
    await until(() => existsSync(socket()), 'the socket is there');
    await reports();
    const paddock = new PaddockLocal(socket());
    const troubles = [
      freeze,
      () => {
        thaw();
        fill();
      },
    ];
    for (const [n, begin] of troubles.entries()) {
      begin();
      await reports();
      const swipe = paddock.event('card-swipe', {}, { id: `swipe-000${n}`, waitSeconds: 0, tryForSeconds: 0 });
      await expect(swipe).rejects.toMatchObject({ code: 'event_unkept' });
      await expect(paddock.takeLock('payment', 'a customer pays', 60)).rejects.toMatchObject({ code: 'lock_unkept' });
      await reports();
    }
    rmSync(filler());
    for (const n of troubles.keys())
      expect(await paddock.event('card-swipe', {}, { id: `swipe-000${n}` })).toMatchObject({ state: 'recorded' });
    await paddock.takeLock('payment', 'a customer pays', 60);
    expect((await kiosk.end('SIGTERM'))?.code).toBe(0);
  });
});
