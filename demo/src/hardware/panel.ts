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
