import { createPrivateKey, X509Certificate } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { TlsIdentity } from '@paddock/cloud/ports.ts';
import { ServerCertificate } from '@paddock/cloud/trust/server-certificate.ts';
import { newAuthority } from '../../../harness/authority.ts';
import { CloudClock } from '../../../harness/cloud-clock.ts';

const DAY_MS = 86_400_000;
const LOG = { debug() {}, info() {}, warn() {}, error() {} };

test('the server certificate is renewed after a third of its life, and who uses it is told', async () => {
  const clock = new CloudClock(Date.now());
  const authority = await newAuthority();
  const certificate = await ServerCertificate.make({
    issuer: () => authority,
    listed: () => [],
    hosts: ['paddock.example'],
    clock,
    log: LOG,
  });
  const told: TlsIdentity[] = [];
  certificate.onRenewed((identity) => told.push(identity));
  const first = certificate.current;
  const stop = new AbortController();
  const running = certificate.run(stop.signal);
  const pass = async (ms: number): Promise<void> => {
    clock.advance(ms);
    for (let n = 0; n < 20; n++) await turn();
  };
  await pass(29 * DAY_MS);
  expect([certificate.current, told]).toEqual([first, []]);
  await pass(2 * DAY_MS);
  await expect.poll(() => told.length).toBe(1);
  expect(certificate.current).toBe(told[0]);
  const [before, after] = [first, certificate.current].map(({ cert }) => new X509Certificate(cert));
  expect(after?.checkPrivateKey(createPrivateKey(certificate.current.key))).toBe(true);
  expect(after?.checkPrivateKey(createPrivateKey(first.key))).toBe(false);
  expect(after?.checkHost('paddock.example')).toBe('paddock.example');
  expect((after?.validToDate.getTime() ?? 0) - (before?.validToDate.getTime() ?? 0)).toBe(31 * DAY_MS);
  stop.abort();
  await running;
});
