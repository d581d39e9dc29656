import { BUNDLE_NAME_PATTERN } from '@paddock/shared/manifest.ts';
import * as Type from 'typebox';

/** What the kiosk runs, and how it is updated. A device without this section installs nothing. */
export const FirmwareSchema = Type.Object(
  {
    /** The directory of the slots, which the launcher has too; relative to the configuration file. */
    slots: Type.String({ minLength: 1 }),
    /** The root metadata to begin with, relative to the configuration file; absent: the list of keys names it. */
    root: Type.Optional(Type.String({ minLength: 1 })),
    /** Where programs of the slots may write, as the launcher's `--app-dir`; absent: `data` in the directory of the slots. */
    appDir: Type.Optional(Type.String({ minLength: 1 })),
    /** As manifests name it; absent: what the claim or `cloud.enrol` says. */
    model: Type.Optional(
      Type.String({
        pattern: BUNDLE_NAME_PATTERN,
        expects: 'must be a model as bundles name it: up to 63 of a-z, 0-9 and -, not beginning with -',
      }),
    ),
  },
  { additionalProperties: false },
);
