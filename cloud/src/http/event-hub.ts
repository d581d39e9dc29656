import { ALL_CUSTOMERS, type Scope } from '../customers/scope.ts';
import { changesSince, currentPosition, type Position, type PresenceChange } from '../devices/changes.ts';
import type { DeviceViews, VersionedView } from '../devices/views.ts';
import type { Clock, Log, Store } from '../ports.ts';
import { assignmentsSince, type AssignmentNews } from '../rollouts/changes.ts';
import { AssignmentsTold, type Told } from './assignments-told.ts';
import { EventBarrier } from './event-barrier.ts';
import { eventBody, withId } from './event-id.ts';

/** One connected listener. */
export interface Sink {
  write(text: string): void;
  /** Bytes that were written and not yet taken by the network. */
  waitingBytes(): number;
  end(): void;
  /** Fires when the connection is over, from whichever side. */
  readonly closed: AbortSignal;
}

export interface HubSettings {
  readonly heartbeatMs: number;
  /** How long changes are gathered, so that one query serves all of them. */
  readonly gatherMs: number;
  /** A listener that leaves more than this unread is dropped; it comes back with Last-Event-ID. */
  readonly maxWaitingBytes: number;
  readonly maxListeners: number;
  /** Devices read at once. */
  readonly pageSize: number;
}

export const HUB_SETTINGS: HubSettings = {
  heartbeatMs: 15_000,
  gatherMs: 50,
  maxWaitingBytes: 4_194_304,
  maxListeners: 256,
  pageSize: 200,
};

export interface HubParts {
  readonly store: Store;
  readonly views: DeviceViews;
  readonly clock: Clock;
  readonly log: Log;
  readonly settings?: HubSettings;
}

/** Who listens, to what part of the fleet, and whether that is still allowed. */
export interface Audience {
  readonly scope: Scope;
  readonly sink: Sink;
  isAllowed(): Promise<boolean>;
}

/** What has changed and is not told yet. */
interface Gathered {
  readonly states: Set<string>;
  readonly presences: Map<string, PresenceChange>;
  readonly desired: Set<string>;
  readonly assignments: AssignmentsTold;
}

const nothing = (): Gathered => ({
  states: new Set(),
  presences: new Map(),
  desired: new Set(),
  assignments: new AssignmentsTold(),
});

interface Listener extends Audience {
  /** What it has been told of, whatever connection or instance it comes back to. */
  position: Position;
  /** While it catches up: what moved meanwhile, to be told afterwards. */
  held: Gathered | null;
}

/** Tells every listener of this instance what any instance recorded. Slow listeners cost a bounded amount of memory. */
export class EventHub {
  readonly #parts: HubParts;
  readonly #settings: HubSettings;
  readonly #barrier: EventBarrier;
  readonly #listeners = new Set<Listener>();
  readonly #stopping = new AbortController();
  #gathered = nothing();
  #flushing: Promise<void> | null = null;
  #checking: Promise<void> | null = null;
  #stopListening: (() => Promise<void>)[] = [];

  constructor(parts: HubParts) {
    this.#parts = parts;
    this.#settings = parts.settings ?? HUB_SETTINGS;
    this.#barrier = new EventBarrier(parts.store);
  }

