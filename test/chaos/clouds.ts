import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startMqttRelay, type MqttRelay } from '../harness/mqtt-relay.ts';
import { startTcpRelay, type Target, type TcpRelay } from '../harness/tcp-relay.ts';
import { programOf, Supervised } from './supervised.ts';

const PROGRAM = join(import.meta.dirname, '../../cloud/bin/paddock.cjs');

export interface CloudPlaces {
  readonly folder: string;
  readonly dataDir: string;
  /** Where a broker of its own is; null: the embedded one. */
  readonly broker: { readonly port: () => Target | null; urlAt(port: number): string } | null;
  /** A database of its own; null: the service starts a private one. */
  readonly database: { readonly target: () => Target | null; urlAt(port: number): string } | null;
}

/** One instance of the cloud service, started again whenever it ends, with its own ways to broker and database. */
export class CloudInstance {
  readonly process: Supervised;
  readonly toBroker: MqttRelay | null;
  readonly toDatabase: TcpRelay | null;

  private constructor(process: Supervised, toBroker: MqttRelay | null, toDatabase: TcpRelay | null) {
    this.process = process;
    this.toBroker = toBroker;
    this.toDatabase = toDatabase;
  }

  static async build(name: string, { folder, dataDir, broker, database }: CloudPlaces): Promise<CloudInstance> {
    const toBroker = broker && (await startMqttRelay(broker.port));
    const toDatabase = database && (await startTcpRelay(database.target));
    const env = {
      DATABASE_URL: database && toDatabase ? database.urlAt(toDatabase.port) : '',
      PADDOCK_BROKER_URL: broker && toBroker ? broker.urlAt(Number(new URL(toBroker.url).port)) : '',
      PADDOCK_MQTT_TLS_PORT: '0',
      PADDOCK_MQTT_PLAIN: 'loopback',
    };
    const args = ['serve', '--data-dir', dataDir, '--http-port', '0', '--mqtt-port', '0', '--enrol-port', '0'];
    const launch = programOf(name, PROGRAM, args, env);
    return new CloudInstance(new Supervised((life) => launch(folder, life)), toBroker, toDatabase);
  }

  /** The port that this life of it listens on, as it says when it is ready. */
  port(what: 'http' | 'mqtt'): number | null {
    const line = new RegExp(`^${what}: ${what}://127[.]0[.]0[.]1:(\\d+)$`, 'm');
    const [, port] = line.exec(this.process.output()) ?? [];
    return port === undefined ? null : Number(port);
  }

  async close(withinMs: number): Promise<void> {
    await this.process.stop(withinMs);
    await this.toBroker?.close();
    await this.toDatabase?.close();
  }
}

/** Calls the HTTP API of the first instance that answers, as the operator. */
export async function callApi(
  clouds: readonly CloudInstance[],
  dataDir: string,
  [method, path]: readonly [string, string],
  body?: object,
): Promise<unknown> {
  const token = (await readFile(join(dataDir, 'operator.token'), 'utf8')).trim();
  const ports = clouds.map((cloud) => cloud.port('http')).filter((port) => port !== null);
  for (const port of ports) {
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(10_000),
    }).catch(() => null);
    if (answer?.ok === true) return answer.json();
    if (answer && answer.status < 500) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  }
  await sleep(100);
  throw new Error(`${method} ${path}: nobody answers`);
}
