import { createHash } from 'node:crypto';
import { ALL_CUSTOMERS, actAs } from '@paddock/cloud/customers/scope.ts';
import { retireDevice } from '@paddock/cloud/devices/registry.ts';
import { revokeIdentityKey } from '@paddock/cloud/enrolment/credentials.ts';
import { revokeCertificates } from '@paddock/cloud/trust/revocation.ts';
import { deflater } from '@paddock/agent/adapters/deflate.ts';
import { seal } from '@paddock/shared/envelope.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { devicePair } from '../authority.ts';
import type { RawClient } from '../raw-client.ts';
import { reportOf } from '../reports.ts';
import { makeTestKey } from '../signing.ts';
import type { AttackBench, Kiosk } from './bench.ts';

const DAY_MS = 86_400_000;

/**
 * How a broker that tells what it refuses says no: it closes, does not let in, or grants nothing. A message that no broker
 * can judge is acknowledged, and the service does not believe it.
 */
export type Refusal = 'closed' | 'not let in' | 'not granted' | 'not believed';

/** What stands in the audit log: who it was (the attacker, when something proves it) and of whom it is. */
interface Expected {
  readonly action: 'connect' | 'publish' | 'subscribe' | 'leaveWill';
  readonly code: string;
  readonly actor: 'attacker' | 'unknown';
  readonly device: 'attacker' | null;
}

/** One row: what is tried, and what becomes of it. */
export interface Attack {
  readonly what: string;
  readonly refusal: Refusal;
  readonly entry: Expected;
  /** @returns the attacker's connection */
  readonly run: (bench: AttackBench) => Promise<RawClient>;
}

type Run = Attack['run'];

const connecting = (what: string, code: string, isProved: boolean, run: Run): Attack => ({
  what,
  refusal: 'not let in',
  entry: { action: 'connect', code, actor: isProved ? 'attacker' : 'unknown', device: isProved ? 'attacker' : null },
  run,
});

const onTopic = (what: string, action: 'publish' | 'subscribe' | 'leaveWill', run: Run): Attack => ({
  what,
  refusal: action === 'publish' ? 'closed' : action === 'subscribe' ? 'not granted' : 'not let in',
  entry: { action, code: 'topic_foreign', actor: 'attacker', device: 'attacker' },
  run,
});

const disbelieved = (what: string, code: string, envelope: (bench: AttackBench) => Promise<string>): Attack => ({
  what,
  refusal: 'not believed',
  entry: { action: 'publish', code, actor: 'attacker', device: 'attacker' },
  async run(bench) {
    const client = await bench.enter();
    await client.publish(topicOf('report', bench.attacker.deviceId), await envelope(bench));
    return client;
  },
});

/** A report of that device, signed by the key of another one when that is given. */
const report = (of: Kiosk, by = of.key, about = of.deviceId): Promise<string> =>
  seal('report', reportOf({ device: about }), by.signing, deflater);

const publishing =
  (topic: (bench: AttackBench) => string, payload: (bench: AttackBench) => Promise<string>, retain = false): Run =>
  async (bench) => {
    const client = await bench.enter();
    await client.publish(topic(bench), await payload(bench), { retain });
    return client;
  };

const subscribing =
  (...filters: ((victim: string) => string)[]): Run =>
  async (bench) => {
    const client = await bench.enter();
    await client.subscribe(...filters.map((filter) => filter(bench.victim.deviceId)));
    return client;
  };

const ownReport = ({ attacker }: AttackBench): Promise<string> => report(attacker);
const forged = async (): Promise<string> => 'forged';

const ON_TOPICS: readonly Attack[] = [
  onTopic(
    'publish as another device',
    'publish',
    publishing(({ victim }) => topicOf('report', victim.deviceId), ownReport),
  ),
  onTopic(
    "publish another device's genuine report, on that device's topic",
    'publish',
    publishing(
      ({ victim }) => topicOf('report', victim.deviceId),
      ({ victim }) => report(victim),
    ),
  ),
  onTopic(
    'publish on a wildcard',
    'publish',
    publishing(() => 'paddock/v1/+/report', ownReport),
  ),
  onTopic(
    'publish on everything',
    'publish',
    publishing(() => 'paddock/#', ownReport),
  ),
  onTopic(
    "publish on the broker's own topics",
    'publish',
    publishing(() => '$SYS/broker/load', forged),
  ),
  onTopic(
    'publish on a shared subscription',
    'publish',
    publishing(({ victim }) => `$share/paddock/${topicOf('report', victim.deviceId)}`, ownReport),
  ),
  onTopic(
    'publish what only the cloud says',
    'publish',
    publishing(({ victim }) => topicOf('answer', victim.deviceId), forged),
  ),
  onTopic(
    'publish a retained message on the topic of another device',
    'publish',
    publishing(({ victim }) => topicOf('desired', victim.deviceId), forged, true),
  ),
  onTopic('leave a will on the topic of another device', 'leaveWill', async ({ attacker, victim, dial }) => {
    const will = {
      topic: topicOf('desired', victim.deviceId),
      payload: Buffer.from('forged'),
      qos: 1,
      retain: true,
    } as const;
    return dial(attacker.pair).hello(attacker.deviceId, { will });
  }),
  onTopic(
    'subscribe to another device',
    'subscribe',
    subscribing((victim) => topicOf('answer', victim)),
  ),
  onTopic(
    'subscribe by a wildcard',
    'subscribe',
    subscribing(
      () => 'paddock/v1/+/answer',
      () => '#',
    ),
  ),
  onTopic(
    "subscribe to the broker's own topics",
    'subscribe',
    subscribing(() => '$SYS/#'),
  ),
  onTopic(
    'subscribe to a share',
    'subscribe',
    subscribing(
      (victim) => `$share/paddock/${topicOf('answer', victim)}`,
      () => '$share/paddock/paddock/v1/+/report',
    ),
  ),
];

