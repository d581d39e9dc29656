/** The program of the thread that installs: what it is told, on one directory. It knows nothing else. */
import { parentPort, workerData } from 'node:worker_threads';
import { createTreeCalls } from './adapters/tree-calls.ts';
import type { Order, ThreadData, Told } from './adapters/work-thread.ts';
import { InstallError } from './ports-firmware.ts';
import { createInstallerWork } from './slots/installer-work.ts';
import { installErrorOf } from './slots/stage.ts';

/** Progress is told in pieces of so much. */
const TELL_BYTES = 262_144;

const { directory, stop } = workerData as ThreadData;
const tell = (told: Told): void => parentPort?.postMessage(told, []);
let current = 0;
let untold = 0;

const work = new Map<string, (...given: never[]) => unknown>(
  Object.entries(
    createInstallerWork(createTreeCalls(directory), {
      progress(bytes) {
        untold += bytes;
        if (untold >= TELL_BYTES) tellProgress();
      },
      goOn() {
        if (Atomics.load(stop, 0) !== 0) throw new InstallError('install_interrupted', 'it was told to end');
      },
    }),
  ),
);

function tellProgress(): void {
  if (untold > 0) tell({ id: current, progress: untold });
  untold = 0;
}

parentPort?.on('message', ({ id, name, given }: Order) => {
  current = id;
  untold = 0;
  try {
    const value: unknown = work.get(name)?.(...(given as never[]));
    tellProgress();
    tell({ id, value });
  } catch (cause) {
    const told = installErrorOf(cause);
    const code = told instanceof Error && 'code' in told ? String(told.code) : null;
    tell({ id, fault: { code, message: told instanceof Error ? told.message : String(told) } });
  }
});
