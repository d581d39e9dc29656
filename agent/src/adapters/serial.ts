import { read as readFile } from 'node:fs';
import { promisify } from 'node:util';
import type { SerialPort } from 'serialport';
import type { Clock, DuplexStream, PortLoss, SerialLine } from '../ports.ts';

const readDevice = promisify(readFile);

/** One serial port, opened for this program alone. serialport is loaded when the first port is opened. */
export function createSerialStream(line: SerialLine, clock: Clock): DuplexStream {
  let port: SerialPort | null = null;
  return {
    open: async (events) => {
      const { SerialPort } = (await import('serialport')).default;
      const { path, baudRate, dataBits, parity, stopBits } = line;
      const opened = new SerialPort({ path, baudRate, dataBits, parity, stopBits, lock: true, autoOpen: false });
      port = opened;
      // Before anything reads: a stream that wants data asks for it when the port is open.
      opened.once('open', () => noticeHangUp(opened.port));
      opened.on('data', (chunk: Uint8Array) => events.bytes(chunk, clock.monotonic()));
      // A pulled device shows as one or several of these, depending on its driver; the first one counts.
      const gone = (error?: Error | null): void => {
        if (port === opened) events.lost(lossOf(path, error));
      };
      opened.on('close', gone);
      opened.on('end', gone);
      opened.on('error', gone);
      await openPort(opened);
    },
    write: (bytes) =>
      new Promise((resolve, reject) => {
        if (!port?.isOpen) return reject(new Error(`${line.path} is not open`));
        port.write(Buffer.from(bytes), undefined, (error) => (error ? reject(error) : resolve()));
      }),
    close: async () => {
      const closing = port;
      // From here on what the port says is our own doing and no loss.
      port = null;
      if (closing?.isOpen) await new Promise<void>((resolve) => closing.close(() => resolve()));
    },
  };
}

const openPort = (port: SerialPort): Promise<void> =>
  new Promise((resolve, reject) => port.open((error) => (error ? reject(error) : resolve())));

/**
 * A read of a device that hung up brings nothing, for ever; serialport takes that for a reason to read again,
 * spins, and never tells. It may only mean that here, since an open port that has nothing yet says EAGAIN.
 */
function noticeHangUp(binding: SerialPort['port']): void {
  if (!binding || !('poller' in binding)) return;
  // Never on a closed port: its poller is gone, and asking it takes the whole program down.
  const readable = (): Promise<void> =>
    new Promise((resolve, reject) => {
      if (binding.fd === null) return reject(closedByUs());
      binding.poller.once('readable', (error: Error | null) => (error ? reject(error) : resolve()));
    });
  binding.read = async (buffer, offset, length) => {
    for (;;) {
      if (binding.fd === null) throw closedByUs();
      const bytesRead = await readWaiting(binding.fd, buffer, offset, length);
      if (bytesRead === 0) throw new Error('the device hung up');
      if (bytesRead !== null) return { buffer, bytesRead };
      await readable();
    }
  };
}

/** What serialport takes for the end of reading, and not for an error. */
const closedByUs = (): Error => Object.assign(new Error('the port is closed'), { canceled: true });

/** @returns how many bytes were read, or null when there are none yet */
async function readWaiting(fd: number, buffer: Buffer, offset: number, length: number): Promise<number | null> {
  try {
    return (await readDevice(fd, buffer, offset, length, null)).bytesRead;
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
    if (code === 'EAGAIN' || code === 'EINTR') return null;
    throw cause;
  }
}

const lossOf = (path: string, error?: Error | null): PortLoss => ({
  reason: 'unplugged',
  detail: `${path} went away${error ? ` (${error.message})` : ''}`,
});
