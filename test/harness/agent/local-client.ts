import { request } from 'node:http';
import { connect, type Socket } from 'node:net';

export interface Told {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** One request on a Unix socket. */
export function ask(socketPath: string, method: string, path: string, body?: unknown): Promise<Told> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, method, path, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (piece: string) => void (text += piece));
      response.on('error', reject);
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          body: text === '' ? {} : JSON.parse(text),
          headers: response.headers,
        }),
      );
    });
    asked.on('error', reject);
    asked.end(body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body));
  });
}

/** A connection on which a test says what it likes, and all that comes back until it is closed. */
export class RawClient {
  readonly socket: Socket;
  readonly closed: Promise<string>;
  text = '';

  constructor(path: string) {
    this.socket = connect(path);
    this.socket.setEncoding('utf8');
    this.socket.on('data', (piece: string) => void (this.text += piece));
    this.socket.on('error', () => {});
    this.closed = new Promise((resolve) => this.socket.on('close', () => resolve(this.text)));
  }

  say(text: string): void {
    this.socket.write(text);
  }

  /** The status and code of what came back last. */
  get last(): string {
    const status = [...this.text.matchAll(/HTTP\/1[.]1 (\d{3})/g)].at(-1)?.[1] ?? '';
    const code = [...this.text.matchAll(/"code":"(\w+)"/g)].at(-1)?.[1] ?? '';
    return `${status} ${code}`;
  }
}
