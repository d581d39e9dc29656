import { deflater, inflater } from '@paddock/agent/adapters/deflate.ts';
import type { Answer, Rejection } from '@paddock/shared/answer.ts';
import { digestOf, openEnvelope, parseEnvelope, seal } from '@paddock/shared/envelope.ts';
import { parseReport, type Report } from '@paddock/shared/report.ts';
import { toInstant, wallMs, type WallMs } from '@paddock/shared/time.ts';
import { makeTestKey, type TestKey } from '../signing.ts';

export interface Received {
  readonly report: Report;
  readonly digest: string;
  readonly envelope: string;
}

/** As much of a cloud as a device can tell: it records reports and signs answers. */
export class FakeCloud {
  readonly received: Received[] = [];
  readonly recorded = new Map<string, Set<number>>();
  readonly rejected: Rejection[] = [];
  readonly key: TestKey;
  readonly device: TestKey;
  /** Its clock. */
  now = (): WallMs => wallMs(Date.UTC(2026, 10, 23));

  constructor(key: TestKey, device: TestKey) {
    this.key = key;
    this.device = device;
  }

  static async create(device: TestKey): Promise<FakeCloud> {
    return new FakeCloud(await makeTestKey(), device);
  }

  /** Verifies what a device sent. @param record false only looks at it */
  async receive(envelope: string, { record = true } = {}): Promise<Received> {
    const parsed = parseEnvelope(envelope);
    const report = parseReport(await openEnvelope(parsed, this.device.verification, inflater));
    const received = { report, digest: await digestOf(parsed), envelope };
    this.received.push(received);
    if (record) this.sequencesOf(report).add(report.sequence);
    return received;
  }

  sequencesOf({ incarnation, start }: Pick<Report, 'incarnation' | 'start'>): Set<number> {
    const key = `${incarnation}/${start}`;
    const known = this.recorded.get(key) ?? new Set<number>();
    this.recorded.set(key, known);
    return known;
  }

  answer(to: Received, change: Partial<Answer> = {}, key = this.key): Promise<string> {
    const { report, digest } = to;
    const at = this.now();
    const answer: Answer = {
      v: 1,
      device: report.device,
      incarnation: report.incarnation,
      start: report.start,
      digest,
      ...(report.ask !== undefined && { nonce: report.ask }),
      recorded: [...this.sequencesOf(report)].map((sequence) => [sequence, sequence]),
      rejected: this.rejected,
      receivedAt: toInstant(at),
      sentAt: toInstant(at),
      expiresAt: toInstant(wallMs(at + 300_000)),
      desired: { epoch: 0, version: 0 },
      wants: [],
      ...change,
    };
    return seal('answer', answer, key.signing, deflater);
  }
}
