import { QUALITY_REASONS, type QualityReason } from '@paddock/shared/report.ts';
import { uptimeMs, type UptimeMs } from '@paddock/shared/time.ts';
import type { Clock, PortLoss, PortStatus, SensorPort, SensorSink } from '../ports.ts';
import { DriverError, type DriverHost, type DriverRun, type DriverWord } from '../ports-driver.ts';
import { isRawValue } from './line-format.ts';
import { PortLife } from './port-life.ts';
import type { DriverConfig, DriverSource } from './settings.ts';

export interface DriverPortOptions {
  readonly name: string;
  readonly config: DriverConfig;
  readonly sensors: ReadonlyMap<string, DriverSource>;
  readonly events: readonly string[];
  /** Loaded when it is opened. */
  readonly host: () => Promise<DriverHost>;
  readonly clock: Clock;
  readonly random: () => number;
}

/** How long a driver may take to open its device, and how many pings it may leave without an answer. */
const OPEN_WITHIN_MS = 10_000;
const PING_MS = 1_000;
const MOST_UNANSWERED = 5;
const WELL: PortStatus = { state: 'open', detail: null };

/** A device that a driver from outside reads. Whatever that does, its own sensors alone are worse for it. */
export class DriverPort implements SensorPort {
  readonly name: string;
  readonly #options: DriverPortOptions;
  readonly #life: PortLife;
  #sink: SensorSink | null = null;
  #run: DriverRun | null = null;
  /** Pings since it last said that it lives: counted, so that an agent that stood still itself blames nobody. */
  #unanswered = 0;
  /** When it last told anything. */
  #heardAt: UptimeMs;
  #closing = new AbortController();

  constructor(options: DriverPortOptions) {
    this.name = options.name;
    this.#options = options;
    const { clock } = options;
    this.#heardAt = clock.monotonic();
    const course = {
      connect: (lost: (loss: PortLoss) => void) => this.#connect(lost),
      serve: (signal: AbortSignal) => this.#watch(signal),
      disconnect: () => this.#disconnect(),
      lost: ({ reason }: PortLoss) => this.#faultAll(reason),
    };
    this.#life = new PortLife(course, clock, options.random);
  }

  open(sink: SensorSink): void {
    this.#sink = sink;
    this.#life.start();
  }

  status(): PortStatus {
    return this.#life.status();
  }

  close(): Promise<void> {
    this.#closing.abort();
    return this.#life.close();
  }

  async #connect(lost: (loss: PortLoss) => void): Promise<void> {
    const { config, sensors, events, clock } = this.#options;
    const channels = Object.fromEntries([...sensors].map(([name, { channel }]) => [name, channel]));
    const start = { file: config.driver, options: config.options, sensors: channels, events };
    const opened = new AbortController();
    const late = new AbortController();
    void clock.sleep(OPEN_WITHIN_MS, opened.signal).then(() => opened.signal.aborted || late.abort());
    const host = await this.#options.host();
    try {
      this.#run = await host.start(
        start,
        {
          words: (words) => this.#hear(words),
          pong: () => void (this.#unanswered = 0),
          ended: ({ reason, code, message }) => lost({ reason, code, detail: message }),
        },
        AbortSignal.any([late.signal, this.#closing.signal]),
      );
    } finally {
      opened.abort();
    }
    this.#unanswered = 0;
    this.#heardAt = clock.monotonic();
  }

  async #disconnect(): Promise<void> {
    const run = this.#run;
    this.#run = null;
    await run?.stop();
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { clock, config } = this.#options;
    while (!signal.aborted) {
      this.#run?.ping();
      this.#unanswered += 1;
      await clock.sleep(PING_MS, signal);
      if (this.#unanswered >= MOST_UNANSWERED)
        throw new DriverError('driver_hung', `it left ${this.#unanswered} pings without an answer`);
      const silentMs = clock.monotonic() - this.#heardAt;
      const isSilent = config.silentAfterMs > 0 && silentMs >= config.silentAfterMs;
      if (!isSilent || this.status().state === 'silent') continue;
      this.#life.note({ state: 'silent', detail: `nothing was told for ${config.silentAfterMs} ms` });
      this.#faultAll('silent-port');
    }
  }

  #hear(words: readonly DriverWord[]): void {
    const now = this.#options.clock.monotonic();
    this.#heardAt = now;
    this.#life.note(WELL);
    for (const word of words) this.#take(word, uptimeMs(now - Math.max(0, word.agoMs)));
  }

  /** A driver is no reason to believe anything of what it says. */
  #take(word: DriverWord, at: UptimeMs): void {
    const { sensors, events } = this.#options;
    if ('event' in word) {
      if (events.includes(word.event)) this.#sink?.event(word.event, dataOf(word.data), at);
    } else if (!sensors.has(word.sensor)) {
      this.#life.note({ state: 'open', detail: `it told of a sensor that it does not have: ${word.sensor}` });
    } else if ('reason' in word) {
      this.#sink?.fault(word.sensor, reasonOf(word.reason), at);
    } else if (isRawValue(word.value)) {
      this.#sink?.sample(word.sensor, word.value, at);
    } else {
      this.#sink?.fault(word.sensor, 'malformed', at);
    }
  }

  #faultAll(reason: QualityReason): void {
    for (const sensor of this.#options.sensors.keys())
      this.#sink?.fault(sensor, reason, this.#options.clock.monotonic());
  }
}

const reasonOf = (said: unknown): QualityReason => QUALITY_REASONS.find((known) => known === said) ?? 'driver-failed';
const dataOf = (data: unknown): Record<string, unknown> =>
  typeof data === 'object' && data !== null && !Array.isArray(data) ? { ...data } : {};
