import type { UptimeMs } from '@paddock/shared/time.ts';
import type { QualityReason } from '@paddock/shared/report.ts';
import type { Clock, DuplexStream, PortLoss, PortStatus, SensorPort, SensorSink } from '../ports.ts';
import { LineExchange } from './line-exchange.ts';
import { createLineReader, type LineMeaning, type LineReader, type LineRules } from './line-meaning.ts';
import { createLineSplitter, type Line, type LineSplitter } from './lines.ts';
import { PortLife } from './port-life.ts';
import type { SerialLinesConfig } from './settings.ts';

export interface LinePortOptions extends LineRules {
  readonly name: string;
  readonly config: SerialLinesConfig;
  readonly stream: DuplexStream;
  readonly clock: Clock;
  readonly random: () => number;
}

const SHOWN_CHARS = 80;
const WELL: PortStatus = { state: 'open', detail: null };

/** A device that speaks lines of text by itself. */
export class LinePort implements SensorPort {
  readonly name: string;
  readonly #options: LinePortOptions;
  readonly #read: LineReader;
  readonly #life: PortLife;
  readonly #exchange: LineExchange;
  readonly shared: { readonly line: LineExchange };
  #sink: SensorSink | null = null;
  #splitter: LineSplitter;
  #heardAt: UptimeMs;
  /** We may have come into the middle of a line, so the first one may make no sense. */
  #isFirst = true;

  constructor(options: LinePortOptions) {
    this.name = options.name;
    this.#options = options;
    this.#read = createLineReader(options);
    this.#splitter = splitterFor(options.config);
    this.#heardAt = options.clock.monotonic();
    const course = {
      connect: (lost: (loss: PortLoss) => void) => this.#connect(lost),
      serve: (signal: AbortSignal) => this.#watchSilence(signal),
      disconnect: () => {
        this.#exchange.lost();
        return options.stream.close();
      },
      lost: ({ reason }: PortLoss) => this.#faultAll(reason, options.clock.monotonic()),
    };
    this.#life = new PortLife(course, options.clock, options.random);
    const { stream, clock } = options;
    this.#exchange = new LineExchange({ stream, clock, life: () => this.#life.life() });
    this.shared = { line: this.#exchange };
  }

  open(sink: SensorSink): void {
    this.#sink = sink;
    this.#life.start();
  }

  status(): PortStatus {
    return this.#life.status();
  }

  close(): Promise<void> {
    return this.#life.close();
  }

  #connect(lost: (loss: PortLoss) => void): Promise<void> {
    this.#splitter = splitterFor(this.#options.config);
    this.#isFirst = true;
    this.#heardAt = this.#options.clock.monotonic();
    return this.#options.stream.open({ bytes: (chunk, at) => this.#hear(chunk, at), lost });
  }

  #hear(chunk: Uint8Array, at: UptimeMs): void {
    this.#heardAt = at;
    if (this.status().state === 'silent') this.#life.note(WELL);
    for (const line of this.#splitter.push(chunk)) {
      this.#take(line, at);
      this.#isFirst = false;
    }
  }

  #take(line: Line, at: UptimeMs): void {
    if (line.kind === 'line' && this.#exchange.hears(line.text)) return;
    const meaning = line.kind === 'line' ? this.#read(line.text) : null;
    if (meaning !== null && !meaning.isDamaged) this.#tell(meaning, at);
    else if (!this.#isFirst) this.#misunderstood(line, meaning === null ? 'malformed' : 'checksum', at);
  }

  #tell({ samples, malformed, events }: LineMeaning, at: UptimeMs): void {
    this.#life.note(WELL);
    for (const { sensor, value } of samples) this.#sink?.sample(sensor, value, at);
    for (const sensor of malformed) this.#sink?.fault(sensor, 'malformed', at);
    for (const { name, data } of events) this.#sink?.event(name, data, at);
  }

  /** The line could have been about any of the port's sensors. */
  #misunderstood(line: Line, reason: 'malformed' | 'checksum', at: UptimeMs): void {
    const what = line.kind === 'line' ? JSON.stringify(line.text.slice(0, SHOWN_CHARS)) : line.why;
    const why = reason === 'checksum' ? 'came damaged' : 'was not understood';
    this.#life.note({ state: 'open', detail: `a line ${why}: ${what}` });
    this.#faultAll(reason, at);
  }

  #faultAll(reason: QualityReason, at: UptimeMs): void {
    for (const sensor of this.#options.sensors.keys()) this.#sink?.fault(sensor, reason, at);
  }

  async #watchSilence(signal: AbortSignal): Promise<void> {
    const { clock, config } = this.#options;
    if (config.silentAfterMs === 0) await untilAborted(signal);
    while (!signal.aborted) {
      const leftMs = this.#heardAt + config.silentAfterMs - clock.monotonic();
      if (leftMs <= 0 && this.status().state !== 'silent') {
        this.#life.note({ state: 'silent', detail: `nothing was heard for ${config.silentAfterMs} ms` });
        this.#faultAll('silent-port', clock.monotonic());
      }
      await clock.sleep(leftMs > 0 ? leftMs : config.silentAfterMs, signal);
    }
  }
}

const splitterFor = ({ delimiter, maxLineBytes }: SerialLinesConfig): LineSplitter =>
  createLineSplitter({ delimiter, maxBytes: maxLineBytes });

const untilAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
