/** What systemd says of a unit, in its own words (systemctl(1), org.freedesktop.systemd1(5)). */
export interface UnitFacts {
  readonly name: string;
  /** loaded, not-found, masked, bad-setting, error. */
  readonly load: string;
  /** enabled, disabled, masked, static, ...; empty where there is no file. */
  readonly file: string;
  /** active, activating, inactive, failed, ... */
  readonly active: string;
  readonly sub: string;
  /** How its last run ended: success, exit-code, signal, watchdog, oom-kill, ... */
  readonly result: string;
  readonly exitStatus: string;
  /** How often systemd started it again by itself. */
  readonly restarts: number;
  /** Null while it is not. */
  readonly activeForMs: number | null;
  /** Whether what it waits for was there when it was last to be started. */
  readonly isConditionMet: boolean;
  readonly dropIns: readonly string[];
  /** Settings by name, a line each where one is there several times. */
  readonly settings: Readonly<Record<string, string>>;
}

/** A file of /dev. */
export interface DeviceFacts {
  readonly path: string;
  readonly uid: number;
  readonly gid: number;
  /** By name, or by number where it has none. */
  readonly group: string;
  /** The permissions alone. */
  readonly mode: number;
  /** `major:minor` */
  readonly number: string;
  /** What the kernel calls devices of this major number: `ttyUSB`, `gpiochip`. */
  readonly classes: readonly string[];
}

/** Who the service runs as. */
export interface ServiceUser {
  readonly name: string;
  readonly uid: number;
  /** With those that the unit adds. */
  readonly gids: readonly number[];
}

/** Who looks after the machine. */
export interface MachineCare {
  readonly watchdog: {
    readonly devices: readonly string[];
    /** Whether somebody has started the first of them. */
    readonly isRunning: boolean;
    /** RuntimeWatchdogUSec of systemd; null where it does not say. */
    readonly runtime: string | null;
  };
  readonly clock: {
    /** Services that synchronise the clock, and run. */
    readonly keepers: readonly string[];
    readonly isSynchronised: boolean;
    readonly hasRtc: boolean;
  };
  readonly journal: {
    readonly place: 'disk' | 'memory' | 'nowhere';
    /** As journald.conf has it; null: journald's own. */
    readonly limit: string | null;
  };
  /** What keeps the kernel's last words; null: nothing. */
  readonly pstore: string | null;
}

/** What systemd knows of the agent and its machine. */
export interface Overseen {
  /** Null: it did not answer. */
  readonly agent: UnitFacts | null;
  readonly launcher: UnitFacts | null;
  /** Null where the unit, or its user, is not there. */
  readonly user: ServiceUser | null;
  /** Who asks. */
  readonly self: { readonly name: string; readonly uid: number };
  readonly devices: readonly DeviceFacts[];
  /** Ids of the groups that were asked for, as far as they are there. */
  readonly groups: ReadonlyMap<string, number>;
  readonly care: MachineCare;
}

export interface Overseer {
  /**
   * Asks for everything, each question within seconds. Never rejects: what is not answered is not there.
   * @param devices paths, and names of GPIO chips
   * @param groups by name or number
   * @returns null where systemd does not run this machine
   */
  look(devices: readonly string[], groups: readonly string[]): Promise<Overseen | null>;
}
