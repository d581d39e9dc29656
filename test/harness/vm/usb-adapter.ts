import type { FarEnd } from './far-end.ts';
import type { Monitor } from './monitor.ts';

const ID = 'adapter';

/** A USB serial adapter (FTDI), which the guest has as /dev/ttyUSB0 while it is plugged in. */
export class UsbAdapter {
  /** What is wired to the adapter's other side. */
  readonly line: FarEnd;
  readonly #monitor: () => Monitor;

  constructor(line: FarEnd, monitor: () => Monitor) {
    this.line = line;
    this.#monitor = monitor;
  }

  async plug(): Promise<void> {
    await this.#monitor().execute('device_add', {
      driver: 'usb-serial',
      id: ID,
      chardev: 'usb',
      'always-plugged': true,
    });
  }

  async unplug(): Promise<void> {
    await this.#monitor().execute('device_del', { id: ID });
  }
}
