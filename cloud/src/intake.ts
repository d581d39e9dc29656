import { EmbeddedBroker } from './adapters/aedes.ts';
import { startOpener } from './adapters/opener.ts';
import { runInBackground, type Background, type Base } from './base.ts';
import { crashIntake } from './crashes/intake.ts';
import { knownCrashes } from './crashes/known.ts';
import { DesiredPublisher } from './desired/publisher.ts';
import { Answers } from './ingest/answer.ts';
import { StoredKeyDirectory } from './ingest/directory.ts';
import { inventoryIntake } from './inventory/intake.ts';
import { KnownInventories } from './inventory/known.ts';
import { Ingest } from './ingest/pipeline.ts';
import { Rejections } from './ingest/rejections.ts';
import { Strangers } from './ingest/strangers.ts';
import { currentEpoch } from './store/epoch.ts';
import { otherBroker } from './other-broker.ts';
import type { Broker, BrokerEvents, ErrorAt, Store } from './ports.ts';
import { importVerificationKey } from '@paddock/shared/keys.ts';
import { newestKeyList } from './trust/key-lists.ts';
import { Addresses } from './trust/addresses.ts';
import { StoredAdmission } from './trust/admission.ts';
import type { RevocationFile } from './trust/revocation-file.ts';
import { RefusedConnections } from './trust/refused-connections.ts';

/** A broker that is not open yet, and who is let in there. */
export interface PreparedBroker {
  readonly broker: Broker;
  readonly admission: StoredAdmission;
  readonly revocationFile?: RevocationFile;
}

/** The broker of the service's own, or the one that it is told to use; and what keeps certificates good or closed. */
export async function prepareBroker(base: Base, background: Background): Promise<PreparedBroker> {
  const { config } = base;
  const admission = new StoredAdmission({ ...base, sql: base.store });
  background((signal) => admission.run(signal));
  if (config.brokerUrl === null) return { broker: embeddedBroker(base, admission), admission };
  return { admission, ...(await otherBroker(base, config.brokerUrl, background)) };
}

function embeddedBroker(
  { config, clock, log, authorities, serverCertificate }: Base,
  admission: StoredAdmission,
): Broker {
  const broker = new EmbeddedBroker({
    host: config.mqttHost,
    port: config.mqttPlain === 'no' ? null : config.mqttPort,
    tls: {
      host: config.mqttTlsHost,
      port: config.mqttTlsPort,
      identity: serverCertificate.current,
      authorityPem: authorities.acceptedPem,
      addresses: new Addresses(
        { connections: config.mqttAddressConnections, handshakesPerSecond: config.mqttAddressHandshakes },
        clock,
      ),
    },
    admission,
    clock,
    log: (message, error) => log.warn({ err: error }, message),
  });
  serverCertificate.onRenewed((identity) => broker.renew(identity));
  authorities.onChange(() => broker.believe(authorities.acceptedPem));
  return broker;
}

/**
 * Builds the way from the broker to the archive and opens it.
 * @param on.reachable told whether devices can reach us through the broker
 * @param on.errorAt asked about every stamp
 */
export async function takeIn(
  base: Base,
  { broker, admission, revocationFile }: PreparedBroker,
  { reachable, errorAt }: { reachable: (is: boolean) => void; errorAt: ErrorAt },
  started: AsyncDisposableStack,
): Promise<void> {
  const { store, clock, metrics, log, onlineKey, audit } = base;
  const rejections = new Rejections({ sql: store, clock, metrics, log, audit });
  started.defer(() => rejections.close());
  const keys = new StoredKeyDirectory(store, clock);
  started.defer(await hearOfDevices(store, keys, admission, revocationFile));
  const opener = startOpener({ program: new URL('./opener-thread.ts', import.meta.url) });
  started.defer(() => opener.close());
  const known = new KnownInventories(store);
  const sideDeps = { ...base, keys, opener, rejections, errorAt };
  const sides = [inventoryIntake({ ...sideDeps, known }), crashIntake(sideDeps)];
  const sending = { broker, signing: onlineKey.signing, clock, metrics, log, epoch: await currentEpoch(store) };
  const desired = new DesiredPublisher({ store, ...sending, believedKeys: () => believedKeys(store) });
  started.defer(await desired.open());
  const answers = new Answers({
    ...sending,
    keyList: () => base.authorities.listVersion,
    desiredVersion: (deviceId) => desired.versionOf(deviceId),
  });
  const ingest = new Ingest({
    store,
    keys,
    opener,
    answers,
    rejections,
    clock,
    metrics,
    log,
    errorAt,
    wantsInventory: (deviceId, digest) => known.wants(deviceId, digest),
    knownCrashes: (deviceId, ids) => knownCrashes(store, deviceId, ids),
    desiredReported: (deviceId, reported) => desired.reported(deviceId, reported),
  });
  // Answers to what is being recorded still go out: the broker closes last.
  started.defer(() => broker.close());
  for (const side of sides) started.defer(() => side.close());
  started.defer(() => ingest.close());
  await broker.open({
    ...watched(base, reachable),
    message: (inbound) => (sides.find((side) => side.takes(inbound)) ?? ingest).accept(inbound),
  });
  runInBackground(started)((signal) => desired.run(signal));
}

/** What a broker tells besides messages: counted, audited and logged. */
function watched(base: Base, reachable: (is: boolean) => void): Omit<BrokerEvents, 'message'> {
  const strangers = new Strangers(base);
  const refusals = new RefusedConnections(base, 'broker');
  let said: boolean | null = null;
  return {
    foreign: (client, topic, action) => {
      strangers.foreign(client, topic);
      refusals.foreign(client, topic, action);
    },
    oversized: (client) => {
      strangers.oversized(client);
      refusals.oversized(client);
    },
    refusedConnection: (code, client) => refusals.refused(code, client),
    reachable: (is) => {
      reachable(is);
      // Heard again with every try to connect.
      if (is === said) return;
      said = is;
      base.log[is ? 'info' : 'warn']({}, is ? 'The broker is reachable' : 'The broker is not reachable');
    },
  };
}

/** What changed of a device, here or on another instance, counts at once: its keys, and whether it may be connected. */
const hearOfDevices = (store: Store, keys: StoredKeyDirectory, admission: StoredAdmission, file?: RevocationFile) =>
  store.listen(
    'paddock_devices',
    (id) => {
      keys.forget(id);
      admission.changed(id);
      file?.changed();
    },
    () => {
      keys.forgetAll();
      admission.changedAll();
      file?.changed();
    },
  );

/** Devices verify with the keys of the newest list. */
async function believedKeys(store: Store): Promise<readonly string[]> {
  const newest = await newestKeyList(store);
  return Promise.all((newest?.list.keys ?? []).map(async (jwk) => (await importVerificationKey(jwk)).keyId));
}
