import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { pino } from 'pino';
import { openAwsIot } from '@paddock/cloud/adapters/aws-iot.ts';
import { systemClock } from '@paddock/cloud/adapters/system-clock.ts';
import { AwsTransport } from '@paddock/cloud/aws/transport.ts';
import { ALL_CUSTOMERS } from '@paddock/cloud/customers/scope.ts';
import { registerDevice, retireDevice } from '@paddock/cloud/devices/registry.ts';
import { databaseNow } from '@paddock/cloud/store/database-clock.ts';
import type { Clock, Store } from '@paddock/cloud/ports.ts';
import { CollectedAudit } from '../audit.ts';
import { makeCsr } from '../csr.ts';
import { makeTestKey } from '../signing.ts';
import { REGION, type FakeCertificate } from './account.ts';
import { CREDENTIALS, startFakeAws, type FakeAws } from './server.ts';

/** A slow answer takes longer than an impatient client waits for it. */
const SLOW_MS = 750;
const IMPATIENT_MS = 500;
export const GROUP = 'paddock';

export type Request = Parameters<AwsTransport['certificateFor']>[0];

/** The transport of AWS IoT on a make-believe AWS and a real database. */
export interface AwsBench {
  readonly fake: FakeAws;
  readonly audit: CollectedAudit;
  /** As a service that was just started: nothing is remembered but what the database knows. */
  service(options?: { attempts?: number; impatient?: boolean; clock?: Clock }): Promise<AwsTransport>;
  /** A registered device, with a request of a new TLS key. */
  device(attributes?: { serialNumber?: string; modelId?: string }): Promise<Request>;
  retire(deviceId: string): Promise<void>;
  /** What the job would do in time: the clock of everything that waits is put back before each of so many turns. */
  tidied(transport: AwsTransport, turns?: number): Promise<void>;
  /** What the account holds of certificates. */
  certificates(): FakeCertificate[];
  close(): Promise<void>;
}

/** A request of a TLS key for that device. */
export function requestFor(deviceId: string, pair?: { publicKey: KeyObject; privateKey: KeyObject }): Request {
  const { csr } = makeCsr(pair ?? generateKeyPairSync('ec', { namedCurve: 'P-256' }));
  return { deviceId, csr: new Uint8Array(Buffer.from(csr, 'base64url')), identityThumbprint: 'another key' };
}

let devices = 0;

export async function startAwsBench(store: Store): Promise<AwsBench> {
  process.env['AWS_ACCESS_KEY_ID'] = CREDENTIALS.accessKeyId;
  process.env['AWS_SECRET_ACCESS_KEY'] = CREDENTIALS.secretAccessKey;
  const fake = await startFakeAws({ slowMs: SLOW_MS });
  const audit = new CollectedAudit();
  const opened: (() => void)[] = [];
  return {
    fake,
    audit,
    async service({ attempts = 1, impatient = false, clock = systemClock } = {}) {
      const iot = await openAwsIot({
        region: REGION,
        endpoint: fake.url,
        attempts,
        ...(impatient && { tryMs: IMPATIENT_MS }),
      });
      opened.push(() => iot.close());
      return new AwsTransport({ store, iot, audit, clock, log: pino({ level: 'silent' }), group: GROUP });
    },
    async device(attributes = {}) {
      const deviceId = `kiosk-${1000 + devices++}`;
      const { publicJwk } = await makeTestKey();
      await store.transaction((sql) =>
        registerDevice(sql, ALL_CUSTOMERS, 'test', { deviceId, publicKey: publicJwk, ...attributes }),
      );
      return requestFor(deviceId);
    },
    async retire(deviceId) {
      await store.transaction((sql) => retireDevice(sql, ALL_CUSTOMERS, 'test', { deviceId, expectedVersion: null }));
    },
    async tidied(transport, turns = 4) {
      for (let turn = 0; turn < turns; turn++) {
        await store.query("UPDATE aws_things SET retry_at = '-infinity', held_until = '-infinity'");
        await store.query(
          "UPDATE aws_certificates SET asked_at = asked_at - interval '6 minutes', changed_at = changed_at - interval '6 minutes' WHERE step <> 'active'",
        );
        await transport.tidy(store, await databaseNow(store));
      }
    },
    certificates: () => [...fake.account.certificates.values()],
    async close() {
      for (const close of opened) close();
      await fake.close();
    },
  };
}
