import { createPrivateKey } from 'node:crypto';
import { join } from 'node:path';
import { archivesIn } from './adapters/archives.ts';
import { addFirmwareKeys, loadFirmwareKeys, type FirmwareKeys } from './adapters/data-dir/firmware-keys.ts';
import { repositoryFiles } from './adapters/repository-files.ts';
import { openSpool } from './adapters/spool-file.ts';
import { openStillFile } from './adapters/still-file.ts';
import type { Background, Base } from './base.ts';
import { Firmware } from './firmware/firmware.ts';
import type { OnlineSigners } from './firmware/publish.ts';
import type { RepositoryFiles } from './ports-firmware.ts';
import { databaseNow } from './store/database-clock.ts';
import { signerOf } from './tuf/signatures.ts';

export interface OpenFirmware {
  readonly firmware: Firmware;
  /** As devices get them. */
  readonly files: RepositoryFiles;
}

/**
 * The operator's repository of firmware in the data directory; its files are kept as the database has them.
 * @param rootInstalled the list of keys has to name another root
 */
export async function openFirmware(
  base: Base,
  dataDir: string,
  rootInstalled: () => Promise<void>,
  background: Background,
  started: AsyncDisposableStack,
): Promise<OpenFirmware> {
  const files = repositoryFiles(firmwareDirectoryOf(dataDir));
  const firmware = new Firmware({
    ...base,
    files,
    archives: archivesIn(join(dataDir, 'bundles'), openStillFile),
    openSpool: () => openSpool(dataDir),
    now: databaseNow,
    keyring: {
      all: async () => signersOf(await loadFirmwareKeys(dataDir)),
      add: async () => signersOf(await addFirmwareKeys(dataDir)),
    },
    rootInstalled,
  });
  const changed = (): void => firmware.changed();
  started.defer(await base.store.listen('paddock_firmware', changed, changed));
  background((signal) => firmware.run(signal));
  return { firmware, files };
}

/** What a web server serves. */
export const firmwareDirectoryOf = (dataDir: string): string => join(dataDir, 'firmware');

const signersOf = ({ snapshot, timestamp }: FirmwareKeys): OnlineSigners => ({
  snapshot: snapshot.map((pem) => signerOf(createPrivateKey(pem))),
  timestamp: timestamp.map((pem) => signerOf(createPrivateKey(pem))),
});
