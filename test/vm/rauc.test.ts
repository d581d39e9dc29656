import { afterAll, beforeAll, beforeEach, expect, onTestFailed, test, vi } from 'vitest';
import { CAN_BOOT, needsMachine } from '../harness/vm/needs-machine.ts';
import { RaucKiosk } from '../harness/vm/rauc-kiosk.ts';

const WITHIN = { timeout: 300_000, interval: 500 };

let box: RaucKiosk;
beforeAll(async () => {
  if (CAN_BOOT) box = await RaucKiosk.make();
});
afterAll(async () => box?.close());
beforeEach((context) => {
  needsMachine(context);
  box.kiosk.requireAnswers();
});

interface Firmware {
  readonly firmware: { readonly running: { readonly version: string } | null; readonly slot: string } | null;
}
const firmware = async (): Promise<Firmware['firmware']> => (await box.shown<Firmware>('/firmware')).firmware;
const version = async (): Promise<string> => (await box.kiosk.succeed('cat /etc/kiosk-version')).trim();
const bootedFrom = async (): Promise<string | undefined> =>
  /rauc\.slot=(\w)/.exec(await box.kiosk.succeed('cat /proc/cmdline'))?.[1];
const marks = async (): Promise<string[]> =>
  (await box.kiosk.succeed('grub-editenv /boot/grub/grubenv list')).trim().split('\n').toSorted();
/** Why the machine was started, newest start first. */
const reasons = async (): Promise<unknown[]> => (await box.starts()).map(({ began }) => began?.machine);
const journalOnFailure = (): void =>
  onTestFailed(async () => {
    const { stdout } = await box.kiosk.run('journalctl --no-pager -b -n 80; rauc status --detailed');
    process.stderr.write(`${stdout}\n${JSON.stringify(await firmware())}\n${box.kiosk.console.slice(-4_000)}\n`);
  });

test('a kiosk that GRUB starts from a slot enrols, and the slot is marked good for this start', async () => {
  journalOnFailure();
  await box.kiosk.powerOn();
  await box.setUp();
  await vi.waitUntil(async () => {
    const { items } = (await box.cloud.call('GET', '/devices')).body as { items: { deviceId: string }[] };
    box.device = items[0]?.deviceId ?? '';
    return box.device !== '';
  }, WITHIN);
  expect(await bootedFrom()).toBe('A');
  await expect.poll(marks, WITHIN).toEqual(['A_OK=1', 'A_TRY=0', 'B_OK=0', 'B_TRY=0', 'ORDER=A B']);
});

test('nobody but root and the agent may speak to RAUC', async () => {
  const asks = (user: string): Promise<{ readonly code: number }> => box.kiosk.run(`runuser -u ${user} -- rauc status`);
  expect((await asks('nobody')).code).not.toBe(0);
  expect((await asks('paddock')).code).toBe(0);
});

test('the doctor says which slots RAUC has, and whether the agent may start the machine again', async () => {
  const words = async (): Promise<string[]> => {
    const { stdout } = await box.kiosk.run(
      'runuser -u paddock -- paddock-agent doctor --config /etc/paddock/agent.yaml --json',
    );
    const { findings } = JSON.parse(stdout) as { findings: { check: string; message: string; code?: string }[] };
    return findings.filter(({ check }) => /RAUC|launcher/.test(check)).map(({ code, message }) => code ?? message);
  };
  const rule = '/etc/polkit-1/rules.d/60-paddock-reboot.rules';
  expect(await words()).toEqual([
    'Runs from rootfs.0 (a), and installs into rootfs.1 (b)',
    'The machine may be started again for a release',
  ]);
  await box.kiosk.succeed(`mv ${rule} /root/`);
  await expect.poll(words, WITHIN).toContain('rauc_restart_denied');
  await box.kiosk.succeed(`mv /root/60-paddock-reboot.rules ${rule}`);
  await expect.poll(words, WITHIN).not.toContain('rauc_restart_denied');
});

test('a release of a whole root is written into the other slot, started by a restart, and kept', async () => {
  journalOnFailure();
  await box.release({ version: 1, isWell: true });
  await expect.poll(firmware, WITHIN).toMatchObject({ slot: 'b', committed: true, running: { version: '1.0' } });
  expect([await version(), await bootedFrom()]).toEqual(['1', 'B']);
  expect(await marks()).toEqual(['A_OK=1', 'A_TRY=0', 'B_OK=1', 'B_TRY=0', 'ORDER=B A']);
  await expect.poll(reasons, WITHIN).toContainEqual(expect.objectContaining({ reason: 'update', detail: 'kiosk 1.0' }));
});

test('one that is not well is gone back from', async () => {
  journalOnFailure();
  await box.release({ version: 2, isWell: false });
  await expect.poll(firmware, WITHIN).toMatchObject({
    // Its error is told before the machine is started again.
    state: 'rolled-back',
    committed: true,
    running: { version: '1.0' },
    error: { code: 'update_probe_failed' },
  });
  expect([await version(), await bootedFrom()]).toEqual(['1', 'B']);
});

test('one that nothing can be started from is given up by the boot loader', async () => {
  journalOnFailure();
  await box.releaseDead(3);
  await expect.poll(firmware, WITHIN).toMatchObject({
    state: 'rolled-back',
    committed: true,
    running: { version: '1.0' },
    error: { code: 'update_given_up' },
  });
  expect([await version(), await bootedFrom()]).toEqual(['1', 'B']);
});
