import type { Clock, PortStatus, SensorPort } from '../ports.ts';

export interface Wave {
  readonly wave: 'square' | 'sine' | 'constant' | 'counter';
  readonly periodMs: number;
  readonly low: number;
  readonly high: number;
}

/** What each wave says after `phase` periods. The same moment of the clock always gives the same value. */
const WAVES = {
  square: (phase, { low, high }) => (phase % 1 < 0.5 ? high : low),
  sine: (phase, { low, high }) => {
    const middle = (high + low) / 2;
    return Number((middle + ((high - low) / 2) * Math.sin(2 * Math.PI * phase)).toPrecision(6));
  },
  constant: (_phase, { high }) => high,
  counter: (phase, { low }) => low + Math.floor(phase),
} as const satisfies Record<Wave['wave'], (phase: number, wave: Wave) => number>;

export interface SimulatedSettings {
  readonly name: string;
  readonly pollMs: number;
  readonly sensors: ReadonlyMap<string, Wave>;
}

/** Sensors without hardware, whose values follow the clock. */
export function createSimulatedPort({ name, pollMs, sensors }: SimulatedSettings, clock: Clock): SensorPort {
  const closing = new AbortController();
  let status: PortStatus = { state: 'closed', detail: null };
  let running: Promise<void> = Promise.resolve();
  return {
    name,
    open: (sink) => {
      status = { state: 'open', detail: null };
      running = (async () => {
        while (!closing.signal.aborted) {
          const at = clock.monotonic();
          for (const [sensor, wave] of sensors) sink.sample(sensor, waveValue(wave, at), at);
          await clock.sleep(pollMs, closing.signal);
        }
      })();
    },
    status: () => status,
    close: async () => {
      closing.abort();
      await running;
      status = { state: 'closed', detail: null };
    },
  };
}

export const waveValue = (wave: Wave, uptimeMs: number): number => WAVES[wave.wave](uptimeMs / wave.periodMs, wave);