  /** Hears the database. Called once, before the first listener. */
  async open(): Promise<void> {
    const { store } = this.#parts;
    const missed = (): void => this.#dropAll();
    this.#stopListening = [
      await this.#barrier.open(),
      await store.listen('paddock_recorded', (payload) => this.#recorded(payload), missed),
      await store.listen('paddock_presence', (payload) => this.#moved(payload), missed),
      await store.listen('paddock_desired', (deviceId) => this.#gather(({ desired }) => desired.add(deviceId)), missed),
      await store.listen('paddock_assignments', (payload) => this.#assigned(payload), missed),
    ];
    void this.#beat();
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    this.#barrier.abandon();
    this.#dropAll();
    for (const stop of this.#stopListening) await stop();
    await Promise.all([this.#flushing, this.#checking]);
  }

  get isFull(): boolean {
    return this.#listeners.size >= this.#settings.maxListeners;
  }

  /** Serves a listener until its connection ends: first what it missed, then what happens. */
  async serve(audience: Audience, last: Position | null): Promise<void> {
    const { sink } = audience;
    const held = nothing();
    const listener: Listener = { ...audience, position: last ?? { revision: 0, horizon: 0 }, held };
    this.#listeners.add(listener);
    sink.closed.addEventListener('abort', () => this.#listeners.delete(listener));
    const position = await currentPosition(this.#parts.store);
    sink.write('retry: 3000\n\n');
    if (last !== null) await this.#catchUp(listener, last);
    listener.position = position;
    sink.write(withId(position, eventBody('ready', {})));
    listener.held = null;
    for (const deviceId of held.states) this.#gathered.states.add(deviceId);
    for (const deviceId of held.desired) this.#gathered.desired.add(deviceId);
    for (const [deviceId, change] of held.presences) this.#gathered.presences.set(deviceId, change);
    this.#gathered.assignments.addAll(held.assignments);
    this.#wake();
  }

  async #catchUp(listener: Listener, last: Position): Promise<void> {
    const { store, views } = this.#parts;
    const { isReset, states, presences, desired } = await changesSince(store, listener.scope, last);
    const told = new Set(states.map(({ deviceId }) => deviceId));
    // A state says what is desired, too.
    const changed = [...told, ...desired.flatMap(({ deviceId }) => (told.has(deviceId) ? [] : [deviceId]))];
    if (isReset) listener.sink.write(withId(last, eventBody('reset', {})));
    for (let at = 0; at < changed.length; at += this.#settings.pageSize) {
      const ids = changed.slice(at, at + this.#settings.pageSize);
      // While it catches up, its id stays where it was: who is cut off in the middle begins again there.
      for (const { view } of await views.some(listener.scope, ids)) {
        if (told.has(view.deviceId)) listener.sink.write(withId(last, eventBody('state', view)));
        else listener.sink.write(withId(last, desiredBody(view)));
      }
      await this.#drained(listener);
    }
    for (const { revision: _, ...change } of presences)
      listener.sink.write(withId(last, eventBody('presence', change)));
    const assigned = await assignmentsSince(store, listener.scope, isReset ? { ...last, revision: 0 } : last);
    for (const { body } of heardBy(listener, await AssignmentsTold.of(assigned).read(store)))
      listener.sink.write(withId(last, body));
  }

  /** Waits until a listener that catches up has taken most of it. */
  async #drained({ sink }: Listener): Promise<void> {
    while (sink.waitingBytes() > this.#settings.maxWaitingBytes / 4 && !sink.closed.aborted)
      await this.#parts.clock.sleep(this.#settings.gatherMs, sink.closed);
  }

  #recorded(payload: string): void {
    const ids = JSON.parse(payload) as string[];
    this.#gather(({ states }) => ids.forEach((deviceId) => states.add(deviceId)));
  }

  #moved(payload: string): void {
    const change = JSON.parse(payload) as PresenceChange;
    this.#gather(({ presences }) => presences.set(change.deviceId, change));
  }

  #assigned(payload: string): void {
    const news = JSON.parse(payload) as AssignmentNews;
    this.#gather(({ assignments }) => assignments.add(news));
  }

  #gather(add: (gathered: Gathered) => unknown): void {
    if (this.#listeners.size === 0) return;
    add(this.#gathered);
    for (const { held } of this.#listeners) if (held !== null) add(held);
    this.#wake();
  }

  #hasGathered(): boolean {
    const { states, presences, desired, assignments } = this.#gathered;
    return states.size + presences.size + desired.size + assignments.size > 0;
  }

  #wake(): void {
    if (this.#stopping.signal.aborted) return;
    this.#flushing ??= this.#flush().finally(() => (this.#flushing = null));
  }

  async #flush(): Promise<void> {
    while (this.#hasGathered() && !this.#stopping.signal.aborted) {
      await this.#parts.clock.sleep(this.#settings.gatherMs, this.#stopping.signal);
      if (this.#stopping.signal.aborted) return;
      await this.#tellGathered().catch((error: unknown) => {
        this.#parts.log.error({ err: error }, 'Listeners could not be told what changed, and have to ask again');
        this.#dropAll();
      });
    }
  }

  /** Everything that was committed before the barrier is in what is told now: that is the listeners' new position. */
  async #tellGathered(): Promise<void> {
    const position = await this.#barrier.pass();
    // Who is still catching up has these among what is held, and is told afterwards.
    const audience = [...this.#listeners].filter(({ held }) => held === null);
    const gathered = this.#gathered;
    this.#gathered = nothing();
    const assigned = await gathered.assignments.read(this.#parts.store);
    const ids = [...new Set([...gathered.states, ...gathered.presences.keys(), ...gathered.desired])];
    for (let at = 0; at < ids.length; at += this.#settings.pageSize) {
      const page = await this.#parts.views.some(ALL_CUSTOMERS, ids.slice(at, at + this.#settings.pageSize));
      const told = page.toSorted((a, b) => a.revision - b.revision).flatMap((one) => eventsOf(one, gathered));
      const isLast = at + this.#settings.pageSize >= ids.length && assigned.length === 0;
      for (const listener of audience) this.#tell(listener, told, isLast ? position : null);
    }
    for (const listener of audience) this.#tell(listener, assigned, position);
  }

  /** @param position where the listener stands after these; null: where it stood, more is to come */
  #tell(listener: Listener, told: readonly Told[], position: Position | null): void {
    const bodies = heardBy(listener, told).map(({ body }) => body);
    const last = position === null ? undefined : bodies.pop();
    // Whoever is cut off in the middle begins again where it stood.
    let text = bodies.map((body) => withId(listener.position, body)).join('');
    if (last !== undefined && position !== null) text += withId((listener.position = position), last);
    if (text !== '') this.#send(listener, text);
  }

  #send(listener: Listener, text: string): void {
    if (listener.sink.waitingBytes() > this.#settings.maxWaitingBytes) this.#drop(listener);
    else listener.sink.write(text);
  }

  /** Whoever comes back with Last-Event-ID is told everything that was missed here, too. */
  #dropAll(): void {
    for (const listener of this.#listeners) this.#drop(listener);
  }

  #drop(listener: Listener): void {
    this.#listeners.delete(listener);
    listener.sink.end();
  }

  /** A comment now and then keeps connections open through proxies, and finds the dead ones. */
  async #beat(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      await this.#parts.clock.sleep(this.#settings.heartbeatMs, this.#stopping.signal);
      for (const listener of this.#listeners) this.#send(listener, ': beat\n\n');
      // Not awaited: a database that hangs stops no heartbeat.
      this.#checking ??= this.#dropForbidden().finally(() => (this.#checking = null));
    }
  }

  /** A token that is revoked ends its streams; a database that cannot say so does not. */
  async #dropForbidden(): Promise<void> {
    for (const listener of this.#listeners) if (!(await listener.isAllowed().catch(() => true))) this.#drop(listener);
  }
}

const heardBy = ({ scope: { customerId } }: Audience, told: readonly Told[]): readonly Told[] =>
  told.filter((one) => customerId === null || one.customerId === customerId);

const desiredBody = ({ deviceId, desired }: VersionedView['view']): string =>
  eventBody('desired', { deviceId, ...desired });

function eventsOf({ view }: VersionedView, { states, presences, desired }: Gathered): Told[] {
  const { customerId, deviceId } = view;
  const change = presences.get(deviceId);
  return [
    ...(states.has(deviceId) ? [{ customerId, body: eventBody('state', view) }] : []),
    ...(change ? [{ customerId, body: eventBody('presence', change) }] : []),
    ...(desired.has(deviceId) ? [{ customerId, body: desiredBody(view) }] : []),
  ];
}
