import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { LOCAL_PROBLEMS, type LocalListener, type LocalProblem, type LocalReply } from '../../ports-local.ts';

/** How long somebody may take to hear the last thing that is said. */
const HEARD_WITHIN_MS = 1_000;

const typeOf = (status: number): string => (status < 400 ? 'application/json' : 'application/problem+json');

/** @param isLast the connection is closed behind it */
export function send(response: ServerResponse, reply: LocalReply, isLast = false): void {
  if (response.destroyed) return;
  if ('listen' in reply) return stream(response, reply.listen);
  const { status, body, retryAfterSeconds, allow } = reply;
  const text = `${JSON.stringify(body)}\n`;
  const headers: OutgoingHttpHeaders = {
    'content-type': typeOf(status),
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
  };
  if (retryAfterSeconds !== undefined) headers['retry-after'] = String(retryAfterSeconds);
  if (allow !== undefined) headers.allow = allow;
  if (isLast) headers.connection = 'close';
  response.writeHead(status, headers);
  response.end(text);
  if (isLast) endSoon(response);
}

function stream(response: ServerResponse, listen: (listener: LocalListener) => void): void {
  const over = new AbortController();
  response.on('close', () => over.abort());
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  response.flushHeaders();
  listen({
    isReady: () => response.writableLength === 0,
    say: (text) => void response.write(text),
    end(text) {
      response.end(text);
      endSoon(response);
    },
    gone: over.signal,
  });
}

/** What was said is in the kernel, or will never be read. */
function endSoon(response: ServerResponse): void {
  // Of the response itself it is not yet, while others before it are not through.
  const { socket } = response.req;
  setTimeout(() => socket.destroy(), HEARD_WITHIN_MS).unref();
}

/** For a connection on which nothing was asked that could be understood. */
export function rawProblem(code: LocalProblem): string {
  const { status, title } = LOCAL_PROBLEMS[code];
  const text = `${JSON.stringify({ type: 'about:blank', title, status, code })}\n`;
  const head = `HTTP/1.1 ${status} ${title.split(':')[0]}`;
  const headers = `content-type: ${typeOf(status)}\r\ncontent-length: ${Buffer.byteLength(text)}\r\nconnection: close`;
  return `${head}\r\n${headers}\r\n\r\n${text}`;
}
