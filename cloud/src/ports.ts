import type { Envelope } from '@paddock/shared/envelope.ts';
import type { RefusalCode } from '@paddock/shared/errors.ts';
import type { VerificationKey } from '@paddock/shared/keys.ts';
import type { WallMs } from '@paddock/shared/time.ts';

/** The only way to know the time or to wait. No feature reads `Date` or sets a timer itself. */
export interface Clock {
  wall(): WallMs;
  /** Milliseconds that never go back; only differences mean anything. */
  monotonic(): number;
  /** Resolves after `ms`, or at once when the signal aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** What a kernel says of its clock's error, when something keeps it synchronized. */
export interface KernelEstimate {
  /** The clock is wrong by no more than this. */
  readonly maxErrorMs: number;
  /** By how much it probably is; 0 when whoever synchronizes the clock never said. */
  readonly estimatedErrorMs: number;
}

export interface KernelClock {
  /** Null when nothing synchronizes the clock, or when the kernel cannot be asked. */
  estimate(): KernelEstimate | null;
}

/** How wrong the cloud's clocks could be when they stamped this, in ms. */
export type ErrorAt = (stamp: WallMs) => number;

export interface Sql {
  /** Rows as objects; int8 as number, timestamptz as Date, jsonb parsed. */
  query<Row extends object = Record<string, unknown>>(text: string, values?: readonly unknown[]): Promise<Row[]>;
}

/** PostgreSQL 15 or newer. */
export interface Store extends Sql {
  /**
   * Commits when `work` resolves, rolls back when it rejects. Its queries run one after the other in the order in which
   * they were made; those that are not awaited in between travel together.
   */
  transaction<T>(work: (sql: Sql) => Promise<T>): Promise<T>;
  /**
   * Hears NOTIFY of every instance; reconnects by itself.
   * @param missed called when the connection was made anew: anything may have been notified meanwhile
   * @returns a function that stops listening
   */
  listen(channel: string, handler: (payload: string) => void, missed?: () => void): Promise<() => Promise<void>>;
  close(): Promise<void>;
}

/** A place on the disk for what is too long for memory: written once, then read, gone when it is closed or we die. */
export interface Spool {
  write(chunk: Uint8Array): Promise<void>;
  /** From the beginning. */
  read(): AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

/** One connection to PostgreSQL that streams whole tables (COPY, text format), as fast as the other side takes them. */
export interface Bulk extends Sql {
  /** `COPY ... TO STDOUT`. To be read to its end; a failure of the statement ends it. */
  copyOut(statement: string): AsyncIterable<Uint8Array>;
  /** `COPY ... FROM STDIN`. @returns the count of rows */
  copyIn(statement: string, data: AsyncIterable<Uint8Array>): Promise<number>;
  close(): Promise<void>;
}

/** Whose connection brought something, as far as a broker tells. */
export interface Origin {
  /** The device that a certificate of our authority proves; null when nothing does. */
  readonly deviceId: string | null;
  /** An IP address. */
  readonly address: string | null;
}

/** A message as it came from the broker, stamped before anything else is done with it. */
export interface Inbound {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly receivedAt: WallMs;
  /** Missing from a broker that does not tell. */
  readonly origin?: Origin;
}

/** What a TLS server shows: private key and certificates in PEM, its own first, its issuer behind it. */
export interface TlsIdentity {
  readonly key: string;
  readonly cert: string;
}

/** Why a connection was refused or closed. */
export const CONNECTION_REFUSALS = {
  tls_failed: 'What came is no TLS handshake that this server takes: no TLS at all, or below 1.2',
  tls_timeout: 'The handshake took too long',
  request_timeout: 'A request to the enrolment server did not come in time',
  address_too_many: 'The address has as many connections as it may have',
  address_too_fast: 'The address begins connections faster than it may',
  certificate_missing: 'A client without a certificate, or a device that has one and comes without TLS',
  certificate_untrusted: 'The certificate is not of our authority',
  certificate_expired: 'The certificate has expired',
  certificate_not_yet_valid: 'The certificate is not valid yet',
  certificate_unfit: 'The certificate is not one of a device, or not for clients',
  certificate_revoked: 'The certificate was taken back',
  client_id_invalid: 'The MQTT client id is no device id',
  client_id_mismatch: 'The MQTT client id is another one than the certificate names',
  connect_timeout: 'The client did not say who it is in time',
  connections_too_many: 'There are as many connections as there may be',
  handshakes_too_many: 'Too many handshakes were under way: the oldest one is given up',
  device_too_many: 'Too many connections of the device have not said who they are',
  device_unknown: 'The device is not registered',
  device_retired: 'The device is retired',
  admission_unavailable: 'Whether the device may connect cannot be read now',
  mqtt_invalid: 'What came is no MQTT 3.1.1, or breaks its rules',
  packet_too_slow: 'A packet was begun and did not come to its end in time',
  reader_too_slow: 'The client does not read what it is sent',
} as const satisfies Record<string, string>;
export type ConnectionRefusal = keyof typeof CONNECTION_REFUSALS;

/** Bounds what one address may take of a server before anybody knows who it is. */
export interface AddressGate {
  /** @returns why not, or null; who is let in is to `leave` */
  enter(address: string | undefined): Extract<ConnectionRefusal, 'address_too_many' | 'address_too_fast'> | null;
  leave(address: string | undefined): void;
}

/** A connection of somebody who says to be a device. */
export interface DeviceConnection {
  readonly deviceId: string;
  /** The client certificate that proves it; null for a plain connection, which proves nothing. */
  readonly certificate: { readonly serial: string; readonly notAfter: WallMs } | null;
  /** Closes it, because it is no longer good. */
  close(code: ConnectionRefusal): void;
}

/** Who may be connected, asked once at the beginning; later it closes what is no longer good. */
export interface Admission {
  /** Never rejects. @returns why not, or null; then it is watched until it is gone */
  admit(connection: DeviceConnection): Promise<ConnectionRefusal | null>;
  /** It is closed. */
  gone(connection: DeviceConnection): void;
}

/** Somebody who is, or wants to be, connected. */
export interface BrokerClient extends Origin {
  /** As it was told, and no more; null before. */
  readonly clientId: string | null;
}

/** What a client does with a topic. */
export type TopicAction = 'publish' | 'subscribe' | 'leaveWill';

export interface BrokerEvents {
  /** The broker acknowledges when this resolves; it never rejects. Held back only as back-pressure. */
  message(inbound: Inbound): Promise<void>;
  /**
   * A client wanted a topic that is not its own: it was not given, and who did not only subscribe is closed.
   * @param topic null when the broker does not say which
   */
  foreign(client: BrokerClient, topic: string | null, action: TopicAction): void;
  /** A client sent more than any message may hold; the broker closed its connection. */
  oversized(client: BrokerClient): void;
  /** A connection was refused, or closed because it is no longer good. */
  refusedConnection(code: ConnectionRefusal, client: BrokerClient): void;
  /** Whether devices can reach us through the broker, as far as this side can tell. */
  reachable(reachable: boolean): void;
}

/** MQTT 3.1.1 on the cloud's side: embedded, or a client of another broker. */
export interface Broker {
  open(events: BrokerEvents): Promise<void>;
  publish(topic: string, payload: string, options?: { retain?: boolean }): Promise<void>;
  close(): Promise<void>;
}

/** A payload whose signature fits: its JSON, or why that cannot be had. */
export type SignedPayload =
  | { readonly json: Uint8Array }
  | { readonly code: Extract<RefusalCode, 'payload_too_large' | 'payload_malformed'> };

/** Opens envelopes: verifies, then inflates, in this order. */
export interface Opener {
  /**
   * With the envelope's algorithm, which the caller has pinned to the key. Rejects for failures of our own only.
   * @returns null when the signature does not fit
   */
  open(envelope: Envelope, key: VerificationKey): Promise<SignedPayload | null>;
}

/** One thing that somebody did, or was refused, for the audit log. Texts are bounded and cleaned by who keeps them. */
export interface AuditEntry {
  /**
   * Who: `token:<id>`, `device:<id>`, `factory:<id of the batch>`, `terminal:<user>` (a command that works without the
   * API), `service`, or `unknown` for somebody who did not prove who it is.
   */
  readonly actor: string;
  /** What, in camelCase: the operationId of the HTTP API, or a word of its own such as `enrol`, `connect`. */
  readonly action: string;
  readonly result: 'done' | 'refused' | 'failed';
  /** Why it was refused or failed: a stable code. */
  readonly code?: string | undefined;
  /** As it was told: with the actor `unknown` nobody has proved it. */
  readonly deviceId?: string | undefined;
  /** By default the customer of the device. */
  readonly customerId?: string | undefined;
  /** Where from: an IP address. */
  readonly address?: string | undefined;
  readonly requestId?: string | undefined;
  /** What else is worth knowing; never a secret. */
  readonly detail?: Readonly<Record<string, string | number | boolean | null>> | undefined;
}

/** The audit log, as those write it who do things. */
export interface Audit {
  /**
   * Never rejects, and never keeps anybody waiting who does not want to: resolves when the entry is written, or counted
   * in place of being written (a flood of refusals is sampled), or given up because the database is away for long.
   * To be called after the transaction of what was done.
   */
  add(entry: AuditEntry): Promise<void>;
}

/** Counters, gauges and durations for Prometheus; never labelled by device. */
export interface Metrics {
  count(name: MetricName, labels?: Readonly<Record<string, string>>, by?: number): void;
  gauge(name: MetricName, value: number, labels?: Readonly<Record<string, string>>): void;
  /** A duration, in seconds as Prometheus wants it. */
  observe(name: MetricName, seconds: number): void;
}

/** One row a metric: what it is, what it says, and the labels it may carry. */
export const METRICS = {
  paddock_reports_recorded_total: { type: 'counter', help: 'Reports recorded in the archive', labels: [] },
  paddock_reports_repeated_total: { type: 'counter', help: 'Reports that were recorded before', labels: [] },
  paddock_reports_rejected_total: { type: 'counter', help: 'Messages refused, by code', labels: ['code'] },
  paddock_reports_dropped_total: {
    type: 'counter',
    help: 'Messages let go because the queue was full; their devices send them again',
    labels: [],
  },
  paddock_connections_refused_total: {
    type: 'counter',
    help: 'Connections that the embedded broker or the enrolment server refused or closed, by code',
    labels: ['code'],
  },
  paddock_authority_not_after_seconds: {
    type: 'gauge',
    help: 'When the authority that issues certificates ends, in seconds since 1970',
    labels: [],
  },
  paddock_answers_sent_total: { type: 'counter', help: 'Signed answers sent to devices', labels: [] },
  paddock_desired_published_total: {
    type: 'counter',
    help: 'Messages with desired state handed to the broker',
    labels: [],
  },
  paddock_inventories_total: {
    type: 'counter',
    help: 'Inventories of devices, by what became of them',
    labels: ['outcome'],
  },
  paddock_crashes_total: {
    type: 'counter',
    help: 'Crash reports of devices, by what became of them',
    labels: ['outcome'],
  },
  paddock_ingest_waiting: { type: 'gauge', help: 'Messages received and not yet recorded', labels: [] },
  paddock_ingest_commit_seconds: { type: 'histogram', help: 'Time from arrival to commit, by report', labels: [] },
  paddock_ingest_failures_total: {
    type: 'counter',
    help: 'Batches that the database refused and that were tried again',
    labels: [],
  },
  paddock_clock_faults_total: {
    type: 'counter',
    help: 'What was found wrong with clocks of devices, by code',
    labels: ['code'],
  },
  paddock_devices: { type: 'gauge', help: 'Devices, by presence', labels: ['presence'] },
  paddock_instances: { type: 'gauge', help: 'Instances of the service on this database', labels: [] },
  paddock_jobs_total: {
    type: 'counter',
    help: 'Turns of the jobs that run once in the fleet of instances, by job and outcome',
    labels: ['job', 'outcome'],
  },
  paddock_clock_error_seconds: { type: 'gauge', help: "How wrong this instance's clock can be", labels: [] },
  paddock_clock_synchronized: {
    type: 'gauge',
    help: 'Whether that comes from the kernel (1) or from the configured bound (0)',
    labels: [],
  },
  paddock_clock_disagrees: {
    type: 'gauge',
    help: "Whether this instance's clock contradicts the others' (1) or not (0)",
    labels: [],
  },
  paddock_clock_steps_total: {
    type: 'counter',
    help: "How often this instance's clock was set by more than it claimed to be wrong",
    labels: [],
  },
  paddock_firmware_not_after_seconds: {
    type: 'gauge',
    help: 'When published metadata of firmware expire, by role, in seconds since 1970',
    labels: ['role'],
  },
  paddock_assignment_devices_total: {
    type: 'counter',
    help: 'How often a device came into a state of an assignment, by state',
    labels: ['state'],
  },
  paddock_webhook_deliveries_total: { type: 'counter', help: 'Webhook deliveries, by outcome', labels: ['outcome'] },
} as const satisfies Record<
  string,
  { type: 'counter' | 'gauge' | 'histogram'; help: string; labels: readonly string[] }
>;

export type MetricName = keyof typeof METRICS;

/** Structured log lines; pino fits. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Why AWS IoT did not do what it was asked. Callers switch on codes. */
export const AWS_IOT_ERRORS = {
  aws_exists: 'It is there already, and otherwise',
  aws_missing: 'There is no such thing',
  aws_conflict: 'It cannot be done while something else is as it is',
  aws_throttled: 'Too much was asked at once',
  aws_limit: 'A quota of the account is used up',
  aws_denied: 'The credentials are missing, or do not allow it',
  aws_refused: 'The request is not valid there',
  aws_unreachable: 'No answer, or an error of its own',
} as const satisfies Record<string, string>;

export type AwsIotErrorCode = keyof typeof AWS_IOT_ERRORS;

export class AwsIotError extends Error {
  override readonly name = 'AwsIotError';
  readonly code: AwsIotErrorCode;
  constructor(code: AwsIotErrorCode, detail: string, options?: ErrorOptions) {
    super(`${AWS_IOT_ERRORS[code]}: ${detail}`, options);
    this.code = code;
  }
}

export interface AwsCertificate {
  readonly id: string;
  readonly arn: string;
  readonly pem: string;
}

/**
 * The calls of AWS IoT Core's control plane that are needed, one method a call; each is bounded in time. All reject with
 * AwsIotError. Only `createCertificate` makes another one when it is repeated: it is never repeated behind our back.
 */
export interface AwsIot {
  /** Host name that devices connect to (`iot:Data-ATS`). */
  endpoint(): Promise<string>;
  /** @returns the group's ARN */
  createGroup(name: string): Promise<string>;
  describeGroup(name: string): Promise<string>;
  /** @returns the document that is in force */
  readPolicy(name: string): Promise<string>;
  createPolicy(name: string, document: string): Promise<void>;
  policyVersions(name: string): Promise<{ id: string; isDefault: boolean }[]>;
  /** In force from now on. */
  addPolicyVersion(name: string, document: string): Promise<void>;
  deletePolicyVersion(name: string, id: string): Promise<void>;
  createThing(name: string, attributes: Readonly<Record<string, string>>): Promise<void>;
  /** All attributes, in place of those that it had. */
  updateThing(name: string, attributes: Readonly<Record<string, string>>): Promise<void>;
  addToGroup(thing: string, group: string): Promise<void>;
  /** ARNs of what is attached to it. */
  principalsOf(thing: string): Promise<string[]>;
  deleteThing(name: string): Promise<void>;
  /** Inactive. */
  createCertificate(csrPem: string): Promise<AwsCertificate>;
  describeCertificate(id: string): Promise<AwsCertificate & { isActive: boolean }>;
  /** A page of all certificates of the account, newest first. @param marker where the page before ended */
  certificates(marker?: string): Promise<{
    items: { id: string; isActive: boolean; createdAt: WallMs }[];
    marker: string | undefined;
  }>;
  attachPolicy(policy: string, certificateArn: string): Promise<void>;
  detachPolicy(policy: string, certificateArn: string): Promise<void>;
  attachThing(thing: string, certificateArn: string): Promise<void>;
  /** Done some seconds later. */
  detachThing(thing: string, certificateArn: string): Promise<void>;
  setActive(certificateId: string, active: boolean): Promise<void>;
  /** Must be inactive and no thing's. */
  deleteCertificate(id: string): Promise<void>;
}
