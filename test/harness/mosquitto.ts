import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeMosquitto } from '@paddock/cloud/broker-config.ts';
import { writeTlsMosquitto } from '@paddock/cloud/broker-config-tls.ts';
import { MOSQUITTO_FILES, MOSQUITTO_TLS_FILES, mosquittoSettings } from '@paddock/cloud/brokers/mosquitto.ts';
import type { Authority } from '@paddock/cloud/trust/authority.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { freePort } from './free-port.ts';

/** A Mosquitto of the test's own, on loopback. */
export interface Mosquitto {
  /** For devices. */
  readonly url: string;
  /** For the service: with its password, where the broker holds everybody to their topics. */
  readonly cloudUrl: string;
  readonly port: number;
  readonly pid: number;
  /** As a power cut would: nothing is written first. */
  kill(): Promise<void>;
  /** Killed so, and started again on the same port and files; it remembers nothing. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export interface MosquittoOptions {
  /** To start again where one was before; by default a free one. */
  readonly port?: number;
  /** Exactly as `paddock broker-config mosquitto` writes it: by default one client may speak for many devices. */
  readonly guarded?: boolean;
  /** Settings that the test wants otherwise, or null to leave a line out. */
  readonly instead?: Readonly<Record<string, string | null>>;
}

/** The generated settings without what tells clients apart, so that a load generator can be a whole fleet. */
const UNGUARDED = { acl_file: null, password_file: null } as const;

export async function startMosquitto(options: number | MosquittoOptions = {}): Promise<Mosquitto> {
  const { port, guarded = false, instead = {} } = typeof options === 'number' ? { port: options } : options;
  const chosen = port ?? (await freePort());
  const directory = await mkdtemp(join(tmpdir(), 'paddock-mosquitto-'));
  const place = { address: '127.0.0.1', port: chosen, directory };
  const settings = join(directory, 'mosquitto.conf');
  const { brokerUrl } = await writeMosquitto(place);
  const changes = guarded ? instead : { ...UNGUARDED, ...instead };
  if (Object.keys(changes).length > 0) await writeFile(settings, withChanges(mosquittoSettings(place), changes));
  await giveToBroker(directory, MOSQUITTO_FILES.passwords);
  let running = await run(settings, chosen);
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    await running.end(signal);
    await rm(directory, { recursive: true, force: true });
  };
  const url = `mqtt://127.0.0.1:${chosen}`;
  return {
    url,
    cloudUrl: guarded ? brokerUrl : url,
    port: chosen,
    get pid() {
      return running.pid;
    },
    kill: () => end('SIGKILL'),
    async restart() {
      await running.end('SIGKILL');
      running = await run(settings, chosen);
    },
    stop: () => end('SIGTERM'),
  };
}

async function run(settings: string, port: number) {
  const child = spawn('mosquitto', ['-c', settings], { stdio: ['ignore', 'ignore', 'pipe'] });
  // Its notes about settings are nobody's business here; its errors are, but for handshakes that fail on purpose.
  child.stderr.on(
    'data',
    (text: Buffer) => void (/^(?!.*OpenSSL).*Error/m.test(text.toString()) && process.stderr.write(text)),
  );
  const ended = once(child, 'exit');
  await answering(port);
  const { pid } = child;
  if (pid === undefined) throw new Error('mosquitto did not start: is the package installed?');
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    child.kill(signal);
    await ended;
  };
  return { pid, end };
}

/** One with the generated settings for mutual TLS. */
export interface TlsMosquitto {
  readonly port: number;
  readonly url: string;
  readonly shareGroup: string;
  /** What instances of the service show, as files. */
  readonly instances: readonly { readonly cert: string; readonly key: string }[];
  readonly ca: string;
  /** Where the service would keep the list of revoked certificates. */
  readonly revokedFile: string;
  /** SIGHUP: it reads its files anew. */
  reload(): void;
  stop(): Promise<void>;
}

export async function startTlsMosquitto(authority: Authority, instances = 1): Promise<TlsMosquitto> {
  const port = await freePort();
  const directory = await mkdtemp(join(tmpdir(), 'paddock-mosquitto-'));
  const place = { address: '127.0.0.1', port, directory, hosts: ['localhost', '127.0.0.1'], instances };
  const written = await writeTlsMosquitto(place, authority, wallMs(Date.now()));
  await giveToBroker(directory, MOSQUITTO_TLS_FILES.key);
  const running = await run(join(directory, 'mosquitto.conf'), port);
  return {
    port,
    url: written.brokerUrl,
    shareGroup: written.shareGroup,
    instances: written.instances,
    ca: written.ca,
    revokedFile: join(directory, MOSQUITTO_TLS_FILES.revoked),
    reload: () => void process.kill(running.pid, 'SIGHUP'),
    async stop() {
      await running.end('SIGTERM');
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function withChanges(settings: string, changes: Readonly<Record<string, string | null>>): string {
  return settings
    .split('\n')
    .flatMap((line) => {
      const [name = ''] = line.split(' ');
      const value = changes[name];
      if (value === undefined) return [line];
      return value === null ? [] : [`${name} ${value}`];
    })
    .join('\n');
}

/** Started as root, Mosquitto becomes a user of its own, who has to read what it is given. */
async function giveToBroker(directory: string, secret: string): Promise<void> {
  await chmod(directory, 0o755);
  if (process.getuid?.() !== 0) return;
  const id = (flag: string): number => Number(execFileSync('id', [flag, 'mosquitto'], { encoding: 'utf8' }));
  await chown(join(directory, secret), id('-u'), id('-g'));
}

async function answering(port: number): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    if (await reaches(port)) return;
    await sleep(50);
  }
  throw new Error(`mosquitto does not answer on port ${port}`);
}

async function reaches(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
