import { generateKeyPairSync, sign, type JsonWebKey } from 'node:crypto';
import { randomBase64url } from '@paddock/shared/base64url.ts';
import type { Claim } from '@paddock/shared/enrolment.ts';
import { seal, type Signing } from '@paddock/shared/envelope.ts';
import { importVerificationKey } from '@paddock/shared/keys.ts';
import { toInstant, wallMs } from '@paddock/shared/time.ts';
import type { Api } from './api.ts';

const DAY_MS = 86_400_000;

/** A factory that makes claims: its key is registered with the cloud, bounded, and lives in memory only. */
export interface Factory {
  claim(serialNumber: string): Promise<string>;
}

/**
 * @param model null: its claims name none
 * @param maxDevices how many devices its claims let in at most
 */
export async function openFactory(api: Api, model: string | null, maxDevices: number): Promise<Factory> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwk: JsonWebKey = publicKey.export({ format: 'jwk' });
  const { keyId } = await importVerificationKey(jwk);
  const batchId = `demo-${randomBase64url()
    .toLowerCase()
    .replaceAll(/[^a-z0-9]/g, '0')}`;
  const ends = Date.now() + DAY_MS;
  const notAfter = toInstant(wallMs(ends));
  const claims = await api.addFactoryKey({ batchId, publicKey: jwk, modelId: model, maxDevices, notAfter });
  const signing: Signing = {
    algorithm: 'ES256',
    keyId,
    sign: async (bytes) => sign('sha256', bytes, { key: privateKey, dsaEncoding: 'ieee-p1363' }),
  };
  return {
    claim: (sub) => {
      const [nbf, exp] = [Math.floor(Date.now() / 1000) - 3_600, Math.floor(ends / 1000)];
      const claim: Claim = {
        v: 1,
        iss: batchId,
        sub,
        jti: randomBase64url(),
        nbf,
        exp,
        ...(model !== null && { model }),
        ...claims,
      };
      return seal('claim', claim, signing);
    },
  };
}
