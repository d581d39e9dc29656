import { readConfig, type AgentConfig } from '@paddock/agent/config.ts';
import type {
  DuplexStream,
  PortLoss,
  RawValue,
  RegisterBus,
  RegisterRequest,
  RegisterWrite,
  SensorPort,
  SensorSink,
} from '@paddock/agent/ports.ts';
import type { SensorConfig } from '@paddock/agent/sense/settings.ts';
import type { QualityReason } from '@paddock/shared/report.ts';
import { uptimeMs, type UptimeMs } from '@paddock/shared/time.ts';

/** A configuration whose ports, sensors and events are given as YAML. */
export const configOf = (sense: string): AgentConfig =>
  readConfig(`device: kiosk-0001\ncloud: { url: mqtt://127.0.0.1:1883 }\n${sense}`, '/etc/paddock/agent.yaml');

/** One sensor on a simulated port, so that any raw value can be handed to it. */
export function sensorOf(settings: string): SensorConfig {
  const { sensors } = configOf(
    `ports: { bench: { kind: serial-lines, path: /dev/x, format: json } }\nsensors: { one: { source: { port: bench, field: x }, ${settings} } }`,
  );
  if (!sensors.one) throw new Error('no sensor');
  return sensors.one;
}

export type Told =
  | { readonly sensor: string; readonly value: RawValue }
  | { readonly sensor: string; readonly reason: QualityReason }
  | { readonly gap: string }
  | { readonly event: string; readonly data: Record<string, unknown> };

/** Keeps what a port tells. */
export class Listener implements SensorSink {
  readonly told: Told[] = [];
  sample(sensor: string, value: RawValue): void {
    this.told.push({ sensor, value });
  }
  fault(sensor: string, reason: QualityReason): void {
    this.told.push({ sensor, reason });
  }
  gap(sensor: string): void {
    this.told.push({ gap: sensor });
  }
  event(event: string, data: Record<string, unknown>): void {
    this.told.push({ event, data });
  }
  /** What was told since the last call. */
  take(): Told[] {
    return this.told.splice(0);
  }
}

/** A serial device under the hand of the test. */
export class FakeStream implements DuplexStream {
  opened = 0;
  closed = 0;
  isMissing = false;
  readonly written: string[] = [];
  /** What the device does with what it is told. */
  heard: (text: string) => void = () => {};
  #events: Parameters<DuplexStream['open']>[0] | null = null;

  open(events: Parameters<DuplexStream['open']>[0]): Promise<void> {
    if (this.isMissing) return Promise.reject(new Error('Error: No such file or directory, cannot open /dev/x'));
    this.opened += 1;
    this.#events = events;
    return Promise.resolve();
  }
  write(bytes: Uint8Array): Promise<void> {
    this.written.push(Buffer.from(bytes).toString());
    this.heard(this.written.at(-1) ?? '');
    return Promise.resolve();
  }
  say(text: string | Uint8Array, at: number): void {
    this.#events?.bytes(Buffer.from(text), uptimeMs(at));
  }
  lose(loss: PortLoss = { reason: 'unplugged', detail: 'pulled' }): void {
    this.#events?.lost(loss);
  }
  close(): Promise<void> {
    this.closed += 1;
    this.#events = null;
    return Promise.resolve();
  }
}

/** A bus that answers as the test says. */
export class FakeBus implements RegisterBus {
  readonly asked: string[] = [];
  answer: (request: RegisterRequest) => readonly number[];
  take: (request: RegisterWrite) => Promise<void> = () => Promise.resolve();
  #lost: ((loss: PortLoss) => void) | null = null;

  constructor(answer: (request: RegisterRequest) => readonly number[]) {
    this.answer = answer;
  }
  open({ lost }: { lost(loss: PortLoss): void }): Promise<void> {
    this.#lost = lost;
    return Promise.resolve();
  }
  async read(request: RegisterRequest): Promise<readonly number[]> {
    const { unit, table, address, count } = request;
    this.asked.push(`${unit} ${table} ${address}+${count}`);
    return this.answer(request);
  }
  write({ unit, table, address, word }: RegisterWrite): Promise<void> {
    this.asked.push(`${unit} ${table} ${address}=${word}`);
    return this.take({ unit, table, address, word });
  }
  lose(): void {
    this.#lost?.({ reason: 'unplugged', detail: 'pulled' });
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** A port that says what the test says. */
export class FakePort implements SensorPort {
  readonly name: string;
  sink: SensorSink | null = null;
  constructor(name: string) {
    this.name = name;
  }
  open(sink: SensorSink): void {
    this.sink = sink;
  }
  status() {
    return { state: 'open', detail: null } as const;
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}

export const at = (ms: number): UptimeMs => uptimeMs(ms);
