import { randomUUID } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { randomBase64url } from '@paddock/shared/base64url.ts';
import type { Report } from '@paddock/shared/report.ts';
import type { TestDevice } from './device.ts';
import { INCARNATION } from './reports.ts';

type Exchange = NonNullable<Report['exchanges']>[number];

/** One start of an agent on a boot of its own, whose uptime counts real time: what it says of time is true. */
export class Life {
  readonly bootId = randomUUID();
  readonly #device: TestDevice;
  readonly #start: number;
  readonly #incarnation: string;
  readonly #beganAt: number;
  #sequence = 0;

  /** @param bootedAgoMs how long before now the machine booted */
  constructor(device: TestDevice, start: number, bootedAgoMs = 60_000, incarnation = INCARNATION) {
    this.#device = device;
    this.#start = start;
    this.#incarnation = incarnation;
    this.#beganAt = performance.now() - bootedAgoMs;
  }

  get uptimeMs(): number {
    return Math.floor(performance.now() - this.#beganAt);
  }

  /** Sequences that were made and never sent. */
  skip(count: number): void {
    this.#sequence += count;
  }

  /** Reports, and waits for the answer. @returns the exchange, for a later report to tell of */
  async report(fields: Partial<Report> = {}): Promise<Exchange> {
    const ask = randomBase64url();
    const requestUptimeMs = this.uptimeMs;
    await this.#device.report({
      incarnation: this.#incarnation,
      start: this.#start,
      sequence: fields.sequence ?? this.#sequence++,
      boot: { id: this.bootId },
      uptimeMs: requestUptimeMs,
      readings: {},
      ask,
      ...fields,
    });
    const { receivedAt, sentAt } = await this.#device.answer(({ nonce }) => nonce === ask);
    return { requestUptimeMs, receivedAt, sentAt, responseUptimeMs: this.uptimeMs };
  }
}
