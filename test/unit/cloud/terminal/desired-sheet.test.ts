import { convergenceWords } from '@paddock/cloud/terminal/desired-sheet.ts';
import { expect, test } from 'vitest';

const behind = { epoch: 0, version: 5, converged: false };

test.each([
  [{ epoch: 0, version: 3 }, 'version 5, not taken up: the device has 3'],
  [
    { epoch: 0, version: 3, withheld: { epoch: 0, version: 5 } },
    'version 5, not taken up: the device has 3, and misses 5: it was told of it and does not get it',
  ],
  [
    { epoch: 0, version: 0, withheld: { epoch: 0, version: 5 } },
    'version 5, not taken up: the device has none, and misses 5: it was told of it and does not get it',
  ],
  [null, 'version 5, not taken up: the device reports none'],
])('what a device reports of desired state is said in a line: %j', (reported, words) => {
  expect(convergenceWords({ ...behind, reported })).toBe(words);
});