const hello = (client: RawClient, deviceId: string): Promise<RawClient> => client.hello(deviceId);

const ON_CONNECTING: readonly Attack[] = [
  connecting('the client id of another device', 'client_id_mismatch', true, ({ attacker, victim, dial }) =>
    hello(dial(attacker.pair), victim.deviceId),
  ),
  connecting('no certificate', 'certificate_missing', false, ({ victim, dial }) => hello(dial(null), victim.deviceId)),
  connecting("another authority's certificate", 'certificate_untrusted', false, async ({ stranger, victim, dial }) =>
    hello(dial(await devicePair(stranger, victim.deviceId)), victim.deviceId),
  ),
  connecting('an expired certificate', 'certificate_expired', false, async ({ authority, attacker, dial }) => {
    const old = wallMs(Date.now() - 31 * DAY_MS);
    return hello(dial(await devicePair(authority, attacker.deviceId, old)), attacker.deviceId);
  }),
  connecting('a revoked certificate', 'certificate_revoked', true, async ({ store, attacker, dial }) => {
    await store.transaction(async (sql) => {
      await actAs(sql, 'test');
      await revokeCertificates(sql, attacker.deviceId, 'stolen');
    });
    return hello(dial(attacker.pair), attacker.deviceId);
  }),
  connecting('a retired device', 'device_retired', true, async ({ store, attacker, dial }) => {
    const { deviceId } = attacker;
    await store.transaction((sql) => retireDevice(sql, ALL_CUSTOMERS, 'test', { deviceId, expectedVersion: null }));
    return hello(dial(attacker.pair), deviceId);
  }),
  connecting('plain MQTT on the port for TLS', 'tls_failed', false, ({ victim, plain }) =>
    hello(plain(), victim.deviceId),
  ),
  connecting('TLS 1.1', 'tls_failed', false, ({ attacker, dial }) => {
    // The client's own library would refuse first, without the lower level of security.
    const old = { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' } as const;
    return hello(dial(attacker.pair, old), attacker.deviceId);
  }),
];

const IN_A_VALID_CONNECTION: readonly Attack[] = [
  disbelieved('a report signed with a revoked key', 'key_revoked', async ({ store, attacker }) => {
    const { deviceId, key } = attacker;
    const { thumbprint } = key.verification;
    await store.transaction((sql) =>
      revokeIdentityKey(sql, ALL_CUSTOMERS, 'test', { deviceId, reason: 'stolen', thumbprint }),
    );
    return report(attacker);
  }),
  disbelieved("another device's genuine report, on the own topic", 'key_unknown', ({ victim }) => report(victim)),
  disbelieved("a report by a stranger's key", 'key_unknown', async ({ attacker }) =>
    report(attacker, await makeTestKey()),
  ),
  disbelieved(
    "a report by a stranger's key that says to be the device's",
    'signature_invalid',
    async ({ attacker }) => {
      const stranger = await makeTestKey();
      const signing = { ...stranger.signing, keyId: attacker.key.signing.keyId };
      return report(attacker, { ...stranger, signing });
    },
  ),
  disbelieved('a report that names another device', 'device_mismatch', ({ attacker, victim }) =>
    report(attacker, attacker.key, victim.deviceId),
  ),
  disbelieved('a report that was changed on its way', 'signature_invalid', async ({ attacker }) => {
    const [head, payload = '', signature] = (await report(attacker)).split('.');
    const other = createHash('sha256').update(payload).digest('base64url');
    return [head, other, signature].join('.');
  }),
  disbelieved('a report that says to need no signature', 'alg_refused', async ({ attacker }) => {
    const [head = '', payload, signature] = (await report(attacker)).split('.');
    const said = JSON.parse(Buffer.from(head, 'base64url').toString()) as object;
    const unsigned = Buffer.from(JSON.stringify({ ...said, alg: 'none' })).toString('base64url');
    return [unsigned, payload, signature].join('.');
  }),
];

/** Everything that somebody tries over MQTT. */
export const ATTACKS: readonly Attack[] = [...ON_TOPICS, ...ON_CONNECTING, ...IN_A_VALID_CONNECTION];
