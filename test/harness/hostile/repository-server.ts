import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { UpdateRepository } from '../agent/update-device.ts';

/** Answers in place of an honest server, or says that it does not (false). */
export type Attack = (path: string, response: ServerResponse, request: IncomingMessage) => boolean;

/** A repository as any web server serves it, until somebody who owns that server attacks. */
export class RepositoryServer {
  readonly repository: UpdateRepository;
  attack: Attack | null = null;
  /** How often the attack was what answered: one that nobody met proves nothing. */
  deeds = 0;
  requests = 0;

  constructor(repository: UpdateRepository) {
    this.repository = repository;
  }

  readonly listener: RequestListener = (request, response) => {
    this.requests += 1;
    const path = decodeURI((request.url ?? '').replace('/firmware/', ''));
    if (this.attack?.(path, response, request)) this.deeds += 1;
    else this.#serve(path, request.headers.range, response);
  };

  #serve(path: string, range: string | undefined, response: ServerResponse): void {
    const { lies, files } = this.repository;
    const lie = lies.get(path);
    if (lie !== undefined) this.deeds += 1;
    const bytes = lie instanceof Uint8Array ? lie : lie === null ? undefined : files.get(path);
    if (bytes === undefined) return void response.writeHead(404).end();
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? [];
    if (from === undefined) return void response.end(bytes);
    const [first, last] = [Number(from), Math.min(Number(to), bytes.length - 1)];
    if (first > last) return void response.writeHead(416).end();
    response.writeHead(206, { 'content-range': `bytes ${first}-${last}/${bytes.length}` });
    response.end(bytes.subarray(first, last + 1));
  }
}
