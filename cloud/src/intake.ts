import { EmbeddedBroker } from './adapters/aedes.ts';
import { RemoteBroker } from './adapters/mqtt.ts';
import { startOpener } from './adapters/opener.ts';
import type { Base } from './base.ts';
import { Answers } from './ingest/answer.ts';
import { StoredKeyDirectory } from './ingest/directory.ts';
import { Ingest } from './ingest/pipeline.ts';
import { Rejections } from './ingest/rejections.ts';
import { Strangers } from './ingest/strangers.ts';
import { currentEpoch } from './store/epoch.ts';
import type { Broker, ErrorAt } from './ports.ts';

/** The broker of the service's own, or the one that it is told to use. */
export const brokerOf = ({ config, clock, log }: Base): Broker =>
  config.brokerUrl === null
    ? new EmbeddedBroker({
        host: config.mqttHost,
        port: config.mqttPort,
        clock,
        log: (message, error) => log.warn({ err: error }, message),
      })
    : new RemoteBroker({ url: config.brokerUrl, shareGroup: config.shareGroup, clock });

/**
 * Builds the way from the broker to the archive and opens it.
 * @param on.reachable told whether devices can reach us through the broker
 * @param on.errorAt asked about every stamp
 */
export async function takeIn(
  base: Base,
  broker: Broker,
  { reachable, errorAt }: { reachable: (is: boolean) => void; errorAt: ErrorAt },
  started: AsyncDisposableStack,
): Promise<void> {
  const { store, clock, metrics, log, onlineKey } = base;
  const rejections = new Rejections({ sql: store, clock, metrics, log });
  started.defer(() => rejections.close());
  const keys = new StoredKeyDirectory(store, clock);
  const unlisten = await store.listen(
    'paddock_devices',
    (id) => keys.forget(id),
    () => keys.forgetAll(),
  );
  started.defer(unlisten);
  const opener = startOpener({ program: new URL('./opener-thread.ts', import.meta.url) });
  started.defer(() => opener.close());
  const strangers = new Strangers({ clock, metrics, log });
  const answers = new Answers({
    broker,
    signing: onlineKey.signing,
    clock,
    metrics,
    log,
    epoch: await currentEpoch(store),
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
  });
  // Answers to what is being recorded still go out: the broker closes last.
  started.defer(() => broker.close());
  started.defer(() => ingest.close());
  let said: boolean | null = null;
  await broker.open({
    message: (inbound) => ingest.accept(inbound),
    foreign: (clientId, topic) => strangers.foreign(clientId, topic),
    oversized: (clientId) => strangers.oversized(clientId),
    reachable: (is) => {
      reachable(is);
      // Heard again with every try to connect.
      if (is === said) return;
      said = is;
      log[is ? 'info' : 'warn']({}, is ? 'The broker is reachable' : 'The broker is not reachable');
    },
  });
}
