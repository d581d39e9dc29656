import { connectAsync, type MqttClient } from 'mqtt';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { deflater, inflater } from '@paddock/agent/adapters/deflate.ts';
import { parseAnswer } from '@paddock/shared/answer.ts';
import { randomBase64url } from '@paddock/shared/base64url.ts';
import { openEnvelope, parseEnvelope, seal, type Signing } from '@paddock/shared/envelope.ts';
import type { VerificationKey } from '@paddock/shared/keys.ts';
import type { Report, Trigger } from '@paddock/shared/report.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { readingsAt } from './readings.ts';

/** About one routine report in six asks for an answer. */
const ASK_EVERY = 6;
const GRACE_MS = 30_000;
const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();

/** CLOCK_MONOTONIC in ms: good enough for a device that has no clock of its own. */
const uptime = (): number => Number(process.hrtime.bigint() / 1_000_000n);

export interface LightDeviceOptions {
  readonly index: number;
  readonly deviceId: string;
  readonly incarnation: string;
  readonly start: number;
  readonly signing: Signing;
  readonly cloudKeys: readonly VerificationKey[];
  readonly mqttUrl: string;
  /** PEM: its certificate with its issuers, its key, and whom its broker is issued by. */
  readonly certificates: string;
  readonly key: string;
  readonly authorities: readonly string[];
  readonly everyMs: number;
  /** Hears of every report that was sent or got lost, and of every answer that was verified. */
  readonly told: (what: 'sent' | 'lost' | 'answered') => void;
}

/**
 * A device with its own key, start and connection, and no outbox: what gets lost stays lost, as everything
 * here is simulated anyway.
 */
export class LightDevice {
  readonly #options: LightDeviceOptions;
  readonly #startedAt = uptime() / 1000;
  #client: MqttClient | null = null;
  #sequence = 0;
  /** The newest report that asks. */
  #asked: { readonly nonce: string; readonly uptimeMs: number } | null = null;
  /** What the next report tells of it. */
  #exchange: NonNullable<Report['exchanges']>[number] | null = null;

  constructor(options: LightDeviceOptions) {
    this.#options = options;
  }

  /** Connects, reports its boot after `delayMs`, then regularly until the signal aborts. */
  async run(delayMs: number, signal: AbortSignal): Promise<void> {
    const { deviceId, mqttUrl, certificates, key, authorities, everyMs } = this.#options;
    await pause(delayMs, signal);
    if (signal.aborted) return;
    const client = await connectAsync(mqttUrl, {
      clientId: deviceId,
      protocolVersion: 4,
      clean: true,
      keepalive: 60,
      cert: certificates,
      key,
      ca: [...authorities],
    });
    this.#client = client;
    client.on('error', () => {});
    client.on('message', (_topic, payload) => void this.#answered(payload.toString('latin1')));
    await client.subscribeAsync(topicOf('answer', deviceId), { qos: 1 });
    await this.#report({ kind: 'boot' });
    for (;;) {
      await pause(everyMs, signal);
      if (signal.aborted) return;
      await this.#report({ kind: 'schedule' });
    }
  }

  /** Says goodbye. */
  async close(): Promise<void> {
    if (this.#client?.connected) await this.#report({ kind: 'shutdown' });
    await this.#client?.endAsync();
  }

  async #report(trigger: Trigger): Promise<void> {
    // Queueing inside the client would send old states as if they were new.
    if (!this.#client?.connected) return;
    const { deviceId, signing, told } = this.#options;
    const envelope = await seal('report', this.#state(trigger), signing, deflater);
    const publishing = this.#client.publishAsync(topicOf('report', deviceId), envelope, { qos: 1 });
    await publishing.then(
      () => told('sent'),
      () => told('lost'),
    );
  }

  #state(trigger: Trigger): Report {
    const { index, deviceId, incarnation, start, everyMs } = this.#options;
    const uptimeMs = uptime();
    const sequence = this.#sequence++;
    const asks = trigger.kind !== 'shutdown' && sequence % ASK_EVERY === 0;
    if (asks) this.#asked = { nonce: randomBase64url(), uptimeMs };
    const exchange = this.#exchange;
    this.#exchange = null;
    return {
      v: 1,
      device: deviceId,
      incarnation,
      start,
      sequence,
      boot: { id: bootId },
      uptimeMs,
      wallMs: Date.now(),
      trigger,
      nextWithinMs: everyMs + GRACE_MS,
      ...(asks && this.#asked && { ask: this.#asked.nonce }),
      ...(exchange && { exchanges: [exchange] }),
      readings: readingsAt(index, uptimeMs / 1000, this.#startedAt),
    };
  }

  async #answered(text: string): Promise<void> {
    const { cloudKeys, told } = this.#options;
    const responseUptimeMs = uptime();
    try {
      const envelope = parseEnvelope(text);
      const key = cloudKeys.find(({ keyId }) => keyId === envelope.keyId);
      if (key === undefined) return;
      const { nonce, receivedAt, sentAt } = parseAnswer(await openEnvelope(envelope, key, inflater));
      const asked = this.#asked;
      if (asked !== null && nonce === asked.nonce)
        this.#exchange = { requestUptimeMs: asked.uptimeMs, receivedAt, sentAt, responseUptimeMs };
      told('answered');
    } catch {
      // Not an answer of this cloud: it is not counted.
    }
  }
}

const pause = (ms: number, signal: AbortSignal): Promise<void> => sleep(ms, undefined, { signal }).catch(() => {});
