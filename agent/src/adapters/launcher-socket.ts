import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import type { LauncherStatus } from '../ports-firmware.ts';

/** What the launcher does for whoever may write to its socket. */
export interface Served {
  status(): LauncherStatus;
  restart(): Promise<void>;
}

/** A request is a short line, and comes at once. */
const MAX_REQUEST_BYTES = 1024;
const ASK_WITHIN_MS = 5_000;
const MAX_CONNECTIONS = 16;
/** Only the launcher's own user, and root. */
const SOCKET_MODE = 0o600;

/**
 * Answers on a Unix socket: a line of JSON, `{"ask":"status"}` or `{"ask":"restart"}`, gets one line. Whatever lies at
 * the path is replaced: the launcher has its directory alone.
 */
export async function serveLauncher(path: string, served: Served): Promise<{ close(): Promise<void> }> {
  rmSync(path, { force: true });
  const server = createServer((socket) => serve(socket, served));
  server.maxConnections = MAX_CONNECTIONS;
  await listen(server, path);
  const open = new Set<Socket>();
  server.on('connection', (socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
  });
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of open) socket.destroy();
      }),
  };
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.on('error', reject);
    // Nobody else gets in before the mode is set.
    const before = process.umask(0o777 & ~SOCKET_MODE);
    try {
      server.listen(path, () => {
        server.off('error', reject);
        // One connection that could not be taken, for want of descriptors: who asked asks again, and the kiosk runs on.
        server.on('error', () => {});
        chmodSync(path, SOCKET_MODE);
        resolve();
      });
    } finally {
      process.umask(before);
    }
  });
}

function serve(socket: Socket, served: Served): void {
  let text = '';
  let isAsked = false;
  socket.setEncoding('utf8');
  socket.setTimeout(ASK_WITHIN_MS, () => socket.destroy());
  socket.on('error', () => socket.destroy());
  socket.on('data', (part: string) => {
    if (isAsked) return;
    text += part;
    const [line = '', ...rest] = text.split('\n');
    if (rest.length === 0 && text.length <= MAX_REQUEST_BYTES) return;
    isAsked = true;
    // The answer may take as long as a program takes to end.
    socket.setTimeout(0);
    void answer(line, served).then((told) => socket.end(`${JSON.stringify(told)}\n`));
  });
}

async function answer(line: string, served: Served): Promise<object> {
  const ask = askOf(line);
  if (ask === null) return { error: { code: 'launcher_request_invalid', message: 'ask for status or restart' } };
  if (ask === 'restart') await served.restart();
  return { status: served.status() };
}

function askOf(line: string): 'status' | 'restart' | null {
  try {
    const request: unknown = JSON.parse(line);
    const ask = typeof request === 'object' && request !== null && 'ask' in request ? request.ask : null;
    return ask === 'status' || ask === 'restart' ? ask : null;
  } catch {
    return null;
  }
}
