import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FirmwareConfig } from '@paddock/agent/config/firmware-settings.ts';
import { programPath } from '../system.ts';

type Letter = 'A' | 'B';
const SLOT_BYTES = 65_536;
const COMPATIBLE = 'demo-kiosk';
const ANSWERS = { timeoutMs: 10_000, everyMs: 100 };

/** A bundle of RAUC's, as it may be wrong. */
interface BundleWish {
  /** What will be the root file system. */
  readonly content: string;
  readonly compatible?: string;
  readonly signer?: 'maker' | 'stranger';
}

/** What a bootloader keeps, as the script behind `bootloader=custom`; it says what it was told. */
const BOOTLOADER = `#!/bin/sh
cd "$(dirname "$0")"
case "$1" in
  get-primary) cat primary ;;
  get-state) cat "state.$2" ;;
  set-primary) mark="primary $2"; echo "$2" >primary; echo good >"state.$2" ;;
  set-state) mark="$3 $2"; echo "$3" >"state.$2" ;;
esac
[ -n "$mark" ] || exit 0
echo "$mark" >>told
while [ -e held ] && [ "$(cat held)" = "$mark" ]; do sleep 0.05; done
exit 0
`;

/** Everybody may do everything on it, or nobody may speak to RAUC. */
const busConfig = (socket: string, isDenied: boolean): string => `<!DOCTYPE busconfig PUBLIC
 "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type><listen>unix:path=${socket}</listen><auth>EXTERNAL</auth>
  <policy context="default"><allow user="*"/><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy>
  ${isDenied ? '<policy context="mandatory"><deny send_destination="de.pengutronix.rauc"/></policy>' : ''}
</busconfig>
`;

/**
 * A machine of two slots in files, with RAUC's own program and service on a bus of its own. It runs nothing from its
 * slots: a boot is nothing but another start of the service, from the slot that the bootloader chooses.
 */
export class RaucMachine {
  readonly home = realpathSync(mkdtempSync(join(tmpdir(), 'paddock-rauc-')));
  boots = 0;
  #bus: ChildProcess | null = null;
  #service: ChildProcess | null = null;

