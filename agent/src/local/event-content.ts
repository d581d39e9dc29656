import { hash } from 'node:crypto';
import { parseEnvelope, readPayload, type Inflate } from '@paddock/shared/envelope.ts';
import * as Type from 'typebox';
import { Check } from 'typebox/value';
import { plain } from '../report/build.ts';
import type { SealedReport } from '../report/sealed.ts';
import type { EventBody } from './shapes.ts';

/** What of its report was posted. */
const Told = Type.Object({
  trigger: Type.Object({
    kind: Type.Literal('event'),
    name: Type.String(),
    data: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  }),
});

/** By what it is told whether something else was posted under an id: of the text that a report has of it. */
export const contentOf = ({ name, data }: EventBody): string =>
  hash('sha256', JSON.stringify(plain([name, data ?? null])), 'base64url');

/** The same of an event that an earlier start took, by its report. Null: it cannot be told. */
export function contentIn({ envelope }: SealedReport, inflater: Inflate): string | null {
  try {
    const { payload, dictionary } = parseEnvelope(envelope);
    const report = readPayload(Buffer.from(payload, 'base64url'), dictionary, inflater);
    return Check(Told, report) ? contentOf(report.trigger) : null;
  } catch {
    // A line of the outbox's file has its check: whoever wrote this knows another dictionary.
    return null;
  }
}
