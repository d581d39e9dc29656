import { inflater } from '@paddock/cloud/adapters/inflate.ts';
import { openEnvelope, parseEnvelope, seal } from '@paddock/shared/envelope.ts';
import { REFUSALS } from '@paddock/shared/errors.ts';
import { parseReport } from '@paddock/shared/report.ts';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { deflater } from '@paddock/agent/adapters/deflate.ts';
import { refusalOf } from '../../harness/refusals.ts';
import { fullReport } from '../../harness/samples.ts';
import { makeTestKey } from '../../harness/signing.ts';
import { twinOf } from '../../harness/wire.ts';

const key = await makeTestKey('ES256');
const originals = [
  await seal('report', fullReport, key.signing),
  await seal('report', fullReport, key.signing, deflater),
].flatMap((envelope) => [envelope, twinOf(envelope)]);

const at = fc.nat({ max: 4096 });
const letters = fc.string({ unit: fc.constantFrom(...'ABCabc019-_.=+/ \n\0é{'.split('')), minLength: 1, maxLength: 4 });
const mutation = fc.oneof(
  fc.record({ kind: fc.constant('replace' as const), at, letters }),
  fc.record({ kind: fc.constant('insert' as const), at, letters }),
  fc.record({ kind: fc.constant('remove' as const), at, length: fc.integer({ min: 1, max: 40 }) }),
  fc.record({ kind: fc.constant('repeat' as const), at, length: fc.integer({ min: 1, max: 40 }) }),
  fc.record({ kind: fc.constant('bit' as const), part: fc.nat({ max: 2 }), at, bit: fc.nat({ max: 7 }) }),
  fc.record({ kind: fc.constant('part' as const), part: fc.nat({ max: 2 }), from: fc.nat({ max: 2 }) }),
);
type Mutation = typeof mutation extends fc.Arbitrary<infer M> ? M : never;

function mutate(text: string, step: Mutation): string {
  if (step.kind === 'bit' || step.kind === 'part') return inParts(text, step);
  const here = step.at % text.length;
  const [head, tail] = [text.slice(0, here), text.slice(here)];
  if (step.kind === 'replace') return head + step.letters + tail.slice(step.letters.length);
  if (step.kind === 'insert') return head + step.letters + tail;
  if (step.kind === 'remove') return head + tail.slice(step.length);
  return head + tail.slice(0, step.length) + tail;
}

function inParts(text: string, step: Extract<Mutation, { kind: 'bit' | 'part' }>): string {
  const parts = text.split('.');
  if (step.kind === 'part') {
    parts[step.part] = parts[step.from] ?? '';
    return parts.join('.');
  }
  const bytes = Buffer.from(parts[step.part] ?? '', 'base64url');
  const here = step.at % Math.max(1, bytes.length);
  bytes[here] = (bytes[here] ?? 0) ^ (1 << step.bit);
  parts[step.part] = bytes.toString('base64url');
  return parts.join('.');
}

it('refuses 10,000 mutations of good envelopes by a code, or reads the very same content', async () => {
  const [codes, unchanged] = [new Map<string, number>(), new Set<string>()];
  const mutated = fc.tuple(fc.constantFrom(...originals), fc.array(mutation, { minLength: 1, maxLength: 3 }));
  await fc.assert(
    fc.asyncProperty(mutated, async ([original, steps]) => {
      const text = steps.reduce(mutate, original);
      const code = await refusalOf(async () => {
        const envelope = parseEnvelope(text);
        parseReport(await openEnvelope(envelope, key.verification, inflater));
        expect(envelope.signingInput).toBe(parseEnvelope(original).signingInput);
        unchanged.add(text);
      });
      if (code !== null) codes.set(code, (codes.get(code) ?? 0) + 1);
    }),
    { numRuns: 10_000 },
  );
  expect([...codes.keys()].every((code) => Object.hasOwn(REFUSALS, code))).toBe(true);
  // The mutations reach every stage, and what passes is what was signed.
  expect([...codes.keys()]).toEqual(
    expect.arrayContaining(['envelope_malformed', 'envelope_not_canonical', 'header_invalid', 'signature_invalid']),
  );
  expect([...unchanged].every((text) => originals.includes(text))).toBe(true);
});
