import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeMosquitto } from '@paddock/cloud/broker-config.ts';
import { writeTlsMosquitto } from '@paddock/cloud/broker-config-tls.ts';
import {
  MOSQUITTO_FILES,
  MOSQUITTO_TLS_FILES,
  MOSQUITTO_UNIT,
  mosquittoSettings,
} from '@paddock/cloud/brokers/mosquitto.ts';
import type { Authority } from '@paddock/cloud/trust/authority.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { freePort } from './free-port.ts';
import { isListening } from './tcp-table.ts';

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
  restart(afterMs?: number): Promise<void>;
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
  let running = await run(['mosquitto', '-c', settings], chosen);
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
    async restart(afterMs = 0) {
      await running.end('SIGKILL');
      await sleep(afterMs);
      running = await run(['mosquitto', '-c', settings], chosen);
    },
    stop: () => end('SIGTERM'),
  };
}

/** What a broker of a test is run by. */
type Command = readonly [program: string, ...args: string[]];

async function run([program, ...args]: Command, port: number) {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  child.stderr.on('data', (text: Buffer) => {
    log += text.toString();
    // What clients do is in the log for who looks; its own errors are everybody's business.
    if (/^\d+: Error/m.test(text.toString())) process.stderr.write(text);
  });
  const ended = once(child, 'exit');
  await listening(port);
  const { pid } = child;
  if (pid === undefined) throw new Error('mosquitto did not start: is the package installed?');
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    child.kill(signal);
    await ended;
  };
  return { pid, end, log: () => log };
}

/** One with the generated settings for mutual TLS, run as the generated unit of systemd runs it. */
export interface TlsMosquitto {
  readonly port: number;
  /** By name, as the certificate has it. */
  readonly url: string;
  readonly shareGroup: string;
  /** What an instance of the service shows. */
  readonly instances: readonly { readonly cert: string; readonly key: string }[];
  readonly ca: string;
  /** Where the service would keep the list of revoked certificates. */
  readonly revokedFile: string;
  readonly pid: number;
  /** A command of the shell that sends it SIGHUP, whichever life of it runs. */
  readonly reloadCommand: string;
  /** What it said, as the journal would have it. */
  log(): string;
  /** SIGHUP: it reads its files anew. */
  reload(): void;
  /** SIGKILL, and started again on the same port and files; it remembers nothing. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export interface TlsMosquittoOptions {
  readonly instances?: number;
  /** Of each instance. */
  readonly connections?: number;
  readonly instead?: Readonly<Record<string, string | null>>;
  /** LimitNOFILE of the unit: by default what the tests have themselves. */
  readonly files?: number;
}

export async function startTlsMosquitto(
  authority: Authority,
  { instances = 1, connections = 1, instead = {}, files }: TlsMosquittoOptions = {},
): Promise<TlsMosquitto> {
  const port = await freePort();
  const directory = await mkdtemp(join(tmpdir(), 'paddock-mosquitto-'));
  const place = { address: '127.0.0.1', port, directory, hosts: ['localhost', '127.0.0.1'], instances, connections };
  // A list replaces one that is older by a second at least.
  const written = await writeTlsMosquitto(place, authority, wallMs(Date.now() - 2_000));
  await giveToBroker(directory, MOSQUITTO_TLS_FILES.key);
  const settings = join(directory, MOSQUITTO_FILES.settings);
  await writeFile(settings, withChanges(await readFile(settings, 'utf8'), instead));
  const [, command = ''] =
    /^ExecStart=\/bin\/bash -c '(.*)'$/m.exec(await readFile(join(directory, MOSQUITTO_UNIT), 'utf8')) ?? [];
  const pidFile = join(directory, 'pid');
  const start = async () => {
    const bound = files === undefined ? '' : `ulimit -n ${files}; `;
    const started = await run(['/bin/bash', '-c', bound + command], port);
    await writeFile(pidFile, String(started.pid));
    return started;
  };
  let running = await start();
  return {
    port,
    url: written.brokerUrl,
    shareGroup: written.shareGroup,
    instances: written.instances,
    ca: written.ca,
    revokedFile: written.crl,
    get pid() {
      return running.pid;
    },
    reloadCommand: `kill -HUP $(cat ${pidFile})`,
    log: () => running.log(),
    reload: () => void process.kill(running.pid, 'SIGHUP'),
    async restart() {
      await running.end('SIGKILL');
      running = await start();
    },
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

/** Its queue takes connections from then on. */
async function listening(port: number): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (await isListening(port)) return;
    await sleep(50);
  }
  throw new Error(`mosquitto does not listen on port ${port}`);
}
