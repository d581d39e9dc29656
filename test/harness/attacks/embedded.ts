import { EmbeddedBroker } from '@paddock/cloud/adapters/aedes.ts';
import { systemClock } from '@paddock/cloud/adapters/system-clock.ts';
import { StoredAdmission } from '@paddock/cloud/trust/admission.ts';
import { pino } from 'pino';
import { serverPair } from '../authority.ts';
import type { AttackedBroker } from './bench.ts';

/** The broker inside the service, as `paddock serve` sets it up: no plain MQTT, and asked for each connection. */
export const embeddedBroker: AttackedBroker = {
  name: 'the embedded broker',
  tells: true,
  async start({ store, authority }) {
    const admission = new StoredAdmission({ sql: store, clock: systemClock, log: pino({ level: 'silent' }) });
    const unlisten = await store.listen('paddock_devices', (id) => admission.changed(id));
    const identity = await serverPair(authority);
    const broker = new EmbeddedBroker({
      host: '127.0.0.1',
      port: null,
      tls: { host: '127.0.0.1', port: 0, identity, authorityPem: authority.certificatePem },
      admission,
      clock: systemClock,
    });
    return { broker, port: () => broker.tlsPort, close: unlisten };
  },
};
