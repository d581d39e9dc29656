import type { ReportLine, TimeRequestLine } from '@paddock/cloud/clock/replay-trace.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { Agenda } from './agenda.ts';
import type { CloudClock } from './cloud-clock.ts';
import { Crystal } from './crystal.ts';
import { Exchanges } from './exchanges.ts';
import { breakUptime, untilNextFlaw } from './flaws.ts';
import { bootLasts, cutsWithin, darkFor, habitsOf, type Habits } from './habits.ts';
import { lieAbout } from './lies.ts';
import { Network } from './network.ts';
import { Outbox, type Sealed } from './outbox.ts';
import { Random } from './random.ts';
import { Reception, type Answer } from './reception.ts';
import { Sensors } from './sensors.ts';
import { MINUTE, SECOND, WORLD_BEGAN_MS } from './spans.ts';
import type { Exchange, WorldLine } from './trace.ts';
import { UptimeClock } from './uptime-clock.ts';
import { WallClock } from './wall-clock.ts';
import { CRYSTALS_WANDER_PPM, type WorldSpec } from './worlds.ts';

const REPORT_EVERY_MS = 5 * MINUTE;
const EXCHANGE_EVERY_MS = 30 * MINUTE;
const ASK_AGAIN_MS = 30 * SECOND;
const RESEND_EVERY_MS = 50;

interface Boot {
  readonly id: string;
  readonly count: number;
  nextSeq: number;
  agentRuns: boolean;
  /** How often the assumptions were broken. */
  broken: number;
}

/** One connection: what belongs to it is lost with it. */
interface Link {
  readonly resend: Sealed[];
}

/**
 * One device's life, as a simulation of its own: it only shares the cloud's clock with others, so that a world
 * is the same however its devices are interleaved. Everything happens in the order of true time.
 */
export class Device {
  readonly id: string;
  readonly wallClock: WallClock;
  readonly network: Network;
  readonly #random: Random;
  readonly #spec: WorldSpec;
  readonly #habits: Habits;
  readonly #clock: UptimeClock;
  readonly #sensors: Sensors;
  readonly #outbox = new Outbox();
  readonly #exchanges = new Exchanges();
  readonly #agenda = new Agenda();
  readonly #reception: Reception;
  #boots = 0;
  #boot: Boot | null = null;
  #link: Link | null = null;
  #outage = false;
  #asleep = false;
  #lastExchangeAt = 0;

  constructor(index: number, seed: number, spec: WorldSpec, cloud: CloudClock) {
    this.id = `kiosk-${String(index).padStart(4, '0')}`;
    this.#spec = spec;
    this.#random = new Random(seed, index);
    this.#habits = habitsOf(this.#random);
    this.#clock = new UptimeClock(new Crystal(this.#random, spec.wanderPpm));
    this.wallClock = new WallClock(this.#random);
    this.network = new Network(this.#random);
    this.#sensors = new Sensors(this.#random);
    this.#reception = new Reception(this.#agenda, this.#random, cloud, this.#outbox);
    this.#later(this.#random.between(0, 5 * MINUTE), () => this.#powerOn());
    this.#later(this.network.untilNextOutage(), () => this.#outageBegins());
    if (spec.flaw !== null && this.#habits.flawed) this.#later(untilNextFlaw(this.#random), () => this.#flaw());
  }

  /** Lives on until its next line reaches the cloud. */
  next(): WorldLine {
    for (;;) {
      const line = this.#reception.nextLine();
      if (line !== null) return line;
      this.#agenda.step();
    }
  }

  get #now(): number {
    return this.#agenda.now;
  }

  #later(ms: number, action: () => void): void {
    this.#agenda.later(ms, action);
  }

  /** Something that the running agent does: not in another boot, and not before it wakes up. */
  #agentLater(ms: number, action: (boot: Boot) => void): void {
    const boot = this.#boot;
    this.#later(ms, () => {
      if (boot === null || boot !== this.#boot) return;
      if (this.#asleep) this.#agentLater(MINUTE, action);
      else action(boot);
    });
  }

  // Power

