import type { FarEnd } from './far-end.ts';
import type { Monitor } from './monitor.ts';

const ID = 'adapter';

/** A USB serial adapter (FTDI), which the guest has as /dev/ttyUSB0 while it is plugged in. */
export class UsbAdapter {
  /** What is wired to the adapter's other side. */
  readonly line: FarEnd;
  readonly #monitor: () => Monitor;
  #isPlugged = false;

  constructor(line: FarEnd, monitor: () => Monitor) {
    this.line = line;
    this.#monitor = monitor;
  }

  async plug(): Promise<void> {
    this.#isPlugged = true;
    await this.connect(this.#monitor());
  }

  async unplug(): Promise<void> {
    this.#isPlugged = false;
    await this.#monitor().execute('device_del', { id: ID });
  }

  /** To a machine that starts: what is plugged in stays so. */
  async connect(monitor: Monitor): Promise<void> {
    if (!this.#isPlugged) return;
    await monitor.execute('device_add', { driver: 'usb-serial', id: ID, chardev: 'usb', 'always-plugged': true });
  }
}
