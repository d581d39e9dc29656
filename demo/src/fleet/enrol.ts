import { inflater } from '@paddock/agent/adapters/deflate.ts';
import { createWeb } from '@paddock/agent/adapters/https.ts';
import { createSystemClock } from '@paddock/agent/adapters/system-clock.ts';
import { addressOf, connectTls } from '@paddock/agent/adapters/tls.ts';
import { attemptEnrolment } from '@paddock/agent/enrol/attempt.ts';
import type { Listed } from '@paddock/agent/enrol/key-lists.ts';
import { pemOf } from '@paddock/agent/enrol/membership.ts';
import { pinOfClaim } from '@paddock/agent/enrol/pin.ts';
import { serviceOn } from '@paddock/agent/enrol/service.ts';
import { newTlsKey } from '@paddock/agent/enrol/tls-key.ts';
import { importVerificationKey } from '@paddock/shared/keys.ts';
import { signingOf, type Identity, type Membership } from './identities.ts';

const clock = createSystemClock();

/**
 * Lets one device enrol as the agent does: lists of keys, nonce, signed request, on a connection that is judged.
 * @throws Error when the cloud does not let it in
 */
export async function enrol(identity: Identity, claim: string): Promise<Membership> {
  const pin = await pinOfClaim(claim);
  const trust = { authorities: [], fingerprint: pin.ca, time: null };
  const web = createWeb(pin.url, () => connectTls(addressOf(pin.url, 443), trust, null, clock), clock);
  let list: Listed | null = null;
  try {
    const decision = await attemptEnrolment({
      clock,
      inflater,
      service: serviceOn(web),
      applicant: async () => ({
        signer: await signingOf(identity),
        publicKey: await importVerificationKey(identity.privateKey),
        tlsKey: newTlsKey(),
        device: identity.membership?.deviceId ?? null,
        facts: { agent: 'simulated' },
        claim: pin.claim,
        endorsement: null,
      }),
      pin,
      known: null,
      listed: async (walked) => void (list = walked),
      exchanged: () => {},
    });
    if (decision.status !== 'accepted') throw new Error(`A simulated device was not let in: ${decision.status}`);
    return membershipOf(decision.member, list);
  } finally {
    web.close();
  }
}

function membershipOf(
  {
    device,
    mqttUrl,
    certificate,
    tlsKey,
  }: Extract<Awaited<ReturnType<typeof attemptEnrolment>>, { status: 'accepted' }>['member'],
  list: Listed | null,
): Membership {
  return {
    deviceId: device,
    mqttUrl: mqttUrl ?? '',
    certificates: certificate.chain.map(pemOf).join(''),
    renewAfter: certificate.renewAfter,
    key: tlsKey,
    authorities: (list?.authorities ?? []).map((der) => pemOf(Buffer.from(der).toString('base64url'))),
    cloudKeys: (list?.keys ?? []).map(({ jwk }) => jwk),
  };
}
