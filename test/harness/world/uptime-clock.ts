import type { Crystal } from './crystal.ts';

/**
 * A device's uptime: what its crystal has counted since the boot. `pace` and `jump` are for worlds in which
 * CLOCK_MONOTONIC_RAW is not what it should be. Asked in the order of time only.
 */
export class UptimeClock {
  readonly #crystal: Crystal;
  #uptime = 0;
  #since = 0;
  #pace = 1;

  constructor(crystal: Crystal) {
    this.#crystal = crystal;
  }

  boot(at: number): void {
    this.#uptime = 0;
    this.#since = this.#crystal.countAt(at);
    this.#pace = 1;
  }

  /** Real-valued ms; what a device reports of it is whole ms, rounded down. */
  at(at: number): number {
    return this.#uptime + (this.#crystal.countAt(at) - this.#since) * this.#pace;
  }

  /** @param pace how much uptime counts a ms of the crystal: 1 as it should be, 0 in a suspend, 1.0005 when slewed */
  pace(at: number, pace: number): void {
    this.#uptime = this.at(at);
    this.#since = this.#crystal.countAt(at);
    this.#pace = pace;
  }

  /** Back no further than the boot. */
  jump(at: number, byMs: number): void {
    this.pace(at, this.#pace);
    this.#uptime = Math.max(0, this.#uptime + byMs);
  }
}
