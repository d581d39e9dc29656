import type { DesiredFirmware } from '@paddock/shared/desired.ts';
import type { Release } from '@paddock/shared/firmware.ts';
import type { Manifest } from '@paddock/shared/manifest.ts';
import { checkRaucManifest } from '@paddock/shared/rauc-payload.ts';
import type { Installer } from '../ports-firmware.ts';
import { UpdateError } from './update-error.ts';

/** A release on which desired state and metadata agree, and that fits this device. */
export interface Agreed {
  readonly release: Release;
  readonly manifest: Manifest;
  /** As it was signed. */
  readonly bytes: Uint8Array;
}

/** What a release is installed over. */
export type Before = Pick<Release, 'name' | 'counter'>;

/** Which releases are genuine, and which of them fit. */
export interface AgreementParts {
  readonly tuf: {
    refresh(signal: AbortSignal): Promise<unknown>;
    manifestOf(
      wanted: Pick<Release, 'name' | 'counter' | 'sha256'>,
      signal: AbortSignal,
    ): Promise<{ readonly manifest: Manifest; readonly bytes: Uint8Array }>;
  };
  readonly model: () => string | null;
  readonly installer: Pick<Installer, 'kind'>;
}

/**
 * Name, counter and digest are held against the metadata by `tuf`; here the rest. A release that was withdrawn is no
 * target any more.
 * @throws TufError, FetchError, BundleError, UpdateError
 */
export async function agree(
  { tuf, model, installer }: AgreementParts,
  desired: DesiredFirmware,
  before: Before | null,
  signal: AbortSignal,
): Promise<Agreed> {
  await tuf.refresh(signal);
  const { manifest, bytes } = await tuf.manifestOf(desired, signal);
  const { name, version, counter } = manifest;
  if (version !== desired.version)
    throw new UpdateError('update_mismatch', `${version} in place of ${desired.version}`);
  checkModel(manifest, model());
  checkInstaller(manifest, installer);
  checkFrom(manifest, before);
  return { release: { name, version, counter, sha256: desired.sha256 }, manifest, bytes };
}

function checkModel({ models }: Manifest, model: string | null): void {
  if (model === null) throw new UpdateError('update_model_unknown');
  if (!models.includes(model)) throw new UpdateError('update_model_wrong', `${model} is none of ${models.join(', ')}`);
}

function checkInstaller(manifest: Manifest, { kind }: Pick<Installer, 'kind'>): void {
  const { installer = 'slots' } = manifest;
  if (installer !== kind) throw new UpdateError('update_installer_wrong', `${installer} in place of ${kind}`);
  if (installer === 'rauc') checkRaucManifest(manifest);
}

function checkFrom({ name, fromCounter }: Manifest, before: Before | null): void {
  if (fromCounter === undefined) return;
  const has = before?.name === name ? before.counter : null;
  if (has === null || has < fromCounter)
    throw new UpdateError('update_from_wrong', `${has} is less than ${fromCounter}`);
}
