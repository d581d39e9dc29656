/** When to report: a cron expression, and the longest time between two of its runs in ms. */
export interface Schedule {
  readonly cron: string;
  readonly gapMs: number;
}

/** The schedule as it is now. */
export interface Pace {
  now(): Schedule;
  /** @param schedule null: the own one */
  set(schedule: Schedule | null): void;
  /** @returns a function that stops hearing of changes */
  onChange(hear: () => void): () => void;
}

/** @param own as it is configured, which holds unless another one is set */
export function createPace(own: Schedule): Pace {
  let schedule = own;
  const hearing = new Set<() => void>();
  return {
    now: () => schedule,
    set(given) {
      const next = given ?? own;
      const isSame = next.cron === schedule.cron && next.gapMs === schedule.gapMs;
      schedule = next;
      if (!isSame) for (const hear of hearing) hear();
    },
    onChange(hear) {
      hearing.add(hear);
      return () => void hearing.delete(hear);
    },
  };
}
