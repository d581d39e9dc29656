import { certificateRequest } from '@paddock/agent/enrol/certificate-request.ts';
import { describe, expect, it } from 'vitest';
import { newTlsKey } from '@paddock/agent/enrol/tls-key.ts';
import { requestedKey } from '../../../harness/certificates.ts';
import { openssl } from '../../../harness/openssl.ts';

describe('a certificate request', () => {
  it.each(['kiosk-0001', 'k'.repeat(200)])('is one that others can read and verify: %s', async (name) => {
    const key = newTlsKey();
    const der = certificateRequest(name, key);
    const text = openssl('req -inform DER -in request.der -noout -subject -nameopt RFC2253', { 'request.der': der });
    expect(text).toContain(`CN=${name}`);
    expect(Buffer.from(await requestedKey(der))).toEqual(key.publicKey);
  });

  it('proves that it comes from the key that it names', async () => {
    const der = certificateRequest('kiosk-0001', { ...newTlsKey(), publicKey: newTlsKey().publicKey });
    await expect(requestedKey(der)).rejects.toThrow(/not signed/);
  });
});
