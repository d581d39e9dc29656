import type { SerialPort } from 'serialport';
import type { ByteStream, Clock, PortLoss, SerialLine } from '../ports.ts';

/** One serial port, opened for this program alone. serialport is loaded when the first port is opened. */
export function createSerialStream(line: SerialLine, clock: Clock): ByteStream {
  let port: SerialPort | null = null;
  return {
    open: async (events) => {
      const { SerialPort } = await import('serialport');
      const { path, baudRate, dataBits, parity, stopBits } = line;
      const opened = new SerialPort({ path, baudRate, dataBits, parity, stopBits, lock: true, autoOpen: false });
      port = opened;
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

const lossOf = (path: string, error?: Error | null): PortLoss => ({
  reason: 'unplugged',
  detail: `${path} went away${error ? ` (${error.message})` : ''}`,
});
