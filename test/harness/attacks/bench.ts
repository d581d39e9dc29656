import { randomBytes } from 'node:crypto';
import { connect as connectPlain } from 'node:net';
import { connect, type ConnectionOptions } from 'node:tls';
import type { Audit, Broker, Store } from '@paddock/cloud/ports.ts';
import type { Authority } from '@paddock/cloud/trust/authority.ts';
import { recordCertificate } from '@paddock/cloud/trust/revocation.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { devicePair, type DevicePair, type TlsPair } from '../authority.ts';
import { addDevices } from '../device.ts';
import { startIngest, type TestIngest } from '../ingest.ts';
import { RawClient } from '../raw-client.ts';
import { makeTestKey, type TestKey } from '../signing.ts';

/** A device with all that it proves itself by. */
export interface Kiosk {
  readonly deviceId: string;
  readonly key: TestKey;
  readonly pair: DevicePair;
}

/** A broker under attack, listening for mutual TLS on loopback; the broker of the service's side is not open yet. */
export interface Target {
  readonly broker: Broker;
  /** Known when the broker is open. */
  readonly port: () => number;
  /** What it said of itself so far, where it does not tell the service. */
  log?(): string;
  close(): Promise<void>;
}

/** One column of the suite: how a broker is set up, and what the audit log can know of what it refuses. */
export interface AttackedBroker {
  readonly name: string;
  /**
   * Whether it tells the service what it refused, and whose connection a message came through. Otherwise its refusals stand
   * in its own log, and the actor of a message that the service refuses is unknown.
   */
  readonly tells: boolean;
  /** For one that does not: the line of its own log. */
  lineOf?(entry: { readonly action: string; readonly code: string }, attacker: string): RegExp;
  start(parts: { readonly store: Store; readonly authority: Authority }): Promise<Target>;
}

export interface AttackBench {
  readonly store: Store;
  readonly authority: Authority;
  /** Someone else's, with the same name. */
  readonly stranger: Authority;
  readonly cloud: TestIngest;
  readonly attacker: Kiosk;
  readonly victim: Kiosk;
  /** A connection that shows this pair, or no certificate; nothing was said yet. */
  dial(pair: TlsPair | null, options?: ConnectionOptions): RawClient;
  plain(): RawClient;
  /** The attacker's own, let in. */
  enter(): Promise<RawClient>;
}

type Ground = Pick<AttackBench, 'store' | 'authority' | 'stranger'>;

/** The service behind a broker under attack, for as many attacks as come. */
export class AttackedService {
  readonly #parts: Ground;
  readonly #target: Target;
  readonly #cloud: TestIngest;
  readonly #clients: RawClient[] = [];
  /** Columns share a database: no device of one is in another. */
  readonly #tag = randomBytes(4).toString('hex');
  #attacks = 0;

  private constructor(parts: Ground, target: Target, cloud: TestIngest) {
    this.#parts = parts;
    this.#target = target;
    this.#cloud = cloud;
  }

  static async start(attacked: AttackedBroker, audit: Audit, parts: Ground): Promise<AttackedService> {
    const target = await attacked.start(parts);
    const on = { join: async () => ({ broker: target.broker, url: () => '' }), credentials: async () => null };
    return new AttackedService(parts, target, await startIngest(parts.store, { on, audit }));
  }

  /** Another pair of devices for each attack, so that none is in the way of another in what the audit log samples. */
  async bench(): Promise<AttackBench> {
    this.#attacks += 1;
    const [attacker, victim] = [
      await this.#kiosk(`attacker-${this.#tag}-${this.#attacks}`),
      await this.#kiosk(`victim-${this.#tag}-${this.#attacks}`),
    ];
    const { store, authority, stranger } = this.#parts;
    const dial: AttackBench['dial'] = (pair, options) => this.#dial(pair, options);
    const plain = (): RawClient => this.#keep(new RawClient(connectPlain(this.#target.port(), '127.0.0.1')));
    const enter = (): Promise<RawClient> => this.enter(attacker);
    return { store, authority, stranger, cloud: this.#cloud, attacker, victim, dial, plain, enter };
  }

  async enter({ deviceId, pair }: Kiosk): Promise<RawClient> {
    const client = await this.#dial(pair).hello(deviceId);
    await client.next('connack');
    return client;
  }

  /** What the victim hears when it listens, and the cloud has said something to it: that, unless an attack succeeded. */
  async heardBy(victim: Kiosk): Promise<string[]> {
    const client = await this.enter(victim);
    const [answers, desired] = [topicOf('answer', victim.deviceId), topicOf('desired', victim.deviceId)];
    await client.subscribe(answers, desired);
    await client.next('suback');
    await this.#cloud.broker.publish(answers, 'genuine');
    await client.next('publish');
    return client.packets.flatMap((packet) => (packet.cmd === 'publish' ? String(packet.payload) : []));
  }

  /** The broker's own log. */
  said(): string {
    return this.#target.log?.() ?? '';
  }

  endClients(): void {
    for (const client of this.#clients.splice(0)) client.end();
  }

  async close(): Promise<void> {
    this.endClients();
    await this.#cloud.close();
    await this.#target.close();
  }

  async #kiosk(deviceId: string): Promise<Kiosk> {
    const { store, authority } = this.#parts;
    const [key, pair] = [await makeTestKey(), await devicePair(authority, deviceId)];
    await addDevices(store, [{ deviceId, key }]);
    await recordCertificate(store, deviceId, pair.issued);
    return { deviceId, key, pair };
  }

  #dial(pair: TlsPair | null, options: ConnectionOptions = {}): RawClient {
    const ca = this.#parts.authority.certificatePem;
    const shown = pair && { key: pair.key, cert: pair.cert };
    return this.#keep(
      new RawClient(connect({ port: this.#target.port(), host: '127.0.0.1', ca, ...shown, ...options })),
    );
  }

  #keep(client: RawClient): RawClient {
    this.#clients.push(client);
    return client;
  }
}
