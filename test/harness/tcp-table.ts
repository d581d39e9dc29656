import { readFile } from 'node:fs/promises';

const [ESTABLISHED, LISTEN] = ['01', '0A'];

/** The kernel's table of TCP over IPv4 (proc(5)). */
async function rows(): Promise<{ readonly local: string; readonly remote: string; readonly state: string }[]> {
  const [, ...lines] = (await readFile('/proc/net/tcp', 'utf8')).split('\n');
  return lines.map((line) => {
    const [, local = '', remote = '', state = ''] = line.trim().split(/\s+/);
    return { local, remote, state };
  });
}

const ends = (port: number): string => `:${port.toString(16).toUpperCase().padStart(4, '0')}`;

/** How many clients on this machine are connected to that port. */
export const connectionsTo = async (port: number): Promise<number> =>
  (await rows()).filter(({ remote, state }) => remote.endsWith(ends(port)) && state === ESTABLISHED).length;

/** Whether somebody listens on it: seen without a connection, which a server would have to make sense of. */
export const isListening = async (port: number): Promise<boolean> =>
  (await rows()).some(({ local, state }) => local.endsWith(ends(port)) && state === LISTEN);
