import { X509Certificate } from 'node:crypto';
import { expect, it } from 'vitest';
import { amazonRoots } from '@paddock/cloud/adapters/amazon-roots.ts';

it('brings Amazon’s four roots, always in the same order', () => {
  const names = amazonRoots().map((der) => /CN=(.*)/.exec(new X509Certificate(der).subject)?.[1]);
  expect(names).toEqual([1, 2, 3, 4].map((number) => `Amazon Root CA ${number}`));
});
