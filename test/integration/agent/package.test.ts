import { execFileSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, type TestContext } from 'vitest';
import { buildAgentPackage } from '../../harness/agent-package.ts';
import { claimFile } from '../../harness/agent/claimed.ts';
import { NotifySocket } from '../../harness/agent/notify-socket.ts';
import { startCloudProcess, type CloudProcess } from '../../harness/cloud-process.ts';
import { programPath } from '../../harness/system.ts';
import { ThrowawayRoot } from '../../harness/throwaway-root.ts';

const UNIT = '/usr/lib/systemd/system/paddock-agent.service';
const KEY = '/var/lib/paddock/agent/identity.key.pem';
const AS_ROOT = process.getuid?.() === 0;
const needsRoot = ({ skip }: TestContext): void => skip(!AS_ROOT, 'Only root installs packages: run this test as root');

let [first, second, out] = ['', '', ''];
beforeAll(async () => {
  out = mkdtempSync(join(tmpdir(), 'paddock-deb-'));
  first = await buildAgentPackage(out, '0.1.0');
});
afterAll(() => rmSync(out, { recursive: true, force: true }));

it('a package is the same, byte by byte, when it is built again', async () => {
  const again = await buildAgentPackage(join(out, 'again'), '0.1.0');
  expect(readFileSync(again).equals(readFileSync(first))).toBe(true);
});

it('a package has a manual page for every program that people call', () => {
  const stdout = execFileSync(programPath('dpkg-deb'), ['--contents', first], { encoding: 'utf8' });
  const names = stdout.split('\n').map((line) => line.split(/\s+/)[5] ?? '');
  const called = names.flatMap((name) => /^\.\/usr\/s?bin\/(.+)$/.exec(name)?.[1] ?? []);
  expect(called.toSorted()).toEqual(['paddock-agent', 'paddock-agent-setup']);
  expect(names).toEqual(expect.arrayContaining(called.map((name) => `./usr/share/man/man8/${name}.8.gz`)));
});

