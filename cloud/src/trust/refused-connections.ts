import {
  CONNECTION_REFUSALS,
  type Audit,
  type AuditEntry,
  type BrokerClient,
  type ConnectionRefusal,
  type Log,
  type Metrics,
  type TopicAction,
} from '../ports.ts';

/**
 * What a broker refused: connections are counted, and all of it is written to the audit log, which samples a flood. Who it
 * was is what a certificate of ours proved; otherwise the device is the one that was told.
 */
export class RefusedConnections {
  readonly #parts: { readonly metrics: Metrics; readonly audit: Audit; readonly log: Log };
  readonly #server: 'broker' | 'enrolment';

  /** @param server whose connections they are */
  constructor(
    parts: { readonly metrics: Metrics; readonly audit: Audit; readonly log: Log },
    server: 'broker' | 'enrolment',
  ) {
    this.#parts = parts;
    this.#server = server;
  }

  refused(code: ConnectionRefusal, client: BrokerClient): void {
    const { metrics, log } = this.#parts;
    metrics.count('paddock_connections_refused_total', { code });
    const server = this.#server;
    log.debug({ code, ...client, server }, CONNECTION_REFUSALS[code]);
    const { clientId, deviceId } = client;
    const isAnother = clientId !== null && deviceId !== null && clientId !== deviceId;
    const detail = { server, ...(isAnother && { clientId }) };
    this.#write(client, { action: 'connect', code, detail });
  }

  /** It wanted a topic that is not its own. */
  foreign(client: BrokerClient, topic: string | null, action: TopicAction): void {
    this.#write(client, { action, code: 'topic_foreign', ...(topic !== null && { detail: { topic } }) });
  }

  /** It sent more than any message may hold. */
  oversized(client: BrokerClient): void {
    this.#write(client, { action: 'publish', code: 'envelope_too_large' });
  }

  #write({ clientId, deviceId, address }: BrokerClient, what: Pick<AuditEntry, 'action' | 'code' | 'detail'>): void {
    const told = deviceId ?? clientId;
    void this.#parts.audit.add({
      actor: deviceId === null ? 'unknown' : `device:${deviceId}`,
      result: 'refused',
      ...(told !== null && { deviceId: told }),
      ...(address !== null && { address }),
      ...what,
    });
  }
}
