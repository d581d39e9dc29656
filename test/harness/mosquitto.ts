import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './free-port.ts';

/** A Mosquitto of the test's own, on loopback. */
export interface Mosquitto {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** As a power cut would: nothing is written first. */
  kill(): Promise<void>;
  stop(): Promise<void>;
}

// The in-flight limit is per client (20 by default), and the cloud is one client.
const SETTINGS = (port: number): string => `
listener ${port} 127.0.0.1
allow_anonymous true
persistence false
max_inflight_messages 1000
max_queued_messages 100000
set_tcp_nodelay true
log_type error
`;

/** @param port to start again where one was before; by default a free one */
export async function startMosquitto(port?: number): Promise<Mosquitto> {
  const chosen = port ?? (await freePort());
  const directory = await mkdtemp(join(tmpdir(), 'paddock-mosquitto-'));
  const file = join(directory, 'mosquitto.conf');
  await writeFile(file, SETTINGS(chosen));
  const child = spawn('mosquitto', ['-c', file], { stdio: ['ignore', 'inherit', 'inherit'] });
  const ended = once(child, 'exit');
  await answering(chosen);
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    child.kill(signal);
    await ended;
    await rm(directory, { recursive: true, force: true });
  };
  const { pid } = child;
  if (pid === undefined) throw new Error('mosquitto did not start: is the package installed?');
  return {
    url: `mqtt://127.0.0.1:${chosen}`,
    port: chosen,
    pid,
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
  };
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
