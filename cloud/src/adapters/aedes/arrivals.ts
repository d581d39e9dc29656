/** Connections of one device that have not said who they are: one is enough, a fleet's network may repeat it. */
const MAX_OF_ONE = 8;

/** Bounds what one certificate may keep open before MQTT sees to it that a device has one connection. */
export class Arrivals {
  readonly #counted = new Map<string, number>();

  /**
   * @param deviceId as its certificate proves; null without one
   * @returns to be called when it has said who it is, and when it is gone; null when there are too many
   */
  enter(deviceId: string | null): (() => void) | null {
    if (deviceId === null) return () => undefined;
    const count = this.#counted.get(deviceId) ?? 0;
    if (count >= MAX_OF_ONE) return null;
    this.#counted.set(deviceId, count + 1);
    let isCounted = true;
    return () => {
      if (isCounted) this.#leave(deviceId);
      isCounted = false;
    };
  }

  #leave(deviceId: string): void {
    const left = (this.#counted.get(deviceId) ?? 1) - 1;
    if (left === 0) this.#counted.delete(deviceId);
    else this.#counted.set(deviceId, left);
  }
}
