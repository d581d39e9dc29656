import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Updating } from '@paddock/agent/updating.ts';
import type { Recipe } from '@paddock/cloud/bundles/recipe.ts';
import type { Release } from '@paddock/shared/firmware.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createRauc } from '@paddock/agent/adapters/rauc.ts';
import { lastingRepository, publish } from '../../harness/agent/built-releases.ts';
import { beginKiosk, type KioskStart } from '../../harness/agent/rauc-kiosk.ts';
import { RaucMachine } from '../../harness/agent/rauc-machine.ts';
import { serveRepository } from '../../harness/agent/repository-server.ts';
import type { UpdateRepository } from '../../harness/agent/update-device.ts';

const AGENT = join(import.meta.dirname, '../../harness/agent/rauc-agent.ts');
const WITHIN = { timeout: 30_000, interval: 20 };
const HEALTH = { withinSeconds: 1, settleSeconds: 0, sensors: false };
const NEVER_WELL = { ...HEALTH, probe: { command: ['false'], timeoutSeconds: 5 } };

let machine: RaucMachine;
let repository: UpdateRepository;
let server: Awaited<ReturnType<typeof serveRepository>>;
let root: string;
let updating: Updating | null = null;

beforeEach(async ({ skip }) => {
  skip(process.getuid?.() !== 0, 'RAUC mounts its bundles, which only root may: run this test as root');
  machine = new RaucMachine();
  repository = lastingRepository();
  server = await serveRepository(repository);
  root = join(machine.home, 'root.json');
  await writeFile(root, repository.file('metadata/1.root.json'));
});
afterEach(async () => {
  await end();
  server?.close();
  await machine?.close();
});

async function end(): Promise<void> {
  await updating?.stop();
  updating = null;
}

/** The machine starts, from that slot or from the one that the bootloader chooses, and the agent with it. */
async function boot(release: Release, from?: 'A' | 'B'): Promise<Updating> {
  await end();
  const bootId = await machine.boot(from);
  updating = await begin(release, bootId);
  return updating;
}

const startOf = (release: Release, bootId: string): KioskStart => ({
  home: machine.home,
  bootId,
  firmware: { rauc: machine.settings, root, model: 'demo-cp22' },
  release,
  repository: server.base,
});
const begin = (release: Release, bootId: string): Promise<Updating> => beginKiosk(startOf(release, bootId));

