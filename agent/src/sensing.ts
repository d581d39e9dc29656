import { extname } from 'node:path';
import { createModbusBus } from './adapters/modbus.ts';
import { createSerialStream } from './adapters/serial.ts';
import { createSimulatedPort } from './adapters/simulated.ts';
import type { AgentConfig } from './config.ts';
import type { Clock, SensorPort } from './ports.ts';
import { buildPorts, type PortParts } from './sense/build-ports.ts';
import { createSensors, type Sensors } from './sense/sensors.ts';

/** Beside this file, among the sources and in the bundle. */
const DRIVER_THREAD = new URL(`./adapters/driver-host/thread${extname(import.meta.url)}`, import.meta.url);

/** Sensors, and the ports that they share with outputs. */
export interface Sensing extends Sensors {
  port(name: string): SensorPort | undefined;
}

/** Everything that the configuration says about sensing, on this machine's hardware. Opens nothing yet. */
export function createSensing(
  config: AgentConfig,
  clock: Clock,
  change: (parts: PortParts) => PortParts = (parts) => parts,
): Sensing {
  const parts: PortParts = {
    openSerial: (line) => createSerialStream(line, clock),
    openBus: (line) => createModbusBus(line, createSerialStream(line, clock), clock),
    // Loaded there, so that a machine without such a port is spared it.
    loadGpio: async () => (await import('./adapters/gpio.ts')).createGpio(),
    loadDrivers: async () => (await import('./adapters/driver-host.ts')).createDriverHost(DRIVER_THREAD),
    openSimulated: (settings) => createSimulatedPort(settings, clock),
    clock,
    random: Math.random,
  };
  const ports = buildPorts(config, change(parts));
  return { ...createSensors({ config, ports, clock }), port: (wanted) => ports.find(({ name }) => name === wanted) };
}
