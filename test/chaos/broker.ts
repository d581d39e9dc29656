import { setTimeout as sleep } from 'node:timers/promises';
import { startMosquitto, type Mosquitto } from '../harness/mosquitto.ts';
import { eventually } from './waiting.ts';

const RESTART_MS = 100;

/** A Mosquitto that is started again after every kill, without anything that it held. */
export interface SupervisedBroker {
  /** Null while there is none. */
  port(): number | null;
  kill(): Promise<void>;
  stop(): Promise<void>;
}

export async function superviseMosquitto(): Promise<SupervisedBroker> {
  let running: Mosquitto | null = await startMosquitto();
  let restarting: Promise<void> = Promise.resolve();
  const restart = async (): Promise<void> => {
    await sleep(RESTART_MS);
    running = await startMosquitto();
  };
  return {
    port: () => running?.port ?? null,
    async kill() {
      const victim = await eventually('Mosquitto', async () => running);
      running = null;
      await victim.kill();
      restarting = restart();
    },
    async stop() {
      await restarting;
      await running?.stop();
    },
  };
}
