import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** `paddock serve` as a process of its own, with its own broker, database and data directory. */
export interface CloudProcess {
  readonly pid: number;
  readonly httpUrl: string;
  readonly mqttUrl: string;
  /** Where devices enrol: by the name of this machine. */
  readonly enrolUrl: string;
  readonly dataDir: string;
  /** Calls the HTTP API as the operator. @returns status and parsed body */
  call(method: string, path: string, body?: object): Promise<{ status: number; body: Record<string, unknown> }>;
  /** Resolves when it is gone, with the end of what it said. */
  readonly ended: Promise<string>;
  /** Stops it and removes its data. */
  stop(): Promise<void>;
  /** Ends it at once, as a machine does that is lost, and removes its data. */
  destroy(): Promise<void>;
}

const ONLINE_KEY = 'online.key.pem';
const LAST_CHARS = 4_000;
const LOOK_EVERY_MS = 20;
const PROGRAM = join(import.meta.dirname, '../../cloud/bin/paddock.cjs');

/**
 * @param env more of the environment, such as DATABASE_URL
 * @param beside an instance of the same service: this one signs answers with the same key
 * @param at a data directory that is there; by default a new one
 */
export async function startCloudProcess(
  env: Readonly<Record<string, string>> = {},
  beside?: CloudProcess,
  at?: string,
): Promise<CloudProcess> {
  const dataDir = at ?? (await mkdtemp(join(tmpdir(), 'paddock-cloud-')));
  if (beside) await copyFile(join(beside.dataDir, ONLINE_KEY), join(dataDir, ONLINE_KEY));
  const args = [PROGRAM, 'serve', '--data-dir', dataDir, '--http-port', '0', '--mqtt-port', '0', '--enrol-port', '0'];
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PADDOCK_MQTT_TLS_PORT: '0', PADDOCK_MQTT_PLAIN: 'loopback', ...env },
  });
  const ended = once(child, 'exit');
  let output = '';
  const read = (chunk: Buffer): void => void (output = (output + chunk.toString()).slice(-LAST_CHARS));
  child.stdout.on('data', read);
  child.stderr.on('data', read);
  const urls = await listening(() => output, ended);
  const token = (await readFile(join(dataDir, 'operator.token'), 'utf8')).trim();
  return {
    pid: child.pid ?? 0,
    ...urls,
    dataDir,
    ended: ended.then(() => output),
    async call(method, path, body) {
      const answer = await fetch(`${urls.httpUrl}/api/v1${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, ...(body && { 'content-type': 'application/json' }) },
        ...(body && { body: JSON.stringify(body) }),
      });
      return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
    },
    async stop() {
      child.kill('SIGTERM');
      await ended;
      await rm(dataDir, { recursive: true, force: true });
    },
    async destroy() {
      child.kill('SIGKILL');
      await ended;
      // Its PostgreSQL ends by itself, and writes until then.
      await rm(dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
    },
  };
}

/** Its addresses, as the service prints them when it is ready. */
async function listening(
  output: () => string,
  ended: Promise<unknown>,
): Promise<Pick<CloudProcess, 'httpUrl' | 'mqttUrl' | 'enrolUrl'>> {
  let isOver = false;
  void ended.then(() => (isOver = true));
  for (;;) {
    const [, httpUrl] = /^http: (http:\S+)$/m.exec(output()) ?? [];
    const [, mqttUrl] = /^mqtt: (mqtts?:\S+)$/m.exec(output()) ?? [];
    const [, enrolUrl] = /^enrol: (https:\S+)$/m.exec(output()) ?? [];
    if (httpUrl !== undefined && mqttUrl !== undefined && enrolUrl !== undefined) return { httpUrl, mqttUrl, enrolUrl };
    if (isOver) throw new Error(`The cloud ended by itself:\n${output()}`);
    await sleep(LOOK_EVERY_MS);
  }
}
