import { afterAll, beforeAll, beforeEach, expect, onTestFailed, test, vi } from 'vitest';
import { randomOf } from '../harness/random.ts';
import { ReleaseDesk } from '../harness/release-desk.ts';
import { takeAgentOut, writeRecipe } from '../harness/vm/agent-release.ts';
import type { Chip } from '../harness/vm/gpio.ts';
import { CAN_BOOT, needsMachine } from '../harness/vm/needs-machine.ts';
import { PackagedKiosk, PINS, type Start } from '../harness/vm/packaged-kiosk.ts';

/** Software emulation on a machine that may be busy: everything takes its time. */
const WITHIN = { timeout: 180_000, interval: 500 };
const CUTS = 10;
const CUT_WITHIN_MS = 2_000;
const STOPPED_MS = 4_000;

let box: PackagedKiosk;
let desk: ReleaseDesk;
let board: Chip;

beforeAll(async () => {
  if (!CAN_BOOT) return;
  box = await PackagedKiosk.unpack();
  desk = await ReleaseDesk.open(box.cloud);
  await takeAgentOut(box.folder);
});
afterAll(async () => {
  await desk?.close();
  await box?.close();
});
beforeEach((context) => {
  needsMachine(context);
  box.kiosk.requireAnswers();
});

const wait = async (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const pin = (name: (typeof PINS)[number]): number => PINS.indexOf(name);
const readings = async (): Promise<unknown> => (await box.shown<{ readings: unknown }>()).readings;
const newest = async (): Promise<Start | undefined> => (await box.starts())[0];
const bootId = async (): Promise<string> => (await box.kiosk.succeed('cat /proc/sys/kernel/random/boot_id')).trim();
const journalOnFailure = (): void =>
  onTestFailed(async () => {
    const { stdout } = await box.kiosk.run('journalctl --no-pager -b -n 80 -u paddock-agent -u paddock-launcher');
    process.stderr.write(`${stdout}\n${box.kiosk.console.slice(-4_000)}\n`);
  });

interface Firmware {
  readonly firmware: {
    readonly state: string;
    readonly committed: boolean;
    readonly running: { readonly version: string } | null;
    readonly error?: { readonly code: string };
  } | null;
}
const firmware = async (): Promise<Firmware['firmware']> => (await box.shown<Firmware>('/firmware')).firmware;
/** The program that the unit's main process runs. */
const agentRuns = async (): Promise<string> =>
  (await box.kiosk.succeed("tr '\\0' '\\n' < /proc/$(systemctl show --value -p MainPID paddock-agent)/cmdline"))
    .split('\n')
    .find((word) => word.endsWith('.cjs')) ?? '';

test('installed from its package it starts with the machine, enrols, and reports pins and lines', async () => {
  journalOnFailure();
  await box.install();
  // Anything that makes it boot would do.
  await box.kiosk.rebooted('modprobe ramoops; echo c > /proc/sysrq-trigger');
  await box.kiosk.usb.plug();
  board = await box.kiosk.gpio.chip('board');
  await vi.waitUntil(async () => {
    const { items } = (await box.cloud.call('GET', '/devices')).body as { items: { deviceId: string }[] };
    box.device = items[0]?.deviceId ?? '';
    return box.device !== '';
  }, WITHIN);
  await expect.poll(readings, WITHIN).toMatchObject({
    door: { value: false },
    meter: { value: 0 },
    'output.lock': { value: false },
  });
  for (const pull of ['up', 'down', 'up'] as const) await box.kiosk.gpio.setPin(board, pin('METER'), pull);
  await expect.poll(readings, WITHIN).toMatchObject({ lid: { value: true }, heat: { value: 21 }, meter: { value: 2 } });
  expect(await agentRuns()).toBe('/usr/lib/paddock/paddock-agent.cjs');
  expect(await box.kiosk.succeed('systemctl is-system-running --wait')).toBe('running\n');
});

test('that the kernel broke before is told of, by what it said', async () => {
  journalOnFailure();
  await expect.poll(newest, WITHIN).toMatchObject({
    began: { machine: { reason: 'kernel_panic', detail: expect.stringContaining('sysrq') as unknown } },
  });
});

test('what runs as the same user without the directory of the key does not find it by way of the agent', async () => {
  journalOnFailure();
  const key = 'root/var/lib/paddock/agent/identity.key.pem';
  const pid = (await box.kiosk.succeed('systemctl show --value -p MainPID paddock-agent')).trim();
  const held = '--uid=paddock --property=InaccessiblePaths=/var/lib/paddock/agent';
  const thief = await box.kiosk.run(`systemd-run --quiet --wait --pipe ${held} cat /proc/${pid}/${key}`);
  expect(thief).toMatchObject({ stdout: '', stderr: expect.stringContaining('Permission denied') as unknown });
  await box.kiosk.succeed(`cat /proc/${pid}/${key}`);
});

test('an edge is reported with the time of the kernel, however late the agent hears of it', async () => {
  journalOnFailure();
  await box.kiosk.succeed('systemctl kill --signal STOP paddock-agent');
  const before = Date.now();
  await box.kiosk.gpio.setPin(board, pin('DOOR'), 'up');
  const after = Date.now();
  await wait(STOPPED_MS);
  await box.kiosk.succeed('systemctl kill --signal CONT paddock-agent');
  const change = async (): Promise<unknown> => {
    const { items } = await box.shown<{ items: { value: unknown; time: unknown }[] }>('/changes?sensor=door&limit=1');
    return items[0];
  };
  await expect.poll(change, WITHIN).toMatchObject({ value: true });
  const { time } = (await change()) as { time: { earliest: string; latest: string } };
  const [earliest, latest] = [Date.parse(time.earliest), Date.parse(time.latest)];
  expect({ earliest, latest }).toSatisfy(() => earliest <= after && latest >= before && latest < after + STOPPED_MS);
});

test('desired state moves an output', async () => {
  journalOnFailure();
  await box.cloud.call('PUT', `/devices/${box.device}/desired/outputs/lock`, { value: true });
  await vi.waitUntil(async () => (await box.kiosk.gpio.readPin(board, pin('LOCK'))) === 1, WITHIN);
  await expect
    .poll(async () => box.shown(), WITHIN)
    .toMatchObject({ outputs: { lock: { state: 'applied', desired: true, actual: true } } });
});

test('an adapter that is pulled out is told of, and read again when it is back', async () => {
  journalOnFailure();
  await box.kiosk.usb.unplug();
  await expect.poll(readings, WITHIN).toMatchObject({ heat: { quality: 'bad' }, lid: { value: true } });
  await box.kiosk.usb.plug();
  box.around.heat = -4;
  await expect.poll(readings, WITHIN).toMatchObject({ heat: { value: -4 } });
});

test('an event loop that hangs is ended by the watchdog; outputs are safe, and the next start says why', async () => {
  journalOnFailure();
  const dropIn = '/etc/systemd/system/paddock-agent.service.d/hang.conf';
  await box.kiosk.writeFile('/opt/kiosk/hang.mjs', `process.on('SIGUSR2', () => { for (;;); });`);
  await box.kiosk.succeed(`mkdir -p ${dropIn.replace(/[^/]+$/, '')}`);
  await box.kiosk.writeFile(
    dropIn,
    '[Service]\nWatchdogSec=15\nEnvironment="NODE_OPTIONS=--import /opt/kiosk/hang.mjs"\n',
  );
  await box.kiosk.succeed('systemctl daemon-reload; systemctl restart paddock-agent');
  await expect.poll(newest, WITHIN).toMatchObject({ began: { agent: { reason: 'clean' } } });
  await vi.waitUntil(async () => (await box.kiosk.gpio.readPin(board, pin('LOCK'))) === 1, WITHIN);
  await box.kiosk.succeed('systemctl kill --signal USR2 paddock-agent');
  await vi.waitUntil(async () => (await box.kiosk.gpio.readPin(board, pin('LOCK'))) === 0, WITHIN);
  await expect.poll(newest, WITHIN).toMatchObject({ began: { agent: { reason: 'watchdog', detail: 'killed ABRT' } } });
  const lastCrash = async (): Promise<unknown> => (await box.shown<{ items: unknown[] }>('/crashes')).items[0];
  await expect.poll(lastCrash, WITHIN).toMatchObject({ reason: 'watchdog', detail: 'killed ABRT' });
  await box.kiosk.succeed(`rm ${dropIn}; systemctl daemon-reload`);
});

test('a signed release with an agent of its own is installed through a reboot', async () => {
  journalOnFailure();
  await desk.release(await writeRecipe(box.folder, 1, 0), [box.device]);
  await expect.poll(firmware, WITHIN).toMatchObject({ state: 'trial', running: { version: '1.0' } });
  await box.kiosk.rebooted('systemctl reboot');
  await expect.poll(firmware, WITHIN).toMatchObject({ committed: true, running: { version: '1.0' } });
  const reasons = async (): Promise<unknown[]> => (await box.starts()).map(({ began }) => began?.machine?.reason);
  expect(await reasons()).toContain('clean');
  expect(await agentRuns()).toMatch(/^\/var\/lib\/paddock\/slots\/[ab]\/paddock-agent\/paddock-agent[.]cjs$/);
});

test('a release that is not well is gone back from', async () => {
  journalOnFailure();
  const before = await agentRuns();
  await desk.release(await writeRecipe(box.folder, 2, 1), [box.device]);
  await expect
    .poll(firmware, WITHIN)
    .toMatchObject({ committed: true, running: { version: '1.0' }, error: { code: 'update_probe_failed' } });
  await expect.poll(agentRuns, WITHIN).toBe(before);
  await expect.poll(newest, WITHIN).toMatchObject({ began: { agent: { reason: 'update', detail: 'kiosk 1.0' } } });
});

test(`comes back from ${CUTS} power cuts at random moments, and says each time why it was silent`, async () => {
  journalOnFailure();
  const seed = Date.now() % 1_000_000;
  const random = randomOf(seed);
  for (let cut = 1; cut <= CUTS; cut += 1) {
    const [before, during] = [(await newest())?.start ?? 0, await bootId()];
    await wait(random() * CUT_WITHIN_MS);
    await box.kiosk.cutPower(() => random() < 0.5);
    await box.kiosk.powerOn();
    await expect
      .poll(newest, { ...WITHIN, message: `cut ${cut} of seed ${seed}` })
      .toMatchObject({ began: { agent: { reason: 'power' }, machine: { reason: 'power' } }, start: before + 1 });
    expect((await newest())?.bootId).not.toBe(during);
  }
  // The door was drawn up before: a board without power draws nothing.
  await expect.poll(readings, WITHIN).toMatchObject({ door: { value: false }, 'output.lock': { value: true } });
  expect(await firmware()).toMatchObject({ committed: true, running: { version: '1.0' } });
});
