import { mkdtemp, rm, symlink, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createGpio } from '@paddock/agent/adapters/gpio.ts';
import { createModbusBus } from '@paddock/agent/adapters/modbus.ts';
import { createSerialStream } from '@paddock/agent/adapters/serial.ts';
import { createSimulatedPort } from '@paddock/agent/adapters/simulated.ts';
import { createSystemClock } from '@paddock/agent/adapters/system-clock.ts';
import { buildPorts } from '@paddock/agent/sense/build-ports.ts';
import { createSensors, type Sensors } from '@paddock/agent/sense/sensors.ts';
import type { Reading } from '@paddock/shared/report.ts';
import { openPty, type Pty } from '../pty.ts';
import { configOf } from './sense.ts';

/** The sensing part of an agent on a real pseudo-terminal, which can be pulled and plugged in again. */
export class Kiosk {
  readonly path: string;
  readonly urgent: string[] = [];
  readonly events: { name: string; data: Record<string, unknown> }[] = [];
  readonly #directory: string;
  #pty: Pty | null = null;
  #sensors: Sensors | null = null;

  private constructor(directory: string) {
    this.#directory = directory;
    this.path = join(directory, 'tty');
  }

  static async create(): Promise<Kiosk> {
    return new Kiosk(await mkdtemp(join(tmpdir(), 'paddock-kiosk-')));
  }

  /** @param sense ports, sensors and events as YAML; TTY stands for the device's path */
  start(sense: string): Sensors {
    const clock = createSystemClock();
    const config = configOf(sense.replaceAll('TTY', this.path));
    const ports = buildPorts(config, {
      openSerial: (line) => createSerialStream(line, clock),
      openBus: (line) => createModbusBus(line, createSerialStream(line, clock), clock),
      openSimulated: (port) => createSimulatedPort(port, clock),
      loadDrivers: () => Promise.reject(new Error('there is no driver')),
      loadGpio: () => Promise.resolve(createGpio()),
      clock,
      random: Math.random,
    });
    const sensors = createSensors({ config, ports, clock });
    this.#sensors = sensors;
    sensors.open({
      urgent: (sensor) => this.urgent.push(sensor),
      event: (name, data) => this.events.push({ name, data }),
    });
    return sensors;
  }

  /** Under the same path every time, as udev would do it. */
  async plug(): Promise<Pty['master']> {
    this.#pty = openPty();
    await symlink(this.#pty.path, this.path);
    return this.#pty.master;
  }

  async pull(): Promise<void> {
    await unlink(this.path);
    this.#pty?.master.close();
    this.#pty = null;
  }

  /** Waits until the port is open: what was said before is lost, as on any serial line. */
  async opens(): Promise<void> {
    await this.#until('the port to open', () => (this.#sensors?.ports()[0]?.state === 'open' ? true : undefined));
  }

  /** Waits until a reading is as it shall be. */
  sees(sensor: string, is: (reading: Reading) => boolean): Promise<Reading> {
    return this.#until(sensor, () => {
      const reading = this.#sensors?.readings()[sensor];
      return reading && is(reading) ? reading : undefined;
    });
  }

  async #until<T>(what: string, look: () => T | undefined): Promise<T> {
    for (let i = 0; i < 2000; i += 1) {
      const seen = look();
      if (seen !== undefined) return seen;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    throw new Error(
      `waited in vain for ${what}: ${JSON.stringify([this.#sensors?.readings(), this.#sensors?.ports()])}`,
    );
  }

  async stop(): Promise<void> {
    await this.#sensors?.close();
    this.#pty?.master.close();
    await rm(this.#directory, { recursive: true, force: true });
  }
}
