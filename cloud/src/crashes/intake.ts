import { parseCrash, type Crash } from '@paddock/shared/crash.ts';
import type { Reading } from '../ingest/authenticate.ts';
import { SideIntake, type SideDeps } from '../ingest/side-intake.ts';
import { tell } from '../monitoring/telling.ts';
import type { ErrorAt, Store } from '../ports.ts';
import { recordCrash, type AuthenticCrash } from './record.ts';

const CRASHES: Reading<Crash, AuthenticCrash> = {
  kind: 'crash',
  parse: parseCrash,
  message: (proved, crash) => ({ ...proved, crash }),
};

/** Takes crash reports in. */
export const crashIntake = (
  deps: SideDeps & { readonly store: Store; readonly errorAt: ErrorAt },
): SideIntake<Crash, AuthenticCrash> =>
  new SideIntake(deps, {
    reading: CRASHES,
    metric: 'paddock_crashes_total',
    failure: 'A crash report could not be recorded and was let go',
    async record(message) {
      const { outcome, notice } = await recordCrash(deps.store, message, deps.errorAt);
      if (notice !== null) tell(deps.log, notice);
      return { outcome, ...(outcome === 'too-often' && { refused: 'crash_too_often' }) };
    },
  });
