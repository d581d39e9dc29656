import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { locate, missingLine, missingPackages, PROGRAMS } from '../../harness/system.ts';

test('finds a program by its path, and only what can be run', () => {
  const directory = mkdtempSync(join(tmpdir(), 'paddock-system-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const program = join(directory, 'paddock-planted-program');
  writeFileSync(program, '');
  chmodSync(program, 0o644);
  expect(locate('paddock-planted-program', directory)).toBeNull();
  chmodSync(program, 0o755);
  expect(locate('paddock-planted-program', directory)).toBe(program);
});

test('names each missing package once', () => {
  expect(missingPackages(() => null).toSorted()).toEqual([...new Set(Object.values(PROGRAMS))].toSorted());
  expect(missingPackages((program) => (program === 'mosquitto' ? null : `/usr/bin/${program}`))).toEqual(['mosquitto']);
  expect(missingPackages((program) => `/usr/bin/${program}`)).toEqual([]);
  expect(missingLine(['mosquitto', 'openssl'])).toMatch(/mosquitto openssl \(apt-get install mosquitto openssl\)$/);
});
