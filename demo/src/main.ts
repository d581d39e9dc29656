import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Api } from './api.ts';
import { startChild, type Child } from './child.ts';
import { startFleet, type Fleet } from './fleet/fleet.ts';
import { paddockOf, publishFirst } from './firmware.ts';
import { requireFreePorts } from './free-ports.ts';
import { simulateHardware } from './hardware/simulate.ts';
import { enrolledKiosk, KIOSK, prepareKiosk } from './kiosk.ts';
import { readOptions, type Options } from './options.ts';
import { watch } from './watch.ts';
import { howToRelease, whereToLook } from './where-to-look.ts';

/**
 * `npm start`: the cloud service, a kiosk whose agent reads simulated hardware on real pseudo-terminals, and a
 * fleet if one is asked for. Everything that the demonstration keeps is under the data directory.
 */
const ROOT = join(import.meta.dirname, '../..');
const AGENT_STOPS_WITHIN_MS = 6_000;
const LAUNCHER_STOPS_WITHIN_MS = 12_000;
const CLOUD_STOPS_WITHIN_MS = 20_000;
const SUMMARY_EVERY_MS = 5_000;
/** All of the fleet comes from this machine. */
const FLEET_OF_ONE_ADDRESS = {
  PADDOCK_ENROL_PER_ADDRESS: '1000000',
  PADDOCK_ENROL_ADDRESS_CONNECTIONS: '1000000',
  PADDOCK_ENROL_ADDRESS_HANDSHAKES: '1000000',
};

const print = (text: string): void => void process.stdout.write(`${text}\n`);

/** What runs, in the order in which it was started; it stops in the opposite one. */
interface Running {
  readonly children: Child[];
  readonly closing: (() => Promise<void> | void)[];
}

async function main(): Promise<void> {
  const running: Running = { children: [], closing: [] };
  const stopping = new AbortController();
  onSignals(stopping, running);
  let code = 0;
  try {
    await run(readOptions(process.argv.slice(2), process.env), running, stopping);
  } catch (error) {
    if (!stopping.signal.aborted || stopping.signal.reason !== error) {
      code = 1;
      process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    }
  }
  stopping.abort();
  for (const close of running.closing.toReversed()) await close();
  print(code === 0 ? 'Stopped.' : 'Stopped because of the failure above.');
  process.exit(code);
}

async function run(options: Options, running: Running, stopping: AbortController): Promise<void> {
  const { dataDir, httpPort, mqttPort, mqttTlsPort, enrolPort } = options;
  const { signal } = stopping;
  const ports = {
    PADDOCK_HTTP_PORT: httpPort,
    PADDOCK_MQTT_PORT: mqttPort,
    PADDOCK_MQTT_TLS_PORT: mqttTlsPort,
    PADDOCK_ENROL_PORT: enrolPort,
  };
  await requireFreePorts(ports);
  const folder = join(dataDir, 'demo');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const portsAsText = Object.fromEntries(Object.entries(ports).map(([name, port]) => [name, String(port)]));
  // All devices of the demonstration come from one address; a kiosk made by hand needs no certificate on loopback.
  const open = { ...FLEET_OF_ONE_ADDRESS, PADDOCK_MQTT_PLAIN: 'loopback' };
  const env = { PADDOCK_DATA_DIR: dataDir, ...open, ...portsAsText };
  const child = (name: string, program: string, args: readonly string[], stopWithinMs: number): Child => {
    const started = startChild({ name, program: join(ROOT, program), args, env, log: join(folder, `${name}.log`) });
    running.children.push(started);
    running.closing.push(() => started.stop(stopWithinMs));
    return started;
  };

  print('Starting the cloud service...');
  const cloud = child('cloud', 'cloud/bin/paddock.cjs', ['serve'], CLOUD_STOPS_WITHIN_MS);
  const api = new Api(`http://127.0.0.1:${httpPort}`, () =>
    readFileSync(join(dataDir, 'operator.token'), 'utf8').trim(),
  );
  const failed = unlessStopping(cloud, signal);
  await Promise.race([api.ready(signal), failed]);

  const hardware = simulateHardware(() => Date.now());
  running.closing.push(() => hardware.close());
  const home = join(folder, KIOSK);
  const config = await prepareKiosk(home, hardware, api);
  let kiosk = '';
  const watching = watch(api, signal, (deviceId) => kiosk === '' || deviceId === kiosk, print);
  const agent = child('agent', 'agent/bin/paddock-agent.cjs', ['run', '--config', config], AGENT_STOPS_WITHIN_MS);
  const slots = join(home, 'slots');
  const launcher = child('launcher', 'agent/bin/paddock-launcher.cjs', ['--slots', slots], LAUNCHER_STOPS_WITHIN_MS);
  const failures = [failed, unlessStopping(agent, signal), unlessStopping(launcher, signal)];
  kiosk = await Promise.race([enrolledKiosk(home, signal), ...failures]);
  print(whereToLook(options, config, kiosk));

  const firmware = { root: ROOT, folder: join(folder, 'firmware') };
  const release = (): Promise<void> => publishFirst(firmware, paddockOf(ROOT, env, signal), api, kiosk);
  failures.push(releasing(release, options, kiosk, signal));

  if (options.devices > 0) {
    const fleet = await Promise.race([withFleet(options, folder, api, signal), ...failures]);
    running.closing.push(() => fleet.close());
    failures.push(fleet.failed);
  }
  await Promise.race([watching, ...failures]);
}

/** Rejects when a child ends although nobody asked it to. */
async function unlessStopping(child: Child, signal: AbortSignal): Promise<never> {
  const how = await child.ended;
  if (signal.aborted) return new Promise(() => {});
  const words = child.lastWords();
  throw new Error(`The ${child.name} ended by itself (${how}). Its last words, from ${child.log}:\n${words}`);
}

/** Publishes the first release beside everything else, and says how the next one is made. Only ever rejects. */
async function releasing(
  release: () => Promise<void>,
  options: Options,
  kiosk: string,
  signal: AbortSignal,
): Promise<never> {
  try {
    await release();
    print(howToRelease(options, kiosk));
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  return new Promise(() => {});
}

/** Starts the fleet, and says now and then how it is doing. */
async function withFleet(options: Options, folder: string, api: Api, signal: AbortSignal): Promise<Fleet> {
  const count = options.devices;
  const fleet = await startFleet({
    count,
    everyMs: options.everySeconds * 1000,
    folder,
    api,
    signal,
    progress: (enrolled, missing, ms) => {
      const step = Math.max(20, Math.ceil(missing / 10));
      if (enrolled === missing) print(`Enrolled ${missing} devices by claims in ${(ms / 1000).toFixed(1)} s`);
      else if (enrolled % step === 0) print(`Enrolled ${enrolled} of ${missing} devices`);
    },
  });
  print(`${count} simulated devices report every ${options.everySeconds} s`);
  let before = 0;
  const summary = setInterval(() => {
    const { sent, lost, answered } = fleet.counts();
    const all = `${sent} in all, ${lost} lost, ${answered} answers verified`;
    print(`fleet  ${sent - before} reports in ${SUMMARY_EVERY_MS / 1000} s, ${all}`);
    before = sent;
  }, SUMMARY_EVERY_MS);
  signal.addEventListener('abort', () => clearInterval(summary));
  return fleet;
}

/** The first signal stops everything in order, the second one at once. */
function onSignals(stopping: AbortController, { children }: Running): void {
  const stop = (): void => {
    if (stopping.signal.aborted) {
      for (const child of children) child.kill();
      process.exit(130);
    }
    print('\nStopping... (again to stop at once)');
    stopping.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);
}

await main();
