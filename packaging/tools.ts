import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Where a program of the machine is; null where it is not. */
export function locateTool(name: string): string | null {
  const directories = (process.env['PATH'] ?? '').split(delimiter);
  return directories.map((directory) => join(directory, name)).find(isExecutable) ?? null;
}

/** @throws a line that names what to install */
export function requireTool(name: string, debianPackage: string): string {
  const found = locateTool(name);
  if (found === null) throw new Error(`${name} is needed, and is not there: apt-get install ${debianPackage}`);
  return found;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
