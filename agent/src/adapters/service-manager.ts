import type { ServiceManager } from '../ports.ts';

/** What systemd tells a service of itself. */
export interface ServiceEnvironment {
  readonly NOTIFY_SOCKET?: string | undefined;
  readonly WATCHDOG_USEC?: string | undefined;
  readonly WATCHDOG_PID?: string | undefined;
}

/** Of Linux (socket.h). */
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const MSG_NOSIGNAL = 0x4000;
/** A path in `sockaddr_un`, its last zero included. */
const MOST_PATH_BYTES = 108;

/**
 * The service manager by the protocol of sd_notify(3): datagrams to a Unix socket, for which Node has no means.
 * @returns null where nothing started this process as a service that is to tell of itself: then nothing is loaded
 */
export async function openServiceManager(environment: ServiceEnvironment): Promise<ServiceManager | null> {
  const address = addressOf(environment.NOTIFY_SOCKET ?? '');
  if (address === null) return null;
  const { default: koffi } = await import('koffi');
  const libc = koffi.load(null);
  const socket = libc.func('int socket(int, int, int)');
  const sendto = libc.func('long sendto(int, _In_ void *, size_t, int, _In_ void *, uint)');
  // It never waits: whoever does not read must not hold up what it watches.
  const fd = Number(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return {
    watchdogMs: watchdogMs(environment, process.pid),
    tell(said) {
      const bytes = Buffer.from(linesOf(said));
      sendto(fd, bytes, bytes.length, MSG_NOSIGNAL, address, address.length);
    },
  };
}

/** A `sockaddr_un`; null for what is no address of one. `@` begins one that has no file. */
export function addressOf(path: string): Buffer | null {
  const name = Buffer.from(path);
  if (!/^[/@]./.test(path) || name.length >= MOST_PATH_BYTES) return null;
  const isAbstract = path.startsWith('@');
  const address = Buffer.alloc(2 + name.length + (isAbstract ? 0 : 1));
  address.writeUInt16LE(AF_UNIX);
  name.copy(address, 2);
  if (isAbstract) address[2] = 0;
  return address;
}

/** Null: nobody waits for a sign of life of this process. */
export function watchdogMs({ WATCHDOG_USEC, WATCHDOG_PID }: ServiceEnvironment, pid: number): number | null {
  const micros = Number(WATCHDOG_USEC);
  const isOurs = WATCHDOG_PID === undefined || Number(WATCHDOG_PID) === pid;
  return isOurs && micros > 0 ? micros / 1000 : null;
}

/** A line each: what comes from elsewhere must not add another one. */
export const linesOf = (said: Parameters<ServiceManager['tell']>[0]): string =>
  Object.entries(said)
    .map(([name, value]) => `${name}=${value.replaceAll(/\s+/g, ' ')}`)
    .join('\n');
