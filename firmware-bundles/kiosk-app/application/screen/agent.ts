import { PaddockError, PaddockLocal, type Outcome, type State } from './paddock-local.mjs';

/** Where `local.socket` of the kiosk's agent.yaml puts it: in the directory that PADDOCK_APP_DIR names. */
const SOCKET = 'agent.sock';
/** As `local.applications` names it. */
const NAME = 'kiosk-app';
const SAY_EVERY_MS = 10_000;
const SAY_AGAIN_MS = 1_000;
/** A card is read and charged in less. */
const LOCK_SECONDS = 60;

/** The agent of this kiosk, where there is one: the application shows its screens without it, too. */
export class KioskAgent {
  readonly #paddock = new PaddockLocal(SOCKET);
  #state: State | null = null;
  #timer: NodeJS.Timeout | undefined;
  #unfollow = (): void => undefined;

  /** @param fault why this application is not well; null: it is */
  begin(fault: () => string | null): void {
    this.#unfollow = this.#paddock.follow((state) => (this.#state = state));
    const say = async (): Promise<void> => {
      const isSaid = await this.#say(fault());
      this.#timer = setTimeout(() => void say(), isSaid ? SAY_EVERY_MS : SAY_AGAIN_MS);
    };
    void say();
  }

  /** What the screen may show of the kiosk. */
  seen(): object {
    if (this.#state === null) return { agent: 'none' };
    const { device, connection, readings } = this.#state;
    const values = Object.entries(readings).map(([name, { value }]) => [name, value]);
    return { device, online: connection.online, readings: Object.fromEntries(values) as object };
  }

  /** A card was held to the reader. No update interrupts its customer. */
  async card(number: string): Promise<Outcome | { readonly code: string }> {
    try {
      await this.#paddock.takeLock(NAME, 'a customer pays', LOCK_SECONDS);
      return await this.#paddock.event('card-swipe', { card: number });
    } catch (error) {
      return { code: error instanceof PaddockError ? error.code : 'unexpected' };
    } finally {
      await this.#paddock.releaseLock(NAME).catch(() => undefined);
    }
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#unfollow();
  }

  async #say(fault: string | null): Promise<boolean> {
    const detail = fault === null ? {} : { detail: fault };
    return this.#paddock.sayHealth(NAME, fault === null ? 'good' : 'bad', detail).then(
      () => true,
      () => false,
    );
  }
}
