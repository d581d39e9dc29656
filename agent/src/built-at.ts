import { fromInstant } from '@paddock/shared/time.ts';

/** Put in by agent/bundle.ts. */
declare const PADDOCK_BUILT_AT: string | undefined;

/** A checkout is not built: it was written after this, and the line is moved on with each release. */
const WRITTEN_AFTER = '2026-11-01T00:00:00.000Z';

/** When this program was built: true time is never earlier. */
export const BUILT_AT = fromInstant(typeof PADDOCK_BUILT_AT === 'string' ? PADDOCK_BUILT_AT : WRITTEN_AFTER);
