import { mkdirSync } from 'node:fs';
import { extname } from 'node:path';
import { createTreeCalls } from './adapters/tree-calls.ts';
import { WorkThread } from './adapters/work-thread.ts';
import type { Installer } from './ports-firmware.ts';
import { createInstaller, type AskInstaller } from './slots/installer.ts';

/** Beside this file, among the sources and in the bundle. */
const THREAD = new URL(`./installer-thread${extname(import.meta.url)}`, import.meta.url);

/** The slots in a directory, which is made where it is missing. */
export function openInstaller(directory: string): Installer & { close(): Promise<void> } {
  mkdirSync(directory, { recursive: true });
  const { ask, close } = installerThread(directory);
  return { ...createInstaller(createTreeCalls(directory), ask), close };
}

/** What does the work on a directory that blocks. */
export function installerThread(directory: string): {
  readonly ask: AskInstaller;
  readonly close: () => Promise<void>;
} {
  const thread = new WorkThread(THREAD, directory, 'settle');
  const ask = ((name, given, waiting) => thread.ask(name, given, waiting)) as AskInstaller;
  return { ask, close: () => thread.close() };
}
