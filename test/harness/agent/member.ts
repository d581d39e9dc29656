import type { TLSSocket } from 'node:tls';
import { inflater } from '@paddock/agent/adapters/deflate.ts';
import { createWeb } from '@paddock/agent/adapters/https.ts';
import { createSystemClock } from '@paddock/agent/adapters/system-clock.ts';
import { addressOf, connectTls } from '@paddock/agent/adapters/tls.ts';
import { openMembership, type Membership, type Standing } from '@paddock/agent/enrol/membership.ts';
import { pinOfClaim } from '@paddock/agent/enrol/pin.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { makeTestKey, type TestKey } from '../signing.ts';
import { RawClient } from '../raw-client.ts';
import { makeTlsKey } from './enrolling.ts';
import { MemoryDisk } from './memory-disk.ts';

const clock = createSystemClock();
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

/** A device of the agent's own enrolment, on a real service: asked by hand, where the agent would ask by itself. */
export class Member {
  readonly membership: Membership;
  readonly identity: TestKey;
  readonly #tlsKey: ReturnType<typeof makeTlsKey>;

  private constructor(membership: Membership, identity: TestKey, tlsKey: ReturnType<typeof makeTlsKey>) {
    this.membership = membership;
    this.identity = identity;
    this.#tlsKey = tlsKey;
  }

  static async open(claim: string): Promise<Member> {
    const [identity, tlsKey, pin] = [await makeTestKey(), makeTlsKey(), await pinOfClaim(claim)];
    const membership = await openMembership({
      clock,
      disk: new MemoryDisk(),
      log: SILENT,
      inflater,
      pin,
      device: null,
      applicant: { signer: identity.signing, publicKey: identity.verification, tlsKey, facts: {} },
      time: { at: () => ({ earliest: wallMs(0), latest: null }), enrolled: () => undefined },
      openWeb: (trust) => createWeb(pin.url, () => connectTls(addressOf(pin.url, 443), trust, null, clock), clock),
      random: () => 0.5,
      say: () => undefined,
    });
    return new Member(membership, identity, tlsKey);
  }

  /** What it has; a copy of it stays what it was when it asks again. */
  get standing(): Standing {
    return this.membership.standing() ?? fail('The device is not let in');
  }

  /** @throws when it is not let in */
  async ask(): Promise<Standing> {
    const { status } = await this.membership.ask();
    if (status !== 'accepted') fail(`It is ${status}`);
    return this.standing;
  }

  /** A connection to the broker, judged as the agent does. @param standing by default what it has now */
  async dial(standing: Standing = this.standing): Promise<TLSSocket> {
    const { authorities, certificates: cert, mqttUrl } = standing;
    const trust = { authorities, fingerprint: null, time: null };
    return connectTls(addressOf(mqttUrl ?? '', 8883), trust, { cert, key: this.#tlsKey.pem }, clock);
  }

  /** Whether the broker takes it, and the connection where it does. */
  async connect(standing: Standing = this.standing): Promise<RawClient | null> {
    const socket = await this.dial(standing);
    const client = new RawClient(socket);
    await client.hello(standing.device);
    const taken = await Promise.race([client.next('connack').then(() => true), client.closed.then(() => false)]);
    return taken ? client : null;
  }
}

function fail(message: string): never {
  throw new Error(message);
}
