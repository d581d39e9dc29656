import type { AuthenticReport } from './authenticate.ts';
import type { PlacedChange, PlacedReport } from './reconcile.ts';

/** Sensors of as many devices as one instance is likely to hear. */
const MOST_SENSORS = 300_000;

/**
 * Remembers which change of each sensor this instance has written last, so that the reports which repeat it cost the
 * database nothing. Only a memory: the table's key is what makes once mean once.
 */
export class SeenChanges {
  readonly #newest = new Map<string, { readonly changes: number; readonly hasValue: boolean }>();

  has(message: AuthenticReport, { sensor, changes, value }: PlacedChange): boolean {
    const seen = this.#newest.get(keyOf(message, sensor));
    return seen?.changes === changes && (seen.hasValue || value === null);
  }

  /** To be called when they are committed. */
  remember(reports: readonly PlacedReport[]): void {
    for (const { message, changes } of reports)
      for (const { sensor, changes: count, value } of changes) {
        const key = keyOf(message, sensor);
        const before = this.#newest.get(key);
        const hasValue = value !== null || (before?.changes === count && before.hasValue);
        this.#newest.delete(key);
        this.#newest.set(key, { changes: count, hasValue });
      }
    for (const oldest of this.#newest.keys()) {
      if (this.#newest.size <= MOST_SENSORS) return;
      this.#newest.delete(oldest);
    }
  }
}

const keyOf = ({ deviceId, report }: AuthenticReport, sensor: string): string =>
  `${deviceId} ${report.incarnation} ${report.start} ${sensor}`;
