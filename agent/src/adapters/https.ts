import type { Agent, IncomingMessage, RequestOptions } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Clock, Web, WebAnswer } from '../ports.ts';

const ANSWER_WITHIN_MS = 30_000;
const MOST_BYTES = 262_144;

export class WebError extends Error {
  override readonly name = 'WebError';
  readonly code: 'web_failed' | 'web_timeout' | 'web_too_large';
  constructor(code: WebError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * HTTP on connections that are made and verified elsewhere, one at a time and kept for the next request. Node's HTTP
 * is loaded with the first request: a device that is enrolled does without it for weeks.
 * @param base such as `https://cloud.example:8443`
 * @param connect resolves when the server has proved who it is
 */
export function createWeb(base: string, connect: () => Promise<Duplex>, clock: Clock): Web {
  let agent: Agent | null = null;
  return {
    async call(method, path, body) {
      const http = await import('node:http');
      agent ??= agentOn(new http.Agent({ keepAlive: true, maxSockets: 1 }), connect);
      const url = new URL(path, base);
      const options: RequestOptions = {
        agent,
        method,
        host: url.hostname,
        path: url.pathname,
        headers: {
          host: url.host,
          ...(body && { 'content-type': body.type, 'content-length': Buffer.byteLength(body.text) }),
        },
      };
      const over = new AbortController();
      try {
        return await new Promise<WebAnswer>((resolve, reject) => {
          const request = http.request(options, (response) => void readAnswer(response).then(resolve, reject));
          request.on('error', reject);
          void clock
            .sleep(ANSWER_WITHIN_MS, over.signal)
            .then(() => over.signal.aborted || request.destroy(new WebError('web_timeout', 'No answer in time')));
          request.end(body?.text);
        });
      } catch (cause) {
        throw named(cause);
      } finally {
        over.abort();
      }
    },
    close() {
      agent?.destroy();
      agent = null;
    },
  };
}

/** The agent's own way to a connection would be plain TCP. */
function agentOn(agent: Agent, connect: () => Promise<Duplex>): Agent {
  agent.createConnection = (_options, made) => {
    connect().then(
      (socket) => made?.(null, socket),
      (cause: Error) => made?.(cause, null as never),
    );
    return undefined;
  };
  return agent;
}

async function readAnswer(response: IncomingMessage): Promise<WebAnswer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MOST_BYTES) throw new WebError('web_too_large', `The answer is larger than ${MOST_BYTES} bytes`);
    chunks.push(chunk);
  }
  const wait = Number(response.headers['retry-after'] ?? Number.NaN);
  return {
    status: response.statusCode ?? 0,
    body: Buffer.concat(chunks).toString('utf8'),
    retryAfterSeconds: Number.isInteger(wait) && wait > 0 ? wait : null,
  };
}

/** What has a code of ours keeps it: why a server was not believed is worth knowing. */
const named = (cause: unknown): Error =>
  cause instanceof Error && 'code' in cause && /^[a-z]/.test(String(cause.code))
    ? cause
    : new WebError('web_failed', cause instanceof Error ? cause.message : String(cause), { cause });
