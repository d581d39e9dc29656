import { fork, type ChildProcess } from 'node:child_process';
import dns from 'node:dns';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createSystemClock } from '@paddock/agent/adapters/system-clock.ts';
import { connectTls } from '@paddock/agent/adapters/tls.ts';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { makeAuthority } from '../../harness/certificates.ts';
import { freePort } from '../../harness/free-port.ts';

/** While it sleeps nobody takes connections out of its queue, which has room for two (listen(2)). */
const SERVER = `
const server = require('node:tls').createServer({ key: process.env.KEY, cert: process.env.CERT });
server.on('tlsClientError', () => {});
server.listen({ port: 0, host: '::1', backlog: 1 }, () => process.send(server.address().port));
process.on('message', (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms));
`;

let folder: string;
let server: ChildProcess;
let port: number;
const crowd: Socket[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'paddock-slow-address-'));
  await writeFile(join(folder, 'server.cjs'), SERVER);
  const { pem, keyPem } = await makeAuthority();
  server = fork(join(folder, 'server.cjs'), { env: { ...process.env, CERT: pem, KEY: keyPem } });
  [port] = (await once(server, 'message')) as [number];
});
afterAll(async () => {
  for (const socket of crowd) socket.destroy();
  server.kill('SIGKILL');
  await rm(folder, { recursive: true });
});

/** Connects until the kernel takes nobody more. */
async function fillQueue(): Promise<void> {
  for (;;) {
    const socket = connect(port, '::1').on('error', () => undefined);
    crowd.push(socket);
    const isIn = await Promise.race([once(socket, 'connect').then(() => true), sleep(100).then(() => false)]);
    if (!isIn) return;
  }
}

const ADDRESSES = [
  { address: '::1', family: 6 },
  { address: '127.0.0.1', family: 4 },
];
type Found = (error: null, addresses: typeof ADDRESSES) => void;
beforeAll(() => {
  const lookup = (_name: string, _options: object, found: Found): void => found(null, ADDRESSES);
  vi.spyOn(dns, 'lookup').mockImplementation(lookup as typeof dns.lookup);
});

it('waits for an address that takes a second to answer, where the other one of the name is of no use', async () => {
  server.send(600);
  await fillQueue();
  const from = Date.now();
  const socket = await connectTls({ host: 'cloud.example', port }, null, null, createSystemClock());
  expect(socket.remoteAddress).toBe('::1');
  socket.destroy();
  // Or it was not slow, and nothing is shown.
  expect(Date.now() - from).toBeGreaterThan(300);
});

it('says of each address why there is no connection', async () => {
  const nobody = await freePort();
  await expect(
    connectTls({ host: 'cloud.example', port: nobody }, null, null, createSystemClock()),
  ).rejects.toMatchObject({
    code: 'tls_failed',
    message: `connect ECONNREFUSED ::1:${nobody}, connect ECONNREFUSED 127.0.0.1:${nobody}`,
  });
});
