import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { AwsFault, FakeAccount, REGION } from './account.ts';
import { signatureFault } from './signature.ts';

export const CREDENTIALS = { accessKeyId: 'AKIDTESTTESTTESTTEST', secretAccessKey: 'not-a-secret/of+anybody' } as const;

/** What goes wrong with one call: before anything is done, or after all of it. */
export const TROUBLES = [
  'throttle',
  'error',
  'errorAfter',
  'cut',
  'cutAfter',
  'slow',
  'slowAfter',
  'denied',
  'limit',
  'refused',
] as const;
export type Trouble = (typeof TROUBLES)[number];

export interface FakeAws {
  readonly url: string;
  account: FakeAccount;
  /** Host name that devices are sent to. */
  endpoint: string;
  /** What was asked, by the names of the actions, in order. */
  readonly calls: string[];
  /** Asked about each call, with its number since the start or the last reset. */
  trouble: (number: number, action: string) => Trouble | null;
  /** Waited for before each call is answered, with its number as above. */
  before: (number: number, action: string) => Promise<void>;
  /** Resolves when everything that was asked has been done, late answers included. */
  idle(): Promise<void>;
  /** Another account, and nothing was asked. */
  reset(): void;
  close(): Promise<void>;
}

type Handler = (account: FakeAccount, call: Call) => object | Promise<object>;

interface Call {
  /** What stands in the path in place of `{}`. */
  readonly names: readonly string[];
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly body: Record<string, unknown>;
  readonly endpoint: string;
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '');
const principal = ({ headers }: Call): string => text(headers['x-amzn-principal']);
const name = ({ names }: Call): string => names[0] ?? '';
const attributesIn = ({ body }: Call): Record<string, string> =>
  (body['attributePayload'] as { attributes?: Record<string, string> } | undefined)?.attributes ?? {};

/** Method and path of every action, as the API reference of AWS IoT gives them. */
const ACTIONS: Readonly<Record<string, readonly [method: string, path: string, Handler]>> = {
  DescribeEndpoint: [
    'GET',
    '/endpoint',
    (_, { query, endpoint }) => ({
      endpointAddress: query.get('endpointType') === 'iot:Data-ATS' ? endpoint : 'old.example.com',
    }),
  ],
  AddThingToThingGroup: [
    'PUT',
    '/thing-groups/addThingToThingGroup',
    (account, { body }) => account.addToGroup(text(body['thingName']), text(body['thingGroupName'])),
  ],
  CreateThingGroup: ['POST', '/thing-groups/{}', (account, call) => account.createGroup(name(call))],
  DescribeThingGroup: ['GET', '/thing-groups/{}', (account, call) => account.describeGroup(name(call))],
  CreatePolicy: [
    'POST',
    '/policies/{}',
    (account, call) => account.createPolicy(name(call), text(call.body['policyDocument'])),
  ],
  GetPolicy: ['GET', '/policies/{}', (account, call) => account.getPolicy(name(call))],
  ListPolicyVersions: ['GET', '/policies/{}/version', (account, call) => account.policyVersions(name(call))],
  CreatePolicyVersion: [
    'POST',
    '/policies/{}/version',
    (account, call) =>
      account.createPolicyVersion(
        name(call),
        text(call.body['policyDocument']),
        call.query.get('setAsDefault') === 'true',
      ),
  ],
  DeletePolicyVersion: [
    'DELETE',
    '/policies/{}/version/{}',
    (account, { names: [policy = '', version = ''] }) => account.deletePolicyVersion(policy, version),
  ],
  CreateThing: ['POST', '/things/{}', (account, call) => account.createThing(name(call), attributesIn(call))],
  UpdateThing: ['PATCH', '/things/{}', (account, call) => account.updateThing(name(call), attributesIn(call))],
  DeleteThing: ['DELETE', '/things/{}', (account, call) => account.deleteThing(name(call))],
  ListThingPrincipals: ['GET', '/things/{}/principals', (account, call) => account.principalsOf(name(call))],
  AttachThingPrincipal: [
    'PUT',
    '/things/{}/principals',
    (account, call) => account.attachThing(name(call), principal(call)),
  ],
  DetachThingPrincipal: [
    'DELETE',
    '/things/{}/principals',
    (account, call) => account.detachThing(name(call), principal(call)),
  ],
  CreateCertificateFromCsr: [
    'POST',
    '/certificates',
    (account, { body, query }) => {
      if (query.get('setAsActive') === 'true') throw new AwsFault(400, 'InvalidRequestException', 'not expected');
      return account.createCertificate(text(body['certificateSigningRequest']));
    },
  ],
  ListCertificates: [
    'GET',
    '/certificates',
    (account, { query }) =>
      // Small pages, so that few certificates make several.
      account.listCertificates(query.get('marker'), Math.min(2, Number(query.get('pageSize')))),
  ],
  DescribeCertificate: ['GET', '/certificates/{}', (account, call) => account.describeCertificate(name(call))],
  UpdateCertificate: [
    'PUT',
    '/certificates/{}',
    (account, call) => account.updateCertificate(name(call), text(call.query.get('newStatus'))),
  ],
  DeleteCertificate: [
    'DELETE',
    '/certificates/{}',
    (account, call) => account.deleteCertificate(name(call), call.query.get('forceDelete') === 'true'),
  ],
  AttachPolicy: [
    'PUT',
    '/target-policies/{}',
    (account, call) => account.attachPolicy(name(call), text(call.body['target'])),
  ],
  DetachPolicy: [
    'POST',
    '/target-policies/{}',
    (account, call) => account.detachPolicy(name(call), text(call.body['target'])),
  ],
};

