import type { ChargePoint } from './charge-point.ts';

/** What the front panel's firmware sends: one line of JSON with all contacts. */
export function panelLine(state: ChargePoint): string {
  return JSON.stringify({
    door: state.doorOpen ? 'open' : 'closed',
    connector: state.connector,
    lock: state.charging ? 'locked' : 'unlocked',
    stop: state.stopPressed ? 'pressed' : 'released',
    display: state.display,
  });
}

/** A card reader behind the same panel: one line a swipe. */
export function swipeLine(state: ChargePoint): string {
  return JSON.stringify({ event: 'card-swipe', card: state.card.number });
}

/** The lines that are due when one state follows another: what happened first, then how things are. */
export function linesBetween(before: ChargePoint, now: ChargePoint, repeat: boolean): string[] {
  const swiped = before.card.cycle !== now.card.cycle ? [swipeLine(now)] : [];
  const changed = panelLine(before) !== panelLine(now);
  return [...swiped, ...(changed || repeat ? [panelLine(now)] : [])];
}

/** The lamp above the panel, which obeys `light on` and `light off` and tells itself when asked by `light?`. */
export interface Lamp {
  readonly isOn: boolean;
}

/** What a command makes of the lamp, and what the panel answers; null for what is no command. */
export function obey(lamp: Lamp, command: string): { readonly lamp: Lamp; readonly answer: string } | null {
  const word = (is: boolean): string => (is ? 'on' : 'off');
  if (command === 'light?') return { lamp, answer: JSON.stringify({ light: word(lamp.isOn) }) };
  const [, wanted] = /^light (on|off)$/.exec(command) ?? [];
  return wanted === undefined ? null : { lamp: { isOn: wanted === 'on' }, answer: JSON.stringify({ ok: command }) };
}
