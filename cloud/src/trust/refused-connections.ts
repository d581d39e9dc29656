import { CONNECTION_REFUSALS, type Audit, type ConnectionRefusal, type Log, type Metrics } from '../ports.ts';

/**
 * Connections that were refused: all are counted, and written to the audit log, which samples a flood. `deviceId` is what
 * a certificate of ours proved.
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

  refused(code: ConnectionRefusal, deviceId: string | null, address: string | null): void {
    const { metrics, audit, log } = this.#parts;
    metrics.count('paddock_connections_refused_total', { code });
    const server = this.#server;
    log.debug({ code, deviceId, address, server }, CONNECTION_REFUSALS[code]);
    const who = deviceId === null ? { actor: 'unknown' } : { actor: `device:${deviceId}`, deviceId };
    const where = { ...(address !== null && { address }), detail: { server } };
    void audit.add({ ...who, action: 'connect', result: 'refused', code, ...where });
  }

  /** It published, or left a will, on a topic that is not its own. */
  foreign(clientId: string): void {
    const entry = {
      actor: 'unknown',
      action: 'publish',
      result: 'refused',
      code: 'topic_foreign',
      deviceId: clientId,
    } as const;
    void this.#parts.audit.add(entry);
  }
}