function actionOf(method: string, path: string): { action: string; names: string[]; handler: Handler } | null {
  for (const [action, [wanted, pattern, handler]] of Object.entries(ACTIONS)) {
    const match = new RegExp(`^${pattern.replaceAll('{}', '([^/]+)')}$`).exec(path);
    if (match !== null && method === wanted)
      return { action, names: match.slice(1).map((one) => decodeURIComponent(one)), handler };
  }
  return null;
}

/** Answers the calls of AWS IoT's control plane as the real one does, on a free port. @param slowMs of a slow answer */
export async function startFakeAws({ slowMs }: { slowMs: number }): Promise<FakeAws> {
  const underWay = new Set<Promise<void>>();
  const server = createServer((request, response) => {
    const answering = answer(request, response).finally(() => underWay.delete(answering));
    underWay.add(answering);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const fake: FakeAws = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    account: new FakeAccount(),
    endpoint: `a1b2c3-ats.iot.${REGION}.amazonaws.com`,
    calls: [],
    trouble: () => null,
    before: async () => undefined,
    idle: async () => void (await Promise.all(underWay)),
    reset() {
      fake.account = new FakeAccount();
      fake.calls.length = 0;
      fake.trouble = () => null;
      fake.before = async () => undefined;
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return fake;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { account } = fake;
    const body = Buffer.concat(await request.toArray());
    const target = request.url ?? '';
    const url = new URL(target, fake.url);
    const known = actionOf(request.method ?? '', url.pathname);
    const headers = Object.fromEntries(Object.entries(request.headers).map(([key, value]) => [key, String(value)]));
    const fault = signatureFault(
      { method: request.method ?? '', target, headers, body },
      { ...CREDENTIALS, region: REGION, service: 'iot', now: Date.now() },
    );
    if (fault !== null) return give(response, new AwsFault(403, fault));
    if (known === null) return give(response, new AwsFault(404, 'UnknownOperationException', target));
    const { action, names, handler } = known;
    const number = fake.calls.push(action);
    const trouble = fake.trouble(number, action);
    await fake.before(number, action);
    const instead = INSTEAD[trouble ?? ''];
    if (instead !== undefined) return give(response, new AwsFault(...instead));
    if (trouble === 'cut') return void request.socket.destroy();
    if (trouble === 'slow') await sleep(slowMs);
    const result = await attempt(() =>
      handler(account, {
        names,
        query: url.searchParams,
        headers: request.headers,
        endpoint: fake.endpoint,
        body: body.length === 0 ? {} : (JSON.parse(body.toString()) as Record<string, unknown>),
      }),
    );
    if (trouble === 'cutAfter') return void request.socket.destroy();
    if (trouble === 'errorAfter') return give(response, new AwsFault(503, 'ServiceUnavailableException'));
    if (trouble === 'slowAfter') await sleep(slowMs);
    give(response, result);
  }
}

/** What is answered in place of doing anything. */
const INSTEAD: Readonly<Record<string, readonly [status: number, type: string]>> = {
  throttle: [429, 'ThrottlingException'],
  error: [500, 'InternalFailureException'],
  // Known by its status alone: the name is the one of all services of AWS.
  denied: [403, 'AccessDeniedException'],
  limit: [409, 'LimitExceededException'],
  refused: [400, 'InvalidRequestException'],
};

async function attempt(work: () => object | Promise<object>): Promise<object> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof AwsFault) return error;
    throw error;
  }
}

function give(response: ServerResponse, result: object): void {
  const isFault = result instanceof AwsFault;
  response.writeHead(isFault ? result.status : 200, {
    'content-type': 'application/json',
    ...(isFault && { 'x-amzn-errortype': result.type }),
  });
  response.end(JSON.stringify(isFault ? { message: result.message } : result));
}