describe('the package of the agent', () => {
  let root: ThrowawayRoot;
  let cloud: CloudProcess;
  let agent: ChildProcess | null = null;
  let notify: NotifySocket;

  beforeAll(async () => {
    if (!AS_ROOT) return;
    const starting = startCloudProcess();
    second = await buildAgentPackage(out, '0.1.1');
    root = new ThrowawayRoot();
    for (const file of [first, second]) copyFileSync(file, join(root.path, 'root', basename(file)));
    cloud = await starting;
  });
  afterAll(async () => {
    agent?.kill('SIGKILL');
    notify?.close();
    root?.remove();
    await cloud?.stop();
  });
  beforeEach(needsRoot);

  /** As the unit does: the same command, user and directories. */
  async function startService(): Promise<void> {
    const unit = await root.sh(`cat ${UNIT}`);
    const command = /^ExecStart=(.*)$/m.exec(unit)?.[1]?.split(' ') ?? [];
    await root.sh('install -d -o paddock -g paddock /run/paddock /var/lib/paddock/slots');
    const name = `@paddock-package-test-${process.pid}-${Date.now()}`;
    notify = new NotifySocket(name);
    agent = root.start(command, 'paddock', {
      NOTIFY_SOCKET: name,
      WATCHDOG_USEC: '4000000',
      RUNTIME_DIRECTORY: '/run/paddock',
    });
    let log = '';
    agent.stderr?.on('data', (chunk: Buffer) => void (log += chunk.toString()));
    const died = once(agent, 'exit').then(([code]) => Promise.reject(new Error(`It ended with ${code}:\n${log}`)));
    died.catch(() => {});
    await Promise.race([notify.until('READY', '1'), died]);
  }

  async function stopService(): Promise<void> {
    const ended = agent && once(agent, 'exit');
    agent?.kill('SIGTERM');
    await ended;
    agent = null;
    await notify.until('STOPPING', '1');
    notify.close();
  }

  interface Seen {
    readonly presence: string;
    readonly lastReport: { readonly start: number } | null;
  }
  const reportedStart = async (): Promise<number> => {
    const { items } = (await cloud.call('GET', '/devices')).body as { items: Seen[] };
    return items[0]?.lastReport?.start ?? 0;
  };

  it('installs with a user of its own, waits to be configured, and is started by nothing before', async () => {
    const said = await root.sh(`dpkg --install /root/${basename(first)}`);
    expect(said).toContain('paddock-agent-setup --claim claim.jwt');
    expect(await root.sh('id -nG paddock')).toMatch(/^paddock dialout gpio\n/);
    expect(await root.sh('zcat /usr/share/doc/paddock-agent/changelog.gz')).toMatch(/^paddock-agent \(0\.1\.0\) /);
    expect(await root.sh('systemctl is-enabled paddock-agent paddock-launcher')).toBe('enabled\nenabled\n');
    expect(await root.sh('stat -c "%U %a" /etc/paddock /var/lib/paddock/agent')).toBe('paddock 750\npaddock 700\n');
  });

  it('sets up by a claim, and its service is ready, is well and reports to the cloud', async () => {
    const folder = join(root.path, 'root');
    await claimFile(cloud, folder, 'DEB-0001');
    await root.sh('chmod 600 /root/claim.jwt; paddock-agent-setup --claim /root/claim.jwt');
    expect(await root.sh(`stat -c "%U %a" ${KEY} /etc/paddock/claim.jwt`)).toBe('paddock 600\npaddock 600\n');
    const doctor = (as: string): Promise<string> =>
      root.sh(`${as} paddock-agent doctor --seconds 0 --config /etc/paddock/agent.yaml || true`);
    expect(await doctor('')).toContain('As that user: runuser');
    expect(await doctor('runuser -u paddock --')).toContain('/var/lib/paddock/agent can be written');
    const config = join(root.path, 'etc/paddock/agent.yaml');
    writeFileSync(config, readFileSync(config, 'utf8').replace('"*/5 * * * *"', '"*/2 * * * * *"'));
    await startService();
    await notify.until('WATCHDOG', '1');
    await expect.poll(reportedStart, { timeout: 60_000 }).toBe(1);
    const connected = (): boolean => (
      notify.read(),
      notify.said.some(({ STATUS }) => STATUS?.startsWith('Connected as '))
    );
    await expect.poll(connected, { timeout: 30_000 }).toBe(true);
    await stopService();
  });

  it('upgrades with key and state kept', async () => {
    const key = await root.sh(`cat ${KEY}`);
    const said = await root.sh(`dpkg --install /root/${basename(second)}`);
    expect(said).not.toContain('paddock-agent-setup');
    expect(await root.sh('dpkg-query -W -f "\\${Version}" paddock-agent')).toBe('0.1.1');
    expect(await root.sh(`cat ${KEY}`)).toBe(key);
    await startService();
    await expect.poll(reportedStart, { timeout: 60_000 }).toBe(2);
    await stopService();
  });

  it('is removed without a trace of the program, with all that the kiosk knows', async () => {
    await root.sh('dpkg --remove paddock-agent');
    expect(await root.sh('ls /usr/lib/paddock /usr/bin/paddock-agent 2>&1 || true')).not.toMatch(/^(node|bin)/m);
    expect(await root.sh(`ls ${KEY} /etc/paddock/agent.yaml`)).toBe(`/etc/paddock/agent.yaml\n${KEY}\n`);
  });

  it('is purged of everything but the key, and says so', async () => {
    expect(await root.sh('dpkg --purge paddock-agent')).toContain(
      'to throw that away for good: rm -r /var/lib/paddock',
    );
    expect(await root.sh('find /var/lib/paddock -type f')).toBe(`${KEY}\n`);
    expect(await root.sh('ls -d /etc/paddock 2>&1 || true')).toContain('No such file');
    expect(await root.sh('ls /etc/systemd/system/multi-user.target.wants')).not.toContain('paddock');
  });
});
