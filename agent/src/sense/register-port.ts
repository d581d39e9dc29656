import type { QualityReason } from '@paddock/shared/report.ts';
import {
  BusError,
  type Clock,
  type PortLoss,
  type PortStatus,
  type RegisterBus,
  type SensorPort,
  type SensorSink,
} from '../ports.ts';
import { PortLife } from './port-life.ts';
import { alone, planReads, type PlannedRead, type PlannedRequest } from './read-plan.ts';
import { decodeRegisters } from './registers.ts';
import type { ModbusRtuConfig, RegisterSource } from './settings.ts';
import { createUnitRest } from './unit-rest.ts';

export interface RegisterPortOptions {
  readonly name: string;
  readonly config: Pick<ModbusRtuConfig, 'pollMs'>;
  readonly sensors: ReadonlyMap<string, RegisterSource>;
  readonly bus: RegisterBus;
  readonly clock: Clock;
  readonly random: () => number;
}

type BusWork<T> = (bus: Pick<RegisterBus, 'read' | 'write'>) => Promise<T>;

/** A bus of units that are asked in turn. A unit that fails is no reason not to ask the others. */
export class RegisterPort implements SensorPort {
  readonly name: string;
  readonly #options: RegisterPortOptions;
  readonly #plan: readonly PlannedRequest[];
  readonly #rest = createUnitRest();
  readonly #life: PortLife;
  /** What is wrong with which unit, until it answers. */
  readonly #complaints = new Map<number, string>();
  #sink: SensorSink | null = null;
  /** Requests of sensors and outputs, one after the other. */
  #last: Promise<unknown> = Promise.resolve();
  readonly shared = { bus: { life: () => this.#life.life(), use: <T>(work: BusWork<T>) => this.#use(work) } } as const;

  constructor(options: RegisterPortOptions) {
    this.name = options.name;
    this.#options = options;
    this.#plan = planReads(options.sensors);
    const course = {
      connect: (lost: (loss: PortLoss) => void) => options.bus.open({ lost }),
      serve: (signal: AbortSignal) => this.#poll(signal),
      disconnect: () => options.bus.close(),
      lost: ({ reason }: PortLoss) => this.#fault([...options.sensors.keys()], reason),
    };
    this.#life = new PortLife(course, options.clock, options.random);
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

  #use<T>(work: BusWork<T>): Promise<T> {
    return this.#inTurn(async () => {
      if (this.#life.life() === 0) throw new BusError('unplugged', this.status().detail ?? 'the port is not open');
      return work(this.#options.bus);
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined);
    return done;
  }

  async #poll(signal: AbortSignal): Promise<void> {
    const { clock, config } = this.#options;
    while (!signal.aborted) {
      const startedAt = clock.monotonic();
      this.#rest.nextRound();
      for (const request of this.#plan) {
        if (!signal.aborted && !this.#rest.isResting(request.unit)) await this.#ask(request, signal);
      }
      const detail = this.#complaints.size > 0 ? [...this.#complaints.values()].join('; ') : null;
      if (!signal.aborted) this.#life.note({ state: 'open', detail });
      await clock.sleep(Math.max(0, config.pollMs - (clock.monotonic() - startedAt)), signal);
    }
  }

  async #ask(request: PlannedRequest, signal: AbortSignal): Promise<void> {
    try {
      const words = await this.#inTurn(() => this.#options.bus.read(request));
      if (signal.aborted) return;
      this.#rest.answered(request.unit);
      this.#complaints.delete(request.unit);
      for (const read of request.reads) this.#take(read, words);
    } catch (cause) {
      if (signal.aborted) return;
      if (!(cause instanceof BusError) || cause.code === 'unplugged') throw cause;
      await this.#failed(request, cause, signal);
    }
  }

  async #failed(request: PlannedRequest, error: BusError, signal: AbortSignal): Promise<void> {
    this.#complaints.set(request.unit, `unit ${request.unit}: ${error.message}`);
    // One register that the unit does not have makes it refuse its neighbours too.
    if (error.code === 'refused' && request.reads.length > 1) {
      for (const { sensor, source } of request.reads) await this.#ask(alone(sensor, source), signal);
      return;
    }
    this.#fault(sensorsOf(request), error.code);
    if (error.code !== 'no-answer') return;
    this.#rest.silent(request.unit);
    this.#fault(this.#plan.filter(({ unit }) => unit === request.unit).flatMap(sensorsOf), 'no-answer');
  }

  #take({ sensor, source, offset, count }: PlannedRead, words: readonly number[]): void {
    const value = decodeRegisters(words.slice(offset, offset + count), source);
    // A float that is no number is how meters say that they have none.
    if (Number.isFinite(value)) this.#sink?.sample(sensor, value, this.#options.clock.monotonic());
    else this.#fault([sensor], 'malformed');
  }

  #fault(names: readonly string[], reason: QualityReason): void {
    for (const sensor of names) this.#sink?.fault(sensor, reason, this.#options.clock.monotonic());
  }
}

const sensorsOf = ({ reads }: PlannedRequest): string[] => reads.map(({ sensor }) => sensor);
