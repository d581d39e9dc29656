import { BundleError } from './bundle-error.ts';
import { isFile, type IndexedFile, type IndexEntry } from './bundle-index.ts';
import type { Manifest } from './manifest.ts';

/** As RAUC calls its own bundles. */
const BUNDLE_NAME = /^[^/]+\.raucb$/;

/**
 * A release for RAUC is one file, a bundle of RAUC's: what else it brought would be installed nowhere.
 * @throws BundleError `manifest_payload`
 */
export function raucBundleIn(entries: readonly IndexEntry[]): IndexedFile {
  const [file, ...others] = entries;
  if (file === undefined || others.length > 0 || !isFile(file) || !BUNDLE_NAME.test(file.path))
    throw new BundleError('manifest_payload', 'for RAUC it is one file *.raucb, and nothing else');
  return file;
}

/**
 * The same as far as it shows before the index is there: nothing of it lies in a slot of ours, so nothing is run from
 * there. Hooks and probe are programs of the machine.
 * @throws BundleError `manifest_payload`
 */
export function checkRaucManifest({ files, run, hooks, health }: Manifest): void {
  const commands = [hooks?.before, hooks?.after, health.probe].flatMap((given) => given?.command[0] ?? []);
  const path = commands.find((program) => program.includes('/'));
  if (files !== 1) throw new BundleError('manifest_payload', `${files} files in place of one *.raucb`);
  if (run !== undefined) throw new BundleError('manifest_payload', 'run.command: RAUC starts nothing');
  if (path !== undefined) throw new BundleError('manifest_payload', `${path} is no program of the machine`);
}

/** Of a release for RAUC. @throws BundleError `manifest_payload` */
export function checkPayload(manifest: Manifest, entries: readonly IndexEntry[]): void {
  if (manifest.installer === undefined) return;
  checkRaucManifest(manifest);
  raucBundleIn(entries);
}