  constructor() {
    for (const signer of ['maker', 'stranger']) this.#makeSigner(signer);
    for (const letter of ['A', 'B']) {
      writeFileSync(this.#path(`slot-${letter}`), Buffer.alloc(SLOT_BYTES));
      writeFileSync(this.#path(`state.${letter}`), 'good\n');
    }
    writeFileSync(this.#path('primary'), 'A\n');
    writeFileSync(this.#path('told'), '');
    this.#writeProgram('bootloader', BOOTLOADER);
    this.#writeProgram('reboot', `#!/bin/sh\necho reboot >>${this.#path('told')}\n`);
    mkdirSync(this.#path('mounted'));
    writeFileSync(this.#path('system.conf'), this.#systemConf());
  }

  /** As `firmware.rauc` of agent.yaml. */
  get settings(): NonNullable<FirmwareConfig['rauc']> {
    const bus = `DBUS_SYSTEM_BUS_ADDRESS=unix:path=${this.#path('bus')}`;
    return {
      directory: this.#path('downloads'),
      program: ['env', bus, programPath('rauc')],
      reboot: [this.#path('reboot')],
    };
  }

  /** What the bootloader was told, and the wish for another start, in their order. */
  get told(): string[] {
    return readFileSync(this.#path('told'), 'utf8').trim().split('\n');
  }

  forget(): void {
    writeFileSync(this.#path('told'), '');
  }

  /** What the bootloader would start: what was marked, unless it is bad. */
  get next(): Letter {
    const primary: Letter = readFileSync(this.#path('primary'), 'utf8').trim() === 'B' ? 'B' : 'A';
    const isGood = readFileSync(this.#path(`state.${primary}`), 'utf8').trim() === 'good';
    return isGood ? primary : primary === 'A' ? 'B' : 'A';
  }

  /** This mark of the bootloader does not come to its end from now on, so that somebody may be killed behind it. */
  hold(mark: string): void {
    writeFileSync(this.#path('held'), mark);
  }

  /** It does, and RAUC is at its end, too. */
  async letGo(): Promise<void> {
    rmSync(this.#path('held'));
    await until(() => this.#answers());
  }

  /** Starts it, from this slot. @returns the id of the boot */
  async boot(letter: Letter = this.next): Promise<string> {
    await this.stopService();
    this.boots += 1;
    await this.startService(letter);
    return `boot-${this.boots}`;
  }

  async startService(letter: Letter): Promise<void> {
    await this.#startBus();
    const args = [`--conf=${this.#path('system.conf')}`, `--mount=${this.#path('mounted')}`, 'service'];
    const env = { ...process.env, DBUS_SYSTEM_BUS_ADDRESS: `unix:path=${this.#path('bus')}` };
    this.#service = spawn(programPath('rauc'), [...args, `--override-boot-slot=${letter}`], { env, stdio: 'ignore' });
    await until(() => this.#answers());
  }

  async stopService(): Promise<void> {
    await ended(this.#service);
    this.#service = null;
  }

  /** Nobody may speak to RAUC from now on. */
  async deny(isDenied = true): Promise<void> {
    writeFileSync(this.#path('bus.conf'), busConfig(this.#path('bus'), isDenied));
    this.#bus?.kill('SIGHUP');
    await until(() => this.#answers() !== isDenied);
  }

  /** What a slot begins with. */
  content(letter: Letter): string {
    return readFileSync(this.#path(`slot-${letter}`), 'utf8').replace(/\0+$/, '');
  }

  bundle({ content, compatible = COMPATIBLE, signer = 'maker' }: BundleWish): Buffer {
    const directory = mkdtempSync(this.#path('bundle-'));
    writeFileSync(join(directory, 'root.img'), content.padEnd(4_096, '\0'));
    // Without the kernel's device mapper, which the better format needs.
    const manifest = `[update]\ncompatible=${compatible}\nversion=1\n[bundle]\nformat=plain\n[image.rootfs]\nfilename=root.img\n`;
    writeFileSync(join(directory, 'manifest.raucm'), manifest);
    const file = `${directory}.raucb`;
    const [cert, key] = [this.#path(`${signer}.pem`), this.#path(`${signer}.key`)];
    execFileSync(programPath('rauc'), ['bundle', `--cert=${cert}`, `--key=${key}`, directory, file], {
      stdio: 'ignore',
    });
    return readFileSync(file);
  }

  async close(): Promise<void> {
    await this.stopService();
    await ended(this.#bus);
    rmSync(this.home, { recursive: true });
  }

  async #startBus(): Promise<void> {
    if (this.#bus !== null) return;
    writeFileSync(this.#path('bus.conf'), busConfig(this.#path('bus'), false));
    const args = [`--config-file=${this.#path('bus.conf')}`, '--nofork', '--nopidfile'];
    this.#bus = spawn(programPath('dbus-daemon'), args, { stdio: 'ignore' });
    await until(() => existsSync(this.#path('bus')));
  }

  #answers(): boolean {
    const [program = '', ...before] = this.settings.program;
    return isDone(program, [...before, 'status']);
  }

  #path = (name: string): string => join(this.home, name);

  #writeProgram(name: string, text: string): void {
    writeFileSync(this.#path(name), text, { mode: 0o755 });
  }

  #makeSigner(name: string): void {
    const files = ['-keyout', this.#path(`${name}.key`), '-out', this.#path(`${name}.pem`)];
    const subject = ['-subj', `/O=${name}/CN=rauc`, '-days', '3650'];
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    execFileSync(programPath('openssl'), ['req', '-x509', ...key, ...files, ...subject], { stdio: 'ignore' });
  }

  #systemConf(): string {
    const slot = (number: number, letter: Letter): string =>
      `[slot.rootfs.${number}]\ndevice=${this.#path(`slot-${letter}`)}\ntype=raw\nbootname=${letter}\n`;
    return `[system]
compatible=${COMPATIBLE}
bootloader=custom
mountprefix=${this.#path('mounted')}
statusfile=${this.#path('status.raucs')}
activate-installed=false
bundle-formats=plain
[handlers]
bootloader-custom-backend=${this.#path('bootloader')}
[keyring]
path=${this.#path('maker.pem')}
${slot(0, 'A')}${slot(1, 'B')}`;
  }
}

async function until(isSo: () => boolean): Promise<void> {
  for (const end = performance.now() + ANSWERS.timeoutMs; !isSo();) {
    if (performance.now() > end) throw new Error('It never came to this');
    await new Promise((resolve) => setTimeout(resolve, ANSWERS.everyMs));
  }
}

function isDone(program: string, args: readonly string[]): boolean {
  try {
    execFileSync(program, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

async function ended(child: ChildProcess | null): Promise<void> {
  if (child === null || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}
