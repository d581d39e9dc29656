import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { KeySet } from '@paddock/shared/keys.ts';
import type { Inflate } from '@paddock/shared/envelope.ts';
import { Archive } from '../devices/archive.ts';
import { DeviceViews } from '../devices/views.ts';
import type { Firmware } from '../firmware/firmware.ts';
import type { Spool, Store } from '../ports.ts';
import { authentication, Failures, type Authenticate, type FailureLimit } from './auth.ts';
import { EventHub, type HubSettings } from './event-hub.ts';
import { DOCUMENT } from './document.ts';
import { framework, type FrameworkParts } from './framework.ts';
import type { Http } from './routes.ts';
import { assignmentRoutes } from './routes/assignments.ts';
import { auditRoutes } from './routes/audit.ts';
import { authorityRoutes, type AuthorityParts } from './routes/authorities.ts';
import { cloudKeyRoutes } from './routes/cloud-keys.ts';
import { customerRoutes } from './routes/customers.ts';
import { credentialRoutes } from './routes/credentials.ts';
import { desiredRoutes } from './routes/desired.ts';
import { deviceFirmwareRoutes } from './routes/device-firmware.ts';
import { deviceRoutes } from './routes/devices.ts';
import { firmwareRoutes } from './routes/firmware.ts';
import { releaseRoutes } from './routes/releases.ts';
import { instanceRoutes } from './routes/instances.ts';
import { keyListRoutes, type KeyListParts } from './routes/key-lists.ts';
import { lifeRoutes } from './routes/lives.ts';
import { factoryKeyRoutes, type ClaimTerms } from './routes/factory-keys.ts';
import { factoryListRoutes } from './routes/factory-list.ts';
import { pendingRoutes } from './routes/pending.ts';
import { eventRoutes } from './routes/events.ts';
import { crashRoutes } from './routes/crashes.ts';
import { inventoryRoutes } from './routes/inventory.ts';
import { reportRoutes } from './routes/reports.ts';
import { serviceRoutes, type Exposition, type Probe } from './routes/service.ts';
import { tokenRoutes } from './routes/tokens.ts';

export interface HttpParts extends Omit<FrameworkParts, 'serverFactory'> {
  readonly store: Store;
  readonly authenticate: Authenticate;
  readonly inflater: Inflate;
  /** How wrong the cloud's own clock can be now, in ms. */
  readonly cloudErrorMs: () => number;
  /** The cloud's public keys as they are now. */
  readonly cloudKeys: () => KeySet;
  readonly believed: KeyListParts['believed'];
  readonly authorities: AuthorityParts['authorities'];
  readonly exposition: Exposition;
  /** What must work for the service to be ready. */
  readonly probes: readonly Probe[];
  /** What claims of factories say of this cloud. */
  readonly claimTerms: ClaimTerms;
  readonly firmware: Firmware;
  /** A place for what is too long for memory. */
  readonly openSpool: () => Promise<Spool>;
  readonly failureLimit?: FailureLimit;
  readonly hub?: HubSettings;
}

export interface App {
  /** @param host loopback unless told otherwise; @returns the address that it listens on */
  listen(address: { host?: string; port: number }): Promise<string>;
  /** Ends every stream, finishes requests under way, and closes. */
  close(): Promise<void>;
  /** Method and path of every route, in the form of OpenAPI. */
  readonly routes: readonly string[];
  readonly document: () => object;
}

/** How long requests under way may take to end when the service stops. */
const CLOSE_WITHIN_MS = 2_000;

/** The HTTP service: everything it needs is handed in, nothing is running before listen(). */
export async function createApp(parts: HttpParts): Promise<App> {
  const routes: string[] = [];
  const views = new DeviceViews({ sql: parts.store, inflater: parts.inflater, cloudErrorMs: parts.cloudErrorMs });
  const archive = new Archive({ sql: parts.store, inflater: parts.inflater, cloudErrorMs: parts.cloudErrorMs });
  const hub = new EventHub({ ...parts, views, ...(parts.hub && { settings: parts.hub }) });
  const app = framework(parts);
  app.addHook('onRoute', ({ method, url, schema }) => {
    const isShown = schema?.hide !== true && !url.startsWith('/docs');
    for (const verb of [method].flat()) if (isShown && verb !== 'HEAD') routes.push(routeName(verb, url));
  });
  await app.register(swagger, { openapi: DOCUMENT });
  // The plain layout: without another project's banner, and without a field to load other documents.
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: true,
    theme: { title: 'Paddock API' },
    uiConfig: { layout: 'BaseLayout', docExpansion: 'list' },
  });
  await app.register(serviceRoutes(parts));
  await app.register(
    async (api: Http) => {
      api.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger());
      await api.register(async (guarded: Http) => {
        guarded.addHook('onRequest', authentication(parts.authenticate, new Failures(parts.clock, parts.failureLimit)));
        await registerGuarded(guarded, parts, views, archive);
        await guarded.register(eventRoutes({ hub, authenticate: parts.authenticate }));
      });
    },
    { prefix: '/api/v1' },
  );
  app.addHook('preClose', () => hub.close());
  await app.ready();
  return {
    routes,
    document: () => app.swagger(),
    async listen({ host = '127.0.0.1', port }) {
      await hub.open();
      const address = await app.listen({ host, port });
      // Without a listener, a connection that cannot be accepted (no file descriptors left) would end the process.
      app.server.on('error', (error) => parts.log.warn({ err: error }, 'A connection could not be accepted'));
      return address;
    },
    async close() {
      const closed = new AbortController();
      // To Node a connection on which nothing was ever asked (browsers open them ahead) is not idle, and waited for.
      void parts.clock.sleep(CLOSE_WITHIN_MS, closed.signal).then(() => app.server.closeAllConnections());
      await app.close();
      closed.abort();
    },
  };
}

/** What needs a token. */
async function registerGuarded(guarded: Http, parts: HttpParts, views: DeviceViews, archive: Archive): Promise<void> {
  await guarded.register(deviceRoutes({ ...parts, views }));
  await guarded.register(credentialRoutes(parts));
  await guarded.register(desiredRoutes(parts));
  await guarded.register(reportRoutes({ archive, views }));
  await guarded.register(lifeRoutes({ ...parts, views }));
  await guarded.register(inventoryRoutes({ ...parts, views }));
  await guarded.register(crashRoutes({ ...parts, views }));
  await guarded.register(customerRoutes(parts));
  await guarded.register(tokenRoutes(parts));
  await guarded.register(cloudKeyRoutes(parts));
  await guarded.register(keyListRoutes(parts));
  await guarded.register(authorityRoutes(parts));
  await guarded.register(factoryKeyRoutes(parts));
  await guarded.register(factoryListRoutes(parts));
  await guarded.register(pendingRoutes(parts));
  await guarded.register(instanceRoutes(parts));
  await guarded.register(auditRoutes(parts));
  await guarded.register(releaseRoutes(parts));
  await guarded.register(firmwareRoutes(parts));
  await guarded.register(assignmentRoutes(parts));
  await guarded.register(deviceFirmwareRoutes(parts));
}

const routeName = (method: string, url: string): string => `${method} ${url.replace(/:(\w+)/g, '{$1}')}`;