/** An agent as a process, which is killed before this mark of the bootloader has come to its end. */
async function killed(release: Release, bootId: string, mark: string, meanwhile = async () => {}): Promise<void> {
  machine.forget();
  machine.hold(mark);
  const child = spawn(process.execPath, [AGENT, JSON.stringify(startOf(release, bootId))], { stdio: 'ignore' });
  const ended = once(child, 'exit');
  try {
    await untilTold(mark);
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
  await meanwhile();
  await machine.letGo();
}

const forRauc = (counter: number, bundle: Buffer, more: Partial<Recipe> = {}): Promise<Release> =>
  publish(repository, { 'kiosk.raucb': bundle }, { installer: 'rauc', counter, health: HEALTH, ...more });

const state = (): string | undefined => updating?.reported().state;
const error = (): string | undefined => updating?.reported().error?.code;
const detail = (): string => updating?.reported().error?.detail ?? '';
const desire = (release: Release): unknown => updating?.handler.apply({ ...release, repository: server.base });
async function untilTold(what: string): Promise<void> {
  await expect.poll(() => machine.told, WITHIN).toContain(what);
}
async function untilState(what: string): Promise<void> {
  await expect.poll(state, WITHIN).toBe(what);
}

describe('a kiosk with RAUC', () => {
  it('installs a release into the slot that does not run, keeps what is well, and goes back from what is not', async () => {
    const one = await forRauc(1, machine.bundle({ content: 'one' }));
    await boot(one);
    await untilTold('reboot');
    expect(machine.told).toEqual(['good A', 'bad B', 'primary B', 'reboot']);
    expect(machine.content('B')).toBe('one');
    expect(updating?.reported()).toMatchObject({ state: 'armed', status: 'InstallReboot', running: null });
    machine.forget();
    await boot(one);
    await untilState('committed');
    expect(updating?.reported()).toMatchObject({ slot: 'b', running: one, committed: true, status: 'Installed' });
    expect(machine.told).toEqual(['good B']);
    updating?.cloudReached();
    machine.forget();

    const two = await forRauc(2, machine.bundle({ content: 'two' }), { health: NEVER_WELL });
    await boot(two);
    await untilTold('reboot');
    expect(machine.told).toEqual(['good B', 'bad A', 'primary A', 'reboot']);
    machine.forget();
    await boot(two);
    await untilTold('reboot');
    expect(machine.told).toEqual(['primary B', 'bad A', 'reboot']);
    await boot(two);
    await untilState('rolled-back');
    expect(updating?.reported()).toMatchObject({
      slot: 'b',
      running: one,
      committed: true,
      error: { code: 'update_probe_failed' },
      quarantined: [two.sha256],
    });
  });

  it('says that the bootloader gave a release up, and stays with what ran before', async () => {
    const one = await forRauc(1, machine.bundle({ content: 'one' }));
    await boot(one);
    await untilTold('reboot');
    await boot(one, 'A');
    await untilState('rolled-back');
    expect(updating?.reported()).toMatchObject({ running: null, error: { code: 'update_given_up' } });
    expect(machine.next).toBe('A');
  });
});

describe('an agent that is killed', () => {
  it('goes on from wherever it was: while RAUC writes, and behind each mark of the bootloader', async () => {
    const one = await forRauc(1, machine.bundle({ content: 'one' }));
    const first = await machine.boot();
    await killed(one, first, 'bad B', async () => {
      await expect(createRauc(machine.settings).slots()).rejects.toMatchObject({ code: 'install_rauc_busy' });
    });
    await killed(one, first, 'primary B');
    expect(machine.content('B')).toBe('one');
    updating = await begin(one, first);
    await untilTold('reboot');
    await end();
    const second = await machine.boot();
    await killed(one, second, 'good B');
    updating = await begin(one, second);
    await untilState('committed');
    expect(updating.reported()).toMatchObject({ slot: 'b', running: one, committed: true });
    expect(updating.reported()).not.toHaveProperty('quarantined');
  });
});

describe('what RAUC does not take', () => {
  it('is told with its own words, and leaves the slots as they are', async () => {
    const strange = machine.bundle({ content: 'one', signer: 'stranger' });
    await boot(await forRauc(1, strange));
    await untilState('failed');
    expect(updating?.reported()).toMatchObject({
      status: 'InstallVerificationFailed',
      error: { code: 'install_rauc_refused', detail: expect.stringMatching(/signature verification failed/) },
    });
    await desire(await forRauc(2, machine.bundle({ content: 'one', compatible: 'other-kiosk' })));
    await expect.poll(detail, WITHIN).toMatch(/Compatible mismatch/);
    expect(error()).toBe('install_rauc_refused');
    expect(machine.content('B')).toBe('');
    expect(machine.told).toEqual(['good A']);
  });

  it('is not even fetched when it is a release for another installer', async () => {
    await boot(await publish(repository, { 'kiosk.raucb': machine.bundle({ content: 'one' }) }, {}));
    await expect.poll(error, WITHIN).toBe('update_installer_wrong');
  });
});

describe('while RAUC cannot be asked', () => {
  it('nothing is installed, the reports say why, and it goes on when RAUC is back', async () => {
    const one = await forRauc(1, machine.bundle({ content: 'one' }));
    await machine.boot();
    await machine.stopService();
    updating = await begin(one, 'boot-1');
    await expect.poll(error, WITHIN).toBe('install_rauc_away');
    await end();
    await machine.startService('A');
    await machine.deny();
    updating = await begin(one, 'boot-1');
    await expect.poll(error, WITHIN).toBe('install_rauc_denied');
    await end();
    await machine.deny(false);
    updating = await begin(one, 'boot-1');
    await untilTold('reboot');
  });
});
