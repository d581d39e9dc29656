import { tmpdir } from 'node:os';
import { pino } from 'pino';
import type { Claim } from '@paddock/shared/enrolment.ts';
import { inflater } from '@paddock/cloud/adapters/inflate.ts';
import { createPrometheus } from '@paddock/cloud/adapters/prometheus.ts';
import { openSpool } from '@paddock/cloud/adapters/spool-file.ts';
import { systemClock } from '@paddock/cloud/adapters/system-clock.ts';
import { createCustomer } from '@paddock/cloud/customers/customers.ts';
import { ALL_CUSTOMERS } from '@paddock/cloud/customers/scope.ts';
import { authenticateToken, createToken } from '@paddock/cloud/customers/tokens.ts';
import { createApp, type App, type HttpParts } from '@paddock/cloud/http/app.ts';
import type { Store } from '@paddock/cloud/ports.ts';
import { Authorities } from '@paddock/cloud/trust/authorities.ts';
import { CollectedAudit } from './audit.ts';
import { newAuthority } from './authority.ts';
import { testFirmware } from './firmware.ts';
import { makeTestKey, type TestKey } from './signing.ts';

/** An answer, with its body parsed where it is JSON. */
export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Record<string, unknown>;
  /** What stands in `items`, when it is a list. */
  readonly items: readonly Record<string, unknown>[];
  readonly text: string;
}

export interface TestHttp {
  readonly app: App;
  readonly url: string;
  readonly cloudKey: TestKey;
  /** What the audit log was told, unless another one was given. */
  readonly audit: CollectedAudit;
  /** Reaches every customer. */
  readonly operator: string;
  /** Makes a customer of this id where there is none, and a token of its own. */
  tokenOf(customerId: string): Promise<string>;
  call(method: string, path: string, options?: CallOptions): Promise<Answered>;
  close(): Promise<void>;
}

export interface CallOptions {
  /** By default the operator's; null sends none. */
  readonly token?: string | null;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The HTTP service on a real database and a real port. */
export async function startHttp(store: Store, parts: Partial<HttpParts> = {}): Promise<TestHttp> {
  const cloudKey = await makeTestKey();
  const held = [await newAuthority()];
  const log = pino({ level: 'silent' });
  const audit = new CollectedAudit();
  const metrics = createPrometheus();
  const app = await createApp({
    audit,
    store,
    clock: systemClock,
    log,
    authorities: await Authorities.open({ sql: store, clock: systemClock, log, metrics, load: async () => held }),
    authenticate: (token) => authenticateToken(store, token),
    inflater,
    cloudErrorMs: () => 100,
    cloudKeys: () => ({ keys: [cloudKey.publicJwk] }),
    believed: (root, epoch = 0) => ({
      root,
      keys: [cloudKey.publicJwk],
      authorities: [Buffer.alloc(64, 1).toString('base64url')],
      epoch,
    }),
    claimTerms: async () => ({
      url: 'https://localhost:8443',
      ca: cloudKey.verification.thumbprint,
      root: cloudKey.publicJwk as Claim['root'],
    }),
    openSpool: () => openSpool(tmpdir()),
    firmware: parts.firmware ?? (await testFirmware(store)).firmware,
    exposition: metrics,
    probes: [{ name: 'database', check: async () => store.query('SELECT 1').then(() => ({ ready: true })) }],
    ...parts,
  });
  const url = await app.listen({ port: 0 });
  const newToken = (customerId: string | null) =>
    store.transaction((sql) => createToken(sql, ALL_CUSTOMERS, 'test', { name: 'a test', customerId }));
  const { token: operator } = await newToken(null);
  return {
    app,
    url,
    cloudKey,
    audit,
    operator,
    tokenOf: async (customerId) => {
      await store
        .transaction((sql) => createCustomer(sql, ALL_CUSTOMERS, 'test', { customerId, name: customerId }))
        .catch(() => undefined);
      return (await newToken(customerId)).token;
    },
    call: (method, path, options = {}) => call(url, operator, method, path, options),
    close: () => app.close(),
  };
}

async function call(
  url: string,
  operator: string,
  method: string,
  path: string,
  { token = operator, body, headers = {} }: CallOptions,
): Promise<Answered> {
  const response = await fetch(`${url}${path}`, {
    method,
    headers: {
      ...(token !== null && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.includes('json') ?? false;
  const parsed: unknown = isJson ? JSON.parse(text) : {};
  const answer = parsed as Record<string, unknown>;
  const items = (answer['items'] ?? []) as Record<string, unknown>[];
  return { status: response.status, headers: response.headers, body: answer, items, text };
}
