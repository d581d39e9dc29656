import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './free-port.ts';

const PROGRAM = join(import.meta.dirname, '../../demo/src/main.ts');
const PADDOCK = join(import.meta.dirname, '../../cloud/bin/paddock.cjs');

export interface Started {
  readonly child: ChildProcess;
  output(): string;
  /** Exit code and signal. */
  readonly ended: Promise<unknown[]>;
}

/** The demonstration as a newcomer starts it, in a folder and on ports of its own. */
export class DemoProcess {
  readonly dataDir: string;
  readonly ports: Readonly<Record<'http' | 'mqtt' | 'enrol' | 'mqttTls', number>>;
  readonly #started: ChildProcess[] = [];

  private constructor(dataDir: string, ports: DemoProcess['ports']) {
    this.dataDir = dataDir;
    this.ports = ports;
  }

  static async prepare(): Promise<DemoProcess> {
    const dataDir = await mkdtemp(join(tmpdir(), 'paddock-start-'));
    const [http, mqtt, enrol, mqttTls] = [await freePort(), await freePort(), await freePort(), await freePort()];
    return new DemoProcess(dataDir, { http, mqtt, enrol, mqttTls });
  }

  /** As the commands of the README need it. */
  get env(): NodeJS.ProcessEnv {
    return {
      ...process.env,
      PADDOCK_HTTP_PORT: String(this.ports.http),
      PADDOCK_MQTT_PORT: String(this.ports.mqtt),
      PADDOCK_ENROL_PORT: String(this.ports.enrol),
      PADDOCK_MQTT_TLS_PORT: String(this.ports.mqttTls),
      PADDOCK_DATA_DIR: this.dataDir,
    };
  }

  start(...args: readonly string[]): Started {
    return this.#spawn(PROGRAM, args);
  }

  /** Runs `paddock` to its end. @returns its exit code, and what it said */
  async paddock(...args: readonly string[]): Promise<{ readonly code: unknown; readonly output: string }> {
    const { ended, output } = this.#spawn(PADDOCK, args);
    const [code] = await ended;
    return { code, output: output() };
  }

  /** What the API lists there. */
  async items<Item>(path: string): Promise<readonly Item[]> {
    const token = (await readFile(join(this.dataDir, 'operator.token'), 'utf8')).trim();
    const headers = { authorization: `Bearer ${token}` };
    const answer = await fetch(`http://127.0.0.1:${this.ports.http}/api/v1${path}`, { headers });
    return ((await answer.json()) as { items: Item[] }).items;
  }

  /** Kills what a test left running. */
  kill(): void {
    for (const child of this.#started) child.kill('SIGKILL');
  }

  async remove(): Promise<void> {
    await rm(this.dataDir, { recursive: true, force: true });
  }

  #spawn(program: string, args: readonly string[]): Started {
    const child = spawn(process.execPath, [program, ...args], { env: this.env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#started.push(child);
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => void (output += chunk.toString()));
    return { child, output: () => output, ended: once(child, 'exit') };
  }
}
