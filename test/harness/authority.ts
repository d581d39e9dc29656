import { createPrivateKey, createPublicKey } from 'node:crypto';
import {
  newAuthorityCertificate,
  openAuthority,
  type Authority,
  type IssuedToDevice,
} from '@paddock/cloud/trust/authority.ts';
import { pemChain } from '@paddock/cloud/trust/server-certificate.ts';
import { wallMs, type WallMs } from '@paddock/shared/time.ts';
import { newKey, requestOf } from './openssl.ts';

/** A key and its certificates in PEM, as TLS wants them. */
export interface TlsPair {
  readonly key: string;
  readonly cert: string;
}

export interface DevicePair extends TlsPair {
  readonly issued: IssuedToDevice;
}

const now = (): WallMs => wallMs(Date.now());
const spkiOf = (key: string): Uint8Array =>
  createPublicKey(createPrivateKey(key)).export({ type: 'spki', format: 'der' });

const DAY_MS = 86_400_000;

/** An authority of the test's own, a year old. */
export async function newAuthority(): Promise<Authority> {
  const key = newKey();
  return openAuthority({ key, certificate: await newAuthorityCertificate(key, wallMs(now() - 365 * DAY_MS)) });
}

/** What a device has after its enrolment. */
export async function devicePair(
  authority: Authority,
  deviceId: string,
  at = now(),
  kind: 'p256' | 'ed25519' = 'p256',
): Promise<DevicePair> {
  const key = newKey(kind);
  const request = { csr: requestOf(key), deviceId, identityThumbprint: 'identity', now: at };
  const issued = await authority.issueDevice(request);
  return { key, cert: pemChain(issued.chain), issued };
}

export async function serverPair(
  authority: Authority,
  hosts = ['localhost', '127.0.0.1'],
  at = now(),
): Promise<TlsPair> {
  const key = newKey();
  const { chain } = await authority.issueServer({ spki: spkiOf(key), hosts, now: at });
  return { key, cert: pemChain(chain) };
}
