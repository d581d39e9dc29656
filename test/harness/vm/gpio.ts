/** Runs a script in the guest, to its success. @returns what it printed */
export type Succeed = (script: string) => Promise<string>;

const CONFIGURATION = '/sys/kernel/config/gpio-sim';

/** A chip of GPIO lines whose far ends are in the test's hand. */
export interface Chip {
  /** What stands in its `label`. */
  readonly label: string;
  /** Such as `gpiochip0`, in /dev: the kernel gives the next free number. */
  readonly name: string;
  /** Where the kernel shows its lines. */
  readonly directory: string;
}

/** The kernel's simulated GPIO chips. They are gone after every boot, as the wiring is not theirs to remember. */
export class Gpio {
  readonly #succeed: Succeed;

  constructor(succeed: Succeed) {
    this.#succeed = succeed;
  }

  /** @param lines their names, or how many there are if they have none */
  async addChip(label: string, lines: number | readonly string[]): Promise<Chip> {
    const names = typeof lines === 'number' ? [] : lines;
    const [chip, bank] = [`${CONFIGURATION}/${label}`, `${CONFIGURATION}/${label}/bank0`];
    const said = await this.#succeed(`
      set -e
      modprobe gpio-sim
      mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
      mkdir -p ${bank}
      echo ${label} > ${bank}/label
      echo ${typeof lines === 'number' ? lines : lines.length} > ${bank}/num_lines
      ${names.map((name, at) => `mkdir -p ${bank}/line${at}; echo ${name} > ${bank}/line${at}/name`).join('\n')}
      echo 1 > ${chip}/live
      cat ${bank}/chip_name ${chip}/dev_name`);
    const [name = '', device = ''] = said.split('\n');
    return { label, name, directory: `/sys/devices/platform/${device}/${name}` };
  }

  /** Takes a chip away as if it were unplugged; `addChip` brings it back. */
  async removeChip({ label }: Chip): Promise<void> {
    await this.#succeed(`echo 0 > ${CONFIGURATION}/${label}/live`);
  }

  /** Where a line is drawn from outside: what an input reads. */
  async setPin({ directory }: Chip, line: number, pull: 'up' | 'down'): Promise<void> {
    await this.#succeed(`echo pull-${pull} > ${directory}/sim_gpio${line}/pull`);
  }

  /** What a voltmeter would show: what an output drives, or where an input is drawn. */
  async readPin({ directory }: Chip, line: number): Promise<0 | 1> {
    return (await this.#succeed(`cat ${directory}/sim_gpio${line}/value`)).trim() === '1' ? 1 : 0;
  }
}
