import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTreeCalls } from '@paddock/agent/adapters/tree-calls.ts';
import { openInstaller } from '@paddock/agent/installer.ts';
import { prepareRun } from '@paddock/agent/slots/launch.ts';
import { sha256Of } from '@paddock/agent/slots/whole.ts';
import { expect, it } from 'vitest';
import { bringObjects, faultsOf, LIMITS, releaseOf, runUntil } from '../../harness/agent/slots.ts';

const OLD = releaseOf(1, { 'bin/kiosk': 'one' });
const BIG = 'x'.repeat(700_000);
const NEW = releaseOf(2, { 'bin/kiosk': 'two', 'lib/big': BIG, 'lib/bigger': `${BIG}${BIG}` });

it('a disk that is full is said to be, leaves what runs alone, and is enough when there is room', async ({ skip }) => {
  skip(process.getuid?.() !== 0, 'Only root mounts disks: run this test as root');
  const root = mkdtempSync(join(tmpdir(), 'paddock-full-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', root]);
  const installer = openInstaller(root);
  const resize = (size: string): unknown => execFileSync('mount', ['-o', `remount,size=${size}`, root]);
  const texts = Object.values(NEW.files).map((text) => Buffer.from(text ?? ''));
  const bring = async (): Promise<void> => {
    for (const text of texts) await installer.objects.put(sha256Of(text), text);
  };
  try {
    const calls = createTreeCalls(root);
    bringObjects(calls, OLD);
    runUntil(calls, OLD);
    const expectOld = (): void => {
      expect(prepareRun(calls)).toEqual({ run: { slot: 'a', sha256: OLD.release.sha256 }, trial: null });
      expect(faultsOf(calls, 'a', OLD.release.sha256, [OLD])).toEqual([]);
    };
    await expect(bring()).rejects.toMatchObject({ code: 'install_no_space' });
    expect([...(await installer.objects.list()).values()]).not.toContain(texts[2]?.length);
    expectOld();
    resize('4m');
    await bring();
    const { signal } = new AbortController();
    await expect(installer.stage(NEW, signal)).rejects.toMatchObject({ code: 'install_no_space' });
    expectOld();
    expect(await installer.freeBytes()).toBeLessThan(700_000);
    resize('8m');
    await installer.stage(NEW, signal);
    await installer.activate(NEW.release.sha256, LIMITS);
    expect(prepareRun(calls).run?.sha256).toBe(NEW.release.sha256);
    await installer.markGood(NEW.release.sha256);
  } finally {
    await installer.close();
    execFileSync('umount', [root]);
    rmSync(root, { recursive: true });
  }
});