  #powerOn(): void {
    this.#boots += 1;
    const id = `${this.id}-${Math.floor(this.#random.unit() * 2 ** 32).toString(16)}`;
    this.#boot = {
      id,
      count: this.#boots,
      nextSeq: 0,
      agentRuns: false,
      broken: this.#spec.wanderPpm > CRYSTALS_WANDER_PPM ? 1 : 0,
    };
    this.#asleep = false;
    this.#clock.boot(this.#now);
    this.wallClock.boot(this.#now);
    const boot = this.#boot;
    this.#later(bootLasts(this.#random), () => boot === this.#boot && this.#powerCut());
    this.#agentLater(this.#habits.startsUpMs * this.#random.between(0.9, 1.1), () => this.#agentStarts());
  }

  #powerCut(): void {
    if (this.#boot === null) return;
    this.#boot = null;
    this.#link = null;
    this.#outbox.powerCut(this.#random.chance(this.#habits.outboxSurvives));
    this.#later(darkFor(this.#random), () => this.#powerOn());
  }

  #agentStarts(): void {
    if (this.#boot !== null) this.#boot.agentRuns = true;
    this.#exchanges.startOver();
    this.#sensors.startOver();
    this.#report(false);
    this.#agentLater(this.#random.between(0.1, 1) * REPORT_EVERY_MS, () => this.#tick());
    this.#agentLater(this.#sensors.untilNextChange(), () => this.#change());
    this.#agentLater(this.#random.logBetween(0.2, 20) * SECOND, () => this.#connect());
  }

  // Reports

  #tick(): void {
    const due = this.#link !== null && this.#now - this.#lastExchangeAt >= EXCHANGE_EVERY_MS;
    const separately = due && this.#random.chance(this.#habits.asksForTime);
    if (separately) this.#askForTime();
    this.#report(due && !separately);
    this.#agentLater(REPORT_EVERY_MS + this.#random.between(-2, 2) * SECOND, () => this.#tick());
  }

  #change(): void {
    this.#sensors.change(this.#now, this.#uptime());
    if (this.#sensors.urgent) this.#agentLater(this.#random.between(0, 300), () => this.#report(false));
    this.#agentLater(this.#sensors.untilNextChange(), () => this.#change());
  }

  /** Takes the state, seals it and hands it over, if there is a connection. */
  #report(asks: boolean): void {
    const boot = this.#boot;
    if (boot === null) return;
    const uptime = this.#uptime();
    const changes = this.#sensors.changes();
    const line: ReportLine = {
      kind: 'report',
      deviceId: this.id,
      boot: { id: boot.id, count: boot.count },
      seq: boot.nextSeq++,
      uptimeMs: Math.floor(uptime),
      wallMs: wallMs(this.wallClock.read(this.#now)),
      receivedAt: wallMs(0),
      exchanges: this.#exchanges.toTell(asks),
      // Uptime that jumps back must not make a change lie in the future: then its age is not known.
      changes: changes.map(({ name, uptime: then }) => ({ name, agoMs: Math.max(0, Math.floor(uptime - then)) })),
    };
    const truth = { at: WORLD_BEGAN_MS + this.#now, changes: changes.map(({ at }) => WORLD_BEGAN_MS + at) };
    const sealed: Sealed = {
      line,
      truth,
      boot,
      asks,
      handedAt: null,
      requestUptimeMs: null,
      answered: false,
      recorded: false,
    };
    this.#exchanges.told(asks, sealed);
    this.#outbox.keep(sealed);
    // Signing takes a while.
    this.#agentLater(this.#random.logBetween(0.5, 25), () => this.#hand(sealed));
  }

  #askForTime(): void {
    const boot = this.#boot;
    if (boot === null) return;
    const line: TimeRequestLine = {
      kind: 'time-request',
      deviceId: this.id,
      boot: { id: boot.id, count: boot.count },
      requestUptimeMs: Math.floor(this.#uptime()),
      receivedAt: wallMs(0),
    };
    this.#hand({
      line,
      truth: null,
      boot,
      asks: true,
      handedAt: null,
      requestUptimeMs: null,
      answered: false,
      recorded: false,
    });
  }

  #uptime(): number {
    return this.#clock.at(this.#now);
  }

  // The connection

  #connect(): void {
    if (this.#outage || this.#link !== null || this.#asleep || this.#boot?.agentRuns !== true) return;
    this.#link = { resend: [] };
    this.wallClock.connected(this.#now);
    if (this.#random.chance(this.#habits.asksForTime)) this.#askForTime();
    this.#report(true);
  }

  #disconnect(): void {
    this.#link = null;
  }

  #outageBegins(): void {
    this.#outage = true;
    const lasts = this.network.outageLasts();
    for (const cut of cutsWithin(this.#random, lasts)) this.#later(cut, () => this.#powerCut());
    // Until the keep-alive notices, messages go into the void.
    const link = this.#link;
    this.#later(this.#random.between(0, 45) * SECOND, () => link === this.#link && this.#disconnect());
    this.#later(lasts, () => this.#outageEnds());
  }

  #outageEnds(): void {
    this.#outage = false;
    this.#disconnect();
    this.#later(this.network.untilNextOutage(), () => this.#outageBegins());
    this.#agentLater(this.#random.logBetween(0.1, 60) * SECOND, () => this.#connect());
  }

  #hand(sealed: Sealed, askAgainMs = ASK_AGAIN_MS): void {
    const link = this.#link;
    if (link === null) return;
    sealed.requestUptimeMs ??= Math.floor(this.#uptime());
    sealed.handedAt = this.#now;
    const handedAt = this.#now;
    const arrivals = this.#outage ? [] : this.network.send('up', handedAt);
    for (const at of arrivals) this.#agenda.at(at, () => this.#reachesCloud(sealed, handedAt, link));
    if (!sealed.asks) return;
    this.#agentLater(askAgainMs, () => {
      if (link === this.#link && !sealed.answered) this.#hand(sealed, 2 * askAgainMs);
    });
  }

  #pump(link: Link): void {
    const sealed = link.resend.shift();
    if (sealed === undefined || link !== this.#link) return;
    this.#hand(sealed);
    if (link.resend.length === 0) this.#report(true);
    else this.#agentLater(RESEND_EVERY_MS, () => this.#pump(link));
  }

  // The cloud, and what it answers

  #reachesCloud(sealed: Sealed, handedAt: number, link: Link): void {
    this.#reception.take(sealed, handedAt, (answer) => {
      for (const at of this.network.send('down', this.#now))
        this.#agenda.at(at, () => this.#answered(sealed, answer, link));
    });
  }

  #answered(sealed: Sealed, { cloud, covered }: Answer, link: Link): void {
    const boot = this.#boot;
    if (boot === null || link !== this.#link || this.#outage || this.#asleep || sealed.answered) return;
    sealed.answered = true;
    if (sealed.line.boot.id === boot.id && sealed.requestUptimeMs !== null) {
      const { requestUptimeMs } = sealed;
      this.#exchanges.add(
        this.#told({ requestUptimeMs, ...cloud, responseUptimeMs: Math.floor(this.#uptime()) }, boot),
      );
      this.#lastExchangeAt = this.#now;
    }
    this.#exchanges.recorded(covered);
    this.#outbox.release(covered);
    if (sealed.handedAt === null || link.resend.length > 0) return;
    link.resend.push(...this.#outbox.missing(sealed.handedAt));
    if (link.resend.length > 0) this.#agentLater(RESEND_EVERY_MS, () => this.#pump(link));
  }

  // What breaks the assumptions

  #told(exchange: Exchange, boot: Boot): Exchange {
    if (this.#spec.flaw !== 'lie' || !this.#habits.flawed || !this.#random.chance(0.1)) return exchange;
    boot.broken += 1;
    return lieAbout(exchange, this.#random);
  }

  #flaw(): void {
    const boot = this.#boot;
    const { flaw } = this.#spec;
    const lasts = boot === null || flaw === null ? 0 : breakUptime(flaw, this.#clock, this.#now, this.#random);
    if (boot !== null && flaw !== 'lie') boot.broken += 1;
    if (boot !== null && flaw === 'suspend') {
      this.#asleep = true;
      this.#disconnect();
    }
    this.#later(lasts, () => {
      if (boot !== null && boot === this.#boot) this.#clock.pace(this.#now, 1);
      this.#asleep = false;
      this.#agentLater(this.#random.between(0.1, 5) * SECOND, () => this.#connect());
      this.#later(untilNextFlaw(this.#random), () => this.#flaw());
    });
  }
}
