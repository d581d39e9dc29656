import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { ARCHITECTURES, ownArchitecture, type Architecture } from './architectures.ts';
import { locateTool } from './tools.ts';

/** Takes out of a program, or of an addon, what only a debugger reads. @returns whether the tool for that is here */
export async function strip(file: string, architecture: Architecture): Promise<boolean> {
  const { tools } = ARCHITECTURES[architecture];
  const tool = locateTool(`${tools}-strip`) ?? (architecture === ownArchitecture() ? locateTool('strip') : null);
  if (tool !== null) await promisify(execFile)(tool, ['--strip-unneeded', file]);
  return tool !== null;
}
