import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { ApiClient } from '@paddock/cloud/adapters/api-client.ts';

let server: Server;
afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
});

async function clientOf(answer: (response: ServerResponse, request: number) => void): Promise<ApiClient> {
  let requests = 0;
  server = createServer((_request, response) => answer(response, (requests += 1)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return new ApiClient({ url: `http://127.0.0.1:${port}`, token: 'paddock_x', timeoutMs: 200 });
}

const problem = (response: ServerResponse, status: number, body: object): void => {
  response.writeHead(status, { 'content-type': 'application/problem+json' }).end(JSON.stringify(body));
};

it('calls a service that takes a request and never answers unreachable', async () => {
  const client = await clientOf(() => undefined);
  await expect(client.get('/devices')).rejects.toMatchObject({ code: 'service_unreachable' });
});

it('calls a service that breaks off its answer unreachable', async () => {
  const client = await clientOf((response) => void response.writeHead(200, { 'content-length': 100 }).write('{'));
  await expect(client.get('/devices')).rejects.toMatchObject({ code: 'service_unreachable' });
});

it('says where a request does not fit', async () => {
  const errors = [{ in: 'query', pointer: '/presence', code: 'value_invalid', detail: 'must be one of' }];
  const client = await clientOf((response) =>
    problem(response, 400, { code: 'request_invalid', title: 'It does not fit', errors }),
  );
  await expect(client.get('/devices')).rejects.toThrow('It does not fit; query /presence must be one of');
});

it('ends a stream that is refused when it is taken up again, and not for a service that is away', async () => {
  const client = await clientOf((response, request) => {
    if (request === 1) return void response.end('id: 1-1\nevent: ready\ndata: {}\n\n');
    if (request === 2) return problem(response, 503, { code: 'unavailable', title: 'Away' });
    problem(response, 401, { code: 'token_invalid', title: 'Revoked' });
  });
  const breaks: unknown[] = [];
  const read = async (): Promise<void> => {
    for await (const { id } of client.events(new AbortController().signal, (error) => breaks.push(error)))
      expect(id).toBe('1-1');
  };
  await expect(read()).rejects.toMatchObject({ code: 'token_invalid' });
  expect(breaks).toEqual([expect.objectContaining({ code: 'unavailable' })]);
});
