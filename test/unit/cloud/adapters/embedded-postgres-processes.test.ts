import { expect, test } from 'vitest';
import { belongsTo } from '@paddock/cloud/adapters/embedded-postgres/processes.ts';

test.each([
  ['/x/bin/postgres\0-D\0/data\0-c\0cluster_name=paddock-1\0', true],
  ['postgres: paddock-1: walwriter \0\0\0', true],
  ['/x/bin/postgres\0-D\0/data\0-c\0cluster_name=paddock-12\0', false],
  ['postgres: paddock-12: walwriter \0', false],
  ['postgres: walwriter \0', false],
  ['vim\0notes about cluster_name=paddock-1\0', false],
  ['', false],
])('whose process is %j', (commandLine, expected) => {
  expect(belongsTo(commandLine, 'paddock-1')).toBe(expected);
});
