import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Component } from '@paddock/shared/inventory.ts';
import { agent, newHome, startAgent, type Running } from '../harness/agent/cli.ts';
import { pinCloudKeys } from '../harness/agent/card-kiosk.ts';
import { startCloudProcess, type CloudProcess } from '../harness/cloud-process.ts';

const PADDOCK = join(import.meta.dirname, '../../cloud/bin/paddock.cjs');
const DEVICE = 'kiosk-made';
/** A look is taken 15 s after the first answer. */
const WITHIN_MS = 60_000;
let cloud: CloudProcess;
let home: string;
let kiosk: Running | null = null;

beforeEach(async () => {
  cloud = await startCloudProcess();
  home = newHome();
  const { out } = await agent(home, 'init', '--device', DEVICE, '--url', cloud.mqttUrl, '--json');
  const { publicKey } = JSON.parse(out) as { publicKey: object };
  const { body } = await cloud.call('POST', '/devices', { deviceId: DEVICE, publicKey });
  await pinCloudKeys(home, body['cloudKeys'] as Parameters<typeof pinCloudKeys>[1]);
  const yaml = [
    `device: ${DEVICE}`,
    `cloud: { url: '${cloud.mqttUrl}' }`,
    `report: { schedule: '*/2 * * * * *', jitterSeconds: 0 }`,
  ];
  await writeFile(join(home, 'agent.yaml'), yaml.join('\n'));
});
afterEach(async () => {
  kiosk?.child.kill('SIGTERM');
  await kiosk?.ended;
  await cloud.stop();
  await rm(home, { recursive: true, force: true });
});

async function inventory(): Promise<Record<string, unknown>> {
  for (const began = performance.now(); performance.now() - began < WITHIN_MS; await sleep(200)) {
    const { status, body } = await cloud.call('GET', `/devices/${DEVICE}/inventory`);
    if (status === 200) return body;
  }
  throw new Error('no inventory came');
}

const flat = (components: readonly Component[]): Component[] =>
  components.flatMap((component) => [component, ...flat(component.children ?? [])]);
const rssKiB = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);

it('a real agent says what this machine is made of, and does not grow by it', async () => {
  kiosk = startAgent(home, 'run');
  await sleep(10_000);
  const before = rssKiB(kiosk.child.pid ?? 0);
  const made = await inventory();
  // What a look takes in this process would be 14 MiB, for good.
  expect(rssKiB(kiosk.child.pid ?? 0) - before).toBeLessThan(10_000);
  expect(made['time']).toMatchObject({ basis: 'exchanged' });
  const components = flat(made['components'] as Component[]);
  const version = /^VERSION_ID="?([^"\n]+)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
  expect(components.find(({ kind }) => kind === 'operating-system')).toMatchObject({ name: 'linux', version });
  expect(components.find(({ kind }) => kind === 'processor')).toMatchObject({ name: 'cpu' });

  const { out } = await agent(home, 'inventory', '--json');
  expect(JSON.parse(out)).toMatchObject({ components: made['components'], unseen: made['unseen'] });
  const proofFile = join(home, 'proof.json');
  const { body: proof } = await cloud.call('GET', `/devices/${DEVICE}/inventory/${String(made['inventoryId'])}/proof`);
  await writeFile(proofFile, JSON.stringify(proof));
  expect(await said('verify', proofFile)).toContain('verified');
  const tree = await said('devices', 'inventory', DEVICE);
  expect(tree).toMatch(/^└─ system system/m);
  expect(tree).toMatch(/[├└]─ operating-system linux: .+ \(kernel /);
  // Answers that came since may have narrowed the interval of its moment.
  expect(JSON.parse(await said('devices', 'inventory', DEVICE, '--json'))).toEqual({
    ...made,
    time: expect.objectContaining({ basis: 'exchanged' }) as unknown,
  });
  expect(await said('devices', 'inventory', DEVICE, '--changes')).toMatch(/^AFTER +BEFORE +CHANGE/);
  expect(await said('devices', 'inventory', DEVICE, '--as-of', '2020-01-01')).toContain('not_found');
});

/** What `paddock` prints, be it a refusal. */
async function said(...args: string[]): Promise<string> {
  const at = ['--url', cloud.httpUrl, '--data-dir', cloud.dataDir];
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [PADDOCK, ...at, ...args]).catch(
    (failed: { stdout: string; stderr: string }) => failed,
  );
  return stdout + stderr;
}
