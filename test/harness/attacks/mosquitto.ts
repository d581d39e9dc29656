import { replaceFile } from '@paddock/cloud/adapters/whole-file.ts';
import { readRevoked } from '@paddock/cloud/trust/revocation.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import { wallMs } from '@paddock/shared/time.ts';
import { joinTlsMosquitto } from '../brokers.ts';
import { startTlsMosquitto } from '../mosquitto.ts';
import type { AttackedBroker } from './bench.ts';

/** What Mosquitto's log says of an attack that never reaches the service. */
function lineOf({ code, action }: { readonly action: string; readonly code: string }, attacker: string): RegExp {
  switch (code) {
    case 'topic_foreign':
      // It grants subscriptions and wills, and delivers none of them: what was asked for is all that it says.
      return action === 'publish'
        ? new RegExp(`Denied PUBLISH from ${attacker} |Client ${attacker} disconnected due to protocol error`)
        : new RegExp(action === 'subscribe' ? `Received SUBSCRIBE from ${attacker}\n` : 'Will message specified');
    case 'client_id_mismatch':
      // Nobody has another client id than the certificate says, whatever it calls itself.
      return new RegExp(`New client connected from 127\\.0\\.0\\.1:\\d+ as ${attacker} `);
    case 'certificate_missing':
      return /peer did not return a certificate/;
    case 'tls_failed':
      return /wrong version number|unsupported protocol/;
    default:
      return /certificate verify failed/;
  }
}

/** Mosquitto with the generated settings for mutual TLS, told of revocations as the service tells it. */
export const mosquittoBroker: AttackedBroker = {
  name: 'Mosquitto over mutual TLS',
  tells: false,
  lineOf,
  async start({ store, authority }) {
    const mosquitto = await startTlsMosquitto(authority);
    const unlisten = await store.listen('paddock_devices', () => void push());
    /** One list after the other: of two within a second the first one counts. */
    let pushed = Promise.resolve();
    const push = (): void => {
      pushed = pushed.then(async () => {
        const now = wallMs(Date.now());
        const list = await authority.revocationList(await readRevoked(store, now), now);
        await replaceFile(mosquitto.revokedFile, list);
        mosquitto.reload();
        await sleep(1_100);
      });
    };
    return {
      broker: await joinTlsMosquitto(mosquitto),
      port: () => mosquitto.port,
      log: () => mosquitto.log(),
      async close() {
        await unlisten();
        await pushed;
        await mosquitto.stop();
      },
    };
  },
};
