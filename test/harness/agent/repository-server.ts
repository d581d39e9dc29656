import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { UpdateRepository } from './update-device.ts';

/** A repository as any web server serves it. @returns its URL, and what ends it */
export async function serveRepository(repository: UpdateRepository): Promise<{ base: string; close(): void }> {
  const answer: RequestListener = (request, response) => {
    const file = repository.files.get((request.url ?? '').replace(/^[/]firmware[/]/, ''));
    if (file === undefined) return void response.writeHead(404).end();
    const [, from = '', to = ''] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    if (from === '') return void response.end(file);
    const [first, last] = [Number(from), Math.min(Number(to), file.length - 1)];
    if (first >= file.length) return void response.writeHead(416).end();
    response.writeHead(206, { 'content-range': `bytes ${first}-${last}/${file.length}` });
    response.end(file.subarray(first, last + 1));
  };
  const server = createServer(answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    base: `http://127.0.0.1:${port}/firmware/`,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
