import { lockDataDir } from './adapters/data-dir-lock.ts';
import { openDisk } from './adapters/disk.ts';
import type { AgentConfig } from './config.ts';
import { finishKeyChange, wantKeyChange } from './enrol/key-change.ts';
import { openIdentityKey, openIdentityKeys, requireChangeableKey } from './identity-key.ts';

/**
 * Asks the agent for another identity key, whether it runs or not.
 * @throws KeyChangeError, and what the disk throws
 */
export async function askForNewKey(config: AgentConfig): Promise<void> {
  requireChangeableKey(config);
  await wantKeyChange(await openDisk(config.dataDir));
}

/**
 * Makes another identity key in place of the one that there is, which nobody vouches for it with.
 * @returns the new fingerprint
 * @throws KeyChangeError, KeyFileError, DataDirError `data_dir_in_use` while the agent runs
 */
export async function discardKey(config: AgentConfig): Promise<string> {
  requireChangeableKey(config);
  const release = lockDataDir(config.dataDir);
  try {
    const keys = await openIdentityKeys(config, await openIdentityKey(config));
    const { thumbprint } = (await keys.begin()).public;
    await finishKeyChange({ disk: await openDisk(config.dataDir), keys });
    return thumbprint;
  } finally {
    release();
  }
}
