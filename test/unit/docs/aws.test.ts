import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { servicePolicy } from '@paddock/cloud/aws/policy.ts';

const REPOSITORY = join(import.meta.dirname, '../../..');
const read = (path: string): string => readFileSync(join(REPOSITORY, path), 'utf8');

interface Statement {
  readonly Sid?: string;
  readonly Effect: string;
  readonly Action: string | readonly string[];
  readonly Resource: string | readonly string[];
}

/** The JSON documents of the section. */
const section = /\n### AWS IoT Core\n[^]*?\n## /.exec(read('docs/operations.md'))?.[0] ?? '';
const documents = [...section.matchAll(/```json\n([^]*?)```/g)].map(
  ([, text = '']) => JSON.parse(text) as { Statement: readonly Statement[] },
);

describe('the page about AWS IoT', () => {
  it('names exactly the actions that the service calls', () => {
    const called = [...read('cloud/src/adapters/aws-iot.ts').matchAll(/new sdk\.(\w+)Command\(/g)];
    const allowed = documents[0]?.Statement.flatMap(({ Action }) => Action) ?? [];
    expect(allowed.toSorted()).toEqual(called.map(([, name = '']) => `iot:${name}`).toSorted());
    expect(allowed.length).toBeGreaterThan(20);
  });

  it('allows nothing on everything but what has no resource of its own', () => {
    const wide = documents[0]?.Statement.filter(({ Resource }) => Resource === '*').map(({ Sid }) => Sid);
    expect(wide).toEqual(['NoResourceOfItsOwn', 'NoResourceThatCanBeNamed']);
  });

  it('shows the policy of the service as the program knows it', () => {
    expect(documents[1]).toEqual(servicePolicy('arn:aws:iot:REGION:ACCOUNT:', 'paddock'));
  });
});
