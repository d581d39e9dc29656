/**
 * Sensors and outputs of a configuration on the machine that this runs on, for tests in a virtual kiosk:
 * `node gpio-program.ts CONFIG DIRECTORY`. Ten times a second it writes what it knows to `state.json` in the
 * directory; an order is a file there, and its answer is the file with `.done` behind its name.
 */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { holdOutputs } from '@paddock/agent/acting.ts';
import { createSystemClock } from '@paddock/agent/adapters/system-clock.ts';
import { loadConfig } from '@paddock/agent/config.ts';
import { createSensing } from '@paddock/agent/sensing.ts';
import { orderOf, type GpioProgramState, type Order } from './gpio-orders.ts';

const [configFile = '', directory = ''] = process.argv.slice(2);
const EVERY_MS = 100;

const clock = createSystemClock();
const config = await loadConfig(configFile);
const quiet = (): void => {};
const sensors = createSensing(config, clock);
const outputs = await holdOutputs(config, sensors, clock, { debug: quiet, info: quiet, warn: quiet, error: quiet });
sensors.open({ urgent: quiet, event: quiet });

const place = (name: string): string => join(directory, name);
function put(name: string, value: object): void {
  writeFileSync(place(`${name}.new`), JSON.stringify(value));
  renameSync(place(`${name}.new`), place(name));
}

/** What an order comes to. Nothing else runs meanwhile. */
function perform(order: Order): object {
  switch (order.kind) {
    case 'set':
      outputs.set(order.output, order.level);
      return { level: outputs.states()[order.output]?.actual };
    case 'pull-and-stall': {
      const before = clock.monotonic();
      writeFileSync(order.file, order.pull);
      const after = clock.monotonic();
      while (clock.monotonic() < after + order.ms);
      return { before, after };
    }
    case 'stall-until':
      while (!existsSync(order.file));
      return {};
  }
}

function obey(): void {
  const file = place('order.json');
  if (!existsSync(file)) return;
  const order = orderOf(readFileSync(file, 'utf8'));
  rmSync(file);
  try {
    put('order.json.done', perform(order));
  } catch (cause) {
    put('order.json.done', { fault: String(cause) });
  }
}

const timer = setInterval(() => {
  const at = clock.monotonic();
  const readings = sensors.readings(at);
  const state: GpioProgramState = {
    at,
    readings,
    ports: sensors.ports(),
    outputs: outputs.states(),
    rssMiB: Math.round(process.memoryUsage.rss() / 1_048_576),
    processorMs: Math.round((process.cpuUsage().user + process.cpuUsage().system) / 1000),
  };
  put('state.json', state);
  obey();
}, EVERY_MS);

process.on('SIGTERM', () => {
  clearInterval(timer);
  void Promise.all([sensors.close(), outputs.close()]).then(() => process.exit(0));
});
