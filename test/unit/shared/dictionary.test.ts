import { DICTIONARIES } from '@paddock/shared/dictionary.ts';
import { seal } from '@paddock/shared/envelope.ts';
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { deflater } from '@paddock/agent/adapters/deflate.ts';
import { typicalReport } from '../../harness/samples.ts';
import { makeTestKey } from '../../harness/signing.ts';
import dictionaries from '../../fixtures/vectors/dictionaries.json' with { type: 'json' };

describe('dictionaries', () => {
  it('are the published bytes, for ever', () => {
    const published = Object.entries(DICTIONARIES).map(([id, bytes]) => ({
      id,
      bytes: bytes.length,
      sha256: createHash('sha256').update(bytes).digest('hex'),
      base64: Buffer.from(bytes).toString('base64'),
    }));
    expect(published).toEqual(dictionaries);
  });

  it('fit into deflate’s window', () => {
    for (const bytes of Object.values(DICTIONARIES)) expect(bytes.length).toBeLessThan(32_768);
  });

  it('make a full report of twenty sensors less than a quarter of the plain envelope', async () => {
    const { signing } = await makeTestKey();
    const plain = await seal('report', typicalReport, signing);
    const small = await seal('report', typicalReport, signing, deflater);
    expect(Object.keys(typicalReport.readings)).toHaveLength(20);
    expect(small.length).toBeLessThan(plain.length / 4);
    expect(small.length).toBeLessThanOrEqual(580);
  });
});
