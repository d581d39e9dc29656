import { createConnection, createServer, type Server } from 'node:net';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { EmbeddedPostgresError } from './errors.ts';

/** Held until released, or until the process ends in whatever way: the kernel keeps it, no file can be stale. */
export interface Lock {
  release(): Promise<void>;
}

/**
 * Takes the one lock of a name: a Unix socket in Linux' abstract namespace. Whoever connects to it is told the
 * holder's process id. The name has to be a secret of the data directory's owner, or others could block it.
 * @throws EmbeddedPostgresError `data_dir_in_use`, naming the holder's process id
 */
export async function takeLock(name: string, dataDir: string): Promise<Lock> {
  const path = `\0paddock-${name}`;
  const server = createServer((socket) => socket.on('error', () => undefined).end(String(process.pid)));
  try {
    server.listen(path);
    await once(server, 'listening');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw cause;
    throw new EmbeddedPostgresError('data_dir_in_use', `process ${await holderOf(path)} on ${dataDir}`, { cause });
  }
  server.unref();
  return { release: () => closed(server) };
}

async function holderOf(path: string): Promise<string> {
  try {
    return await text(createConnection(path));
  } catch {
    return 'unknown';
  }
}

async function closed(server: Server): Promise<void> {
  if (!server.listening) return;
  server.close();
  await once(server, 'close');
}
