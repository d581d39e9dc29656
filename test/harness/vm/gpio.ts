/** Runs a script in the guest, to its success. @returns what it printed */
export type Succeed = (script: string) => Promise<string>;

const CONFIGURATION = '/sys/kernel/config/gpio-sim';

/** Their names, or how many there are if they have none. */
export type Lines = number | readonly string[];

/** A chip of GPIO lines whose far ends are in the test's hand. */
export interface Chip {
  /** What stands in its `label`. */
  readonly label: string;
  /** Such as `gpiochip0`, in /dev: the kernel gives the next free number. */
  readonly name: string;
  /** Where the kernel shows its lines. */
  readonly directory: string;
}

const BOARD_UNIT = `[Unit]
Before=paddock-agent.service
[Install]
WantedBy=multi-user.target
[Service]
Type=oneshot
`;

function chipScript(label: string, lines: Lines): string {
  const names = typeof lines === 'number' ? [] : lines;
  const [chip, bank] = [`${CONFIGURATION}/${label}`, `${CONFIGURATION}/${label}/bank0`];
  return `
    set -e
    modprobe gpio-sim
    mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
    mkdir -p ${bank}
    echo ${label} > ${bank}/label
    echo ${typeof lines === 'number' ? lines : lines.length} > ${bank}/num_lines
    ${names.map((name, at) => `mkdir -p ${bank}/line${at}; echo ${name} > ${bank}/line${at}/name`).join('\n')}
    echo 1 > ${chip}/live`;
}

/** The kernel's simulated GPIO chips, whose lines the test holds at their far ends. */
export class Gpio {
  readonly #succeed: Succeed;

  constructor(succeed: Succeed) {
    this.#succeed = succeed;
  }

  /** Plugs a chip in, until the next boot. */
  async addChip(label: string, lines: Lines): Promise<Chip> {
    await this.#succeed(chipScript(label, lines));
    return this.chip(label);
  }

  /** A chip that is there from the next boot on, before any service asks for it. */
  async solderChip(label: string, lines: Lines): Promise<void> {
    const unit = `board-${label}.service`;
    await this.#succeed(`
      cat > /opt/kiosk/${label}.sh <<'END'\n${chipScript(label, lines)}\nEND
      cat > /etc/systemd/system/${unit} <<'END'\n${BOARD_UNIT}ExecStart=/bin/sh /opt/kiosk/${label}.sh\nEND
      systemctl --quiet enable ${unit}`);
  }

  /** A chip that is there. */
  async chip(label: string): Promise<Chip> {
    const said = await this.#succeed(`cd ${CONFIGURATION}/${label}; cat bank0/chip_name dev_name`);
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
