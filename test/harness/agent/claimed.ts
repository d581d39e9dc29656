import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { CloudProcess } from '../cloud-process.ts';

const PROGRAM = join(import.meta.dirname, '../../../cloud/bin/paddock.cjs');

/**
 * Makes a batch, and a claim of it, as an operator and a factory do.
 * @param model of the batch
 * @returns the file of the claim
 */
export async function claimFile(
  cloud: CloudProcess,
  folder: string,
  serialNumber: string,
  model?: string,
): Promise<string> {
  const run = promisify(execFile);
  const paddock = async (...args: string[]): Promise<string> => {
    const place = ['--data-dir', cloud.dataDir, '--url', cloud.httpUrl];
    return (await run(process.execPath, [PROGRAM, ...args, ...place])).stdout.trim();
  };
  const [kit, claim] = [join(folder, 'kit.json'), join(folder, 'claim.jwt')];
  const of = model === undefined ? [] : ['--model', model];
  await paddock('factory-keys', 'add', `batch-${serialNumber.toLowerCase()}`, '--count', '1', '--kit', kit, ...of);
  await writeFile(claim, await paddock('claims', 'make', serialNumber, '--kit', kit));
  return claim;
}
