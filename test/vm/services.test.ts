import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { bootKiosk, type Kiosk } from '../harness/vm/kiosk.ts';

const LONG = { timeout: 120_000, interval: 500 };

/** Says that it is ready and alive, as long as nobody stops it. */
const PROGRAM = `#!/bin/bash
systemd-notify --ready
while :; do systemd-notify WATCHDOG=1; sleep 0.5; done
`;
const UNIT = `[Service]
Type=notify
NotifyAccess=all
ExecStart=/usr/local/bin/alive
WatchdogSec=10
Restart=on-failure
`;

let kiosk: Kiosk;
beforeAll(async () => void (kiosk = await bootKiosk()));
afterAll(async () => kiosk?.close());

test('systemd is up, and nothing has failed', async () => {
  expect(await kiosk.succeed('systemctl is-system-running --wait')).toBe('running\n');
});

test('a service that hangs is ended by its watchdog and started again', async () => {
  await kiosk.writeFile('/usr/local/bin/alive', PROGRAM);
  await kiosk.writeFile('/etc/systemd/system/alive.service', UNIT);
  await kiosk.succeed('chmod +x /usr/local/bin/alive; systemctl daemon-reload; systemctl start alive');
  const first = await mainPid();
  await kiosk.succeed(`kill -STOP ${first}`);
  await vi.waitUntil(async () => (await property('NRestarts')) === '1', LONG);
  expect(await kiosk.succeed('journalctl --unit alive')).toContain('Watchdog timeout');
  await vi.waitUntil(async () => (await property('ActiveState')) === 'active', LONG);
  expect(await mainPid()).not.toBe(first);
});

test('what was installed is there after a reboot', async () => {
  await kiosk.rebooted('systemctl reboot');
  expect(await kiosk.succeed('systemctl show --value --property LoadState alive')).toBe('loaded\n');
});

const mainPid = async (): Promise<string> => property('MainPID');

const property = async (name: string): Promise<string> =>
  (await kiosk.succeed(`systemctl show --value --property ${name} alive`)).trim();
