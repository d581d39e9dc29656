import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const MAKER = join(import.meta.dirname, '../../packaging/agent.ts');

/** Makes the agent's Debian package for this machine, as quickly as it can be made. @returns the file */
export async function buildAgentPackage(out: string, version: string): Promise<string> {
  const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';
  const args = ['--quick', '--json', '--arch', architecture, '--out', out, '--deb-version', version];
  const { stdout } = await promisify(execFile)(process.execPath, [MAKER, ...args], {
    env: { ...process.env, SOURCE_DATE_EPOCH: '1800000000' },
  });
  const [built] = JSON.parse(stdout) as { file: string; missing: string[] }[];
  if (built === undefined || built.missing.length > 0) throw new Error(`Not a whole package: ${stdout}`);
  return built.file;
}
