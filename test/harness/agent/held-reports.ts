import type { Outbox } from '@paddock/agent/report/outbox.ts';
import type { Held, SealedReport } from '@paddock/agent/report/sealed.ts';
import type { Answer } from '@paddock/shared/answer.ts';

/** The identity that sealed reports of tests have unless they say otherwise. */
export const THIS_START = { incarnation: 'aaaaaaaaaaa', start: 3 };

/** A report as the outbox sees it; nobody could verify it. */
export function sealedReport(sequence: number, fields: Partial<SealedReport> = {}): SealedReport {
  const digest = `${fields.start ?? THIS_START.start}-${sequence}`;
  const envelope = `envelope-${digest}`;
  return { ...THIS_START, sequence, digest, envelope, nonce: null, event: false, ...fields };
}

/** An answer to one of them. */
export function answerTo(report: SealedReport, fields: Partial<Answer> = {}): Answer {
  const instant = '2026-11-23T20:00:00.000Z';
  const { incarnation, start, digest } = report;
  return {
    v: 1,
    device: 'kiosk-0001',
    incarnation,
    start,
    digest,
    recorded: [],
    rejected: [],
    receivedAt: instant,
    sentAt: instant,
    expiresAt: instant,
    desired: { epoch: 0, version: 0 },
    wants: [],
    ...fields,
  };
}

/** @throws Error when the outbox does not hold it */
export function findHeld(outbox: Outbox, report: SealedReport): Held {
  const entry = outbox.find(report.digest);
  if (!entry) throw new Error(`${report.digest} is not held`);
  return entry;
}

/** What the first version of the agent wrote: two events, one of which was refused. */
export const FIRST_FORMAT = [
  '["aaaaaaaaaaa",3,1,"digest-1","n","envelope-1","pyzQqt8N7I-G07SLXuv2Hz"]\n',
  '["aaaaaaaaaaa",3,2,"digest-2","n","envelope-2","jro4C4FQuiE9-xB7D6L07x"]\n',
  '["digest-2","k35qe6_TdnAjdBJomPJI3p"]\n',
];
