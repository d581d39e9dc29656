import { BUNDLE_NAME_PATTERN } from '@paddock/shared/manifest.ts';
import type { Static } from 'typebox';
import * as Type from 'typebox';
import { invalid, type Problem } from './problems.ts';

const Command = Type.Array(Type.String({ minLength: 1 }), { minItems: 1, maxItems: 32 });

/** What the kiosk runs, and how it is updated. A device without this section installs nothing. */
export const FirmwareSchema = Type.Object(
  {
    /** The directory of the slots, which the launcher has too; relative to the configuration file. */
    slots: Type.Optional(Type.String({ minLength: 1 })),
    /** In place of `slots`: RAUC updates the whole root file system. */
    rauc: Type.Optional(
      Type.Object(
        {
          /** Where bundles lie until RAUC has them; relative to the configuration file. Both slots find it there. */
          directory: Type.String({ minLength: 1 }),
          /** What starts the machine again, without a shell. */
          reboot: Command,
          /** RAUC, with what stands before its own arguments. */
          program: Type.Array(Type.String({ minLength: 1 }), { minItems: 1, maxItems: 32, default: ['rauc'] }),
        },
        { additionalProperties: false },
      ),
    ),
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
type Written = Static<typeof FirmwareSchema>;
type Rauc = NonNullable<Written['rauc']>;

/** What is installed into: directories of the agent's own, or what RAUC has. */
export type FirmwareConfig = Omit<Written, 'slots' | 'rauc'> &
  ({ readonly slots: string; readonly rauc?: never } | { readonly rauc: Rauc; readonly slots?: never });

/** A device has one installer. */
export function firmwareProblems(firmware: Written | undefined): Problem[] {
  if (firmware === undefined) return [];
  const { slots, rauc } = firmware;
  if (slots === undefined && rauc === undefined) return [invalid(['firmware', 'slots'], 'is missing, and so is rauc')];
  return slots === undefined || rauc === undefined
    ? []
    : [invalid(['firmware', 'rauc'], 'cannot stand beside firmware.slots: a device has one installer')];
}

/** @param at makes a path absolute @returns undefined where nothing is installed */
export function firmwareConfig(
  firmware: Written | undefined,
  at: (path: string) => string,
): FirmwareConfig | undefined {
  if (firmware === undefined) return undefined;
  const { slots, rauc, root, appDir, ...rest } = firmware;
  const both = {
    ...rest,
    ...(root !== undefined && { root: at(root) }),
    ...(appDir !== undefined && { appDir: at(appDir) }),
  };
  if (rauc !== undefined) return { ...both, rauc: { ...rauc, directory: at(rauc.directory) } };
  return slots === undefined ? undefined : { ...both, slots: at(slots) };
}

/** Where downloads lie, in a directory of one agent alone. */
export const directoryOf = ({ slots, rauc }: FirmwareConfig): string => slots ?? rauc.directory;
