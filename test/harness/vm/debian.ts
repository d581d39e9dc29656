import { tool } from './tools.ts';

/** Asks what this machine knows of Debian's packages. */
export const aptCache = async (...args: readonly string[]): Promise<string> => tool('apt-cache', args);

/** Fetches packages as files, without installing them. */
export async function download(directory: string, packages: readonly string[]): Promise<void> {
  // As root apt changes to a user of its own, who may not write here.
  await tool('apt-get', ['-qq', '-o', 'APT::Sandbox::User=root', 'download', ...packages], { directory });
}
