import { basename } from 'node:path';
import { createRauc } from './adapters/rauc.ts';
import { createAsk } from './adapters/systemd/ask.ts';
import type { AgentConfig } from './config.ts';
import type { ServiceCode } from './doctor-codes.ts';
import type { Finding } from './finding.ts';
import { InstallError } from './ports-firmware.ts';
import type { RaucSlot } from './ports-rauc.ts';
import type { Clock } from './ports.ts';
import { pairOf } from './rauc/pair.ts';
import { otherSlot } from './slots/whole.ts';

const ACTION = 'org.freedesktop.login1.reboot';
/** Asks logind whether whoever asks may start the machine again (the interface org.freedesktop.login1). */
const MAY_REBOOT = 'org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager CanReboot';

/** Whether RAUC can be asked and has slots to install into, and whether the machine may be started again for it. */
export async function checkRauc({ firmware }: AgentConfig, clock: Clock): Promise<Finding[]> {
  if (firmware?.rauc === undefined) return [];
  const { program, reboot } = firmware.rauc;
  const asksLogind = basename(reboot[0] ?? '') === 'systemctl';
  const rauc = createRauc({ program, reboot });
  const [slots, restart] = await Promise.all([
    rauc.slots().then(judgeSlots).catch(unfit),
    asksLogind ? createAsk(clock)('busctl', 'call', ...MAY_REBOOT.split(' ')).then(judgeRestart) : [],
  ]);
  return [slots, restart].flat();
}

const CHECK = 'RAUC';

/** @throws InstallError `install_rauc_unfit` */
export function judgeSlots(all: readonly RaucSlot[]): Finding {
  const { booted, slots } = pairOf(all);
  const named = (slot: typeof booted): string => `${slots[slot].name} (${slot})`;
  const message = `Runs from ${named(booted)}, and installs into ${named(otherSlot(booted))}`;
  return { check: CHECK, status: 'ok', message };
}

/** @param cause why RAUC has no slots for us */
export function unfit(cause: unknown): Finding {
  if (!(cause instanceof InstallError)) throw cause;
  return { check: CHECK, status: 'fail', code: cause.code, message: `Nothing can be installed. ${cause.message}` };
}

/** @param answer of busctl, null: none; `s "yes"` where it may be done without anybody's password */
export function judgeRestart(answer: string | null): Finding {
  const check = 'restart for RAUC';
  const [, word] = /^s "(.*)"$/m.exec(answer ?? '') ?? [];
  if (word === 'yes') return { check, status: 'ok', message: 'The machine may be started again for a release' };
  const [status, code, what]: [Finding['status'], ServiceCode, string] =
    word === undefined
      ? ['warn', 'rauc_restart_unknown', 'logind does not say whether the machine may be started again for a release']
      : ['fail', 'rauc_restart_denied', `The machine may not be started again for a release (logind says ${word})`];
  return { check, status, code, message: `${what}: a rule of polkit lets the agent's user (${ACTION})` };
}
