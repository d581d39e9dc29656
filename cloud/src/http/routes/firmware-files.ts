import type { FastifyReply, FastifyRequest } from 'fastify';
import { isRepositoryPath, TIMESTAMP } from '../../firmware/paths.ts';
import type { RepositoryFiles, SentFile } from '../../ports-firmware.ts';
import { byteRangeOf, type ByteRange } from '../byte-range.ts';
import { HttpError } from '../problem.ts';
import type { Routes } from '../routes.ts';

/** Files that are sent at once: each holds a descriptor, however slowly it is read. */
const MOST_SENT = 512;
/** A reader that takes nothing for so long is let go; it comes back with a range. */
const STALLED_MS = 30_000;

/** The repository as static files: for everybody, because what is in it is signed. */
export const firmwareFileRoutes =
  (files: Pick<RepositoryFiles, 'open'>): Routes =>
  async (app) => {
    let sending = 0;
    // Its own HEAD: that of the framework knows the length of what it sends only.
    const route = { method: ['GET', 'HEAD'], url: '/*', exposeHeadRoute: false };
    app.route<{ Params: { '*': string } }>({ ...route, handler: (request, reply) => answer(request, reply) });

    async function answer(
      request: FastifyRequest<{ Params: { '*': string } }>,
      reply: FastifyReply,
    ): Promise<FastifyReply> {
      const path = request.params['*'];
      if (!isRepositoryPath(path)) throw new HttpError('not_found');
      if (sending >= MOST_SENT || reply.raw.closed) throw new HttpError('unavailable');
      sending += 1;
      reply.raw.once('close', () => (sending -= 1));
      reply.raw.setTimeout(STALLED_MS, () => reply.raw.destroy());
      const file = await files.open(path);
      if (file === null) throw new HttpError('not_found');
      return send(request, reply, path, file);
    }
  };

async function send(request: FastifyRequest, reply: FastifyReply, path: string, file: SentFile): Promise<FastifyReply> {
  const tag = `"${file.tag}"`;
  reply.headers({
    etag: tag,
    'last-modified': file.modified,
    'accept-ranges': 'bytes',
    // All names but this one have one content for ever.
    'cache-control': path === TIMESTAMP ? 'no-cache' : 'public, max-age=31536000, immutable',
    'content-type': path.endsWith('.json') ? 'application/json' : 'application/octet-stream',
  });
  if (request.headers['if-none-match']?.split(',').some((one) => one.trim() === tag) === true) {
    await file.close();
    return reply.code(304).send();
  }
  const { 'if-range': condition, range: asked } = request.headers;
  const range = condition === undefined || condition === tag ? byteRangeOf(asked, file.bytes) : null;
  if (range === 'unsatisfiable') {
    await file.close();
    return reply.code(416).header('content-range', `bytes */${file.bytes}`).send();
  }
  return sendRange(request, reply, file, range);
}

async function sendRange(
  { method }: FastifyRequest,
  reply: FastifyReply,
  file: SentFile,
  range: ByteRange | null,
): Promise<FastifyReply> {
  const { from, bytes } = range ?? { from: 0, bytes: file.bytes };
  reply.header('content-length', bytes);
  if (range) reply.code(206).header('content-range', `bytes ${from}-${from + bytes - 1}/${file.bytes}`);
  if (method !== 'HEAD') return reply.send(file.read(from, bytes));
  await file.close();
  return reply.send();
}
