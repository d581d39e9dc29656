import { X509Certificate } from 'node:crypto';
import { expect, it } from 'vitest';
import { issuerOf } from '@paddock/cloud/adapters/aedes/peer.ts';
import { makeAuthority, makeCertificate } from '../../../../harness/certificates.ts';

it('takes for the issuer whose signature it is, of authorities with one name', async () => {
  const [first, second] = [await makeAuthority(), await makeAuthority()];
  const device = new X509Certificate((await makeCertificate({ issuer: second })).pem);
  const authorities = [first, second].map(({ pem }) => new X509Certificate(pem));
  expect(authorities.map((authority) => device.checkIssued(authority))).toEqual([true, true]);
  expect(issuerOf(device, authorities)).toBe(authorities[1]);
  expect(issuerOf(device, authorities.slice(0, 1))).toBeUndefined();
});
