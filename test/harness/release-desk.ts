import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import type { CloudProcess } from './cloud-process.ts';

const PROGRAM = join(import.meta.dirname, '../../cloud/bin/paddock.cjs');

/** Those who sign firmware and publish it, with the commands that they have. */
export class ReleaseDesk {
  readonly #cloud: CloudProcess;
  readonly #folder: string;

  private constructor(cloud: CloudProcess, folder: string) {
    [this.#cloud, this.#folder] = [cloud, folder];
  }

  /** Makes the keys of everybody, and installs the root that names them. */
  static async open(cloud: CloudProcess): Promise<ReleaseDesk> {
    const desk = new ReleaseDesk(cloud, await mkdtemp(join(tmpdir(), 'paddock-desk-')));
    await writeFile(desk.#passphrase, 'correct horse battery\n');
    await desk.#paddock('keys', 'init', desk.#keys, ...desk.#secret);
    await desk.#paddock('keys', 'install', join(desk.#keys, '1.root.json'));
    return desk;
  }

  /** Builds, signs and publishes what a recipe says, for these devices. */
  async release(recipe: string, devices: readonly string[]): Promise<void> {
    const draft = join(this.#folder, basename(recipe));
    const [bundle, targets] = [`${draft}.bundle`, `${draft}.targets.json`];
    const signers = (await readdir(this.#keys)).filter((name) => name.startsWith('targets-'));
    await this.#paddock('bundle', 'build', recipe, '--out', bundle);
    const by = ['--key', ...signers.map((name) => join(this.#keys, name)), ...this.#secret];
    await this.#paddock('release', 'sign', bundle, '--out', targets, ...by);
    await this.#paddock('release', 'publish', targets, bundle, '--assign', ...devices);
  }

  async close(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }

  get #keys(): string {
    return join(this.#folder, 'keys');
  }

  get #passphrase(): string {
    return join(this.#folder, 'passphrase');
  }

  get #secret(): string[] {
    return ['--passphrase-file', this.#passphrase];
  }

  async #paddock(...args: readonly string[]): Promise<void> {
    const place = ['--data-dir', this.#cloud.dataDir, '--url', this.#cloud.httpUrl];
    await promisify(execFile)(process.execPath, [PROGRAM, ...args, ...place]);
  }
}
