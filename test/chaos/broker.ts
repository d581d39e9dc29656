import { startMosquitto } from '../harness/mosquitto.ts';
import { eventually } from './waiting.ts';

const RESTART_MS = 100;

/** A Mosquitto with the generated settings that is started again after every kill, without anything that it held. */
export interface SupervisedBroker {
  /** Null while there is none. */
  port(): number | null;
  /** How the service reaches it through whatever stands at that port: with its password. */
  urlAt(port: number): string;
  kill(): Promise<void>;
  stop(): Promise<void>;
}

export async function superviseMosquitto(): Promise<SupervisedBroker> {
  const broker = await startMosquitto({ guarded: true });
  let isUp = true;
  let restarting: Promise<void> = Promise.resolve();
  return {
    port: () => (isUp ? broker.port : null),
    urlAt: (port) => broker.cloudUrl.replace(/:\d+$/, `:${port}`),
    async kill() {
      await eventually('Mosquitto', async () => isUp);
      isUp = false;
      restarting = broker.restart(RESTART_MS).then(() => void (isUp = true));
    },
    async stop() {
      await restarting;
      await broker.stop();
    },
  };
}
