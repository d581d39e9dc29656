import type { FastifyServerOptions } from 'fastify';
import type { Audit, Clock, Log } from '../ports.ts';
import type { RepositoryFiles } from '../ports-firmware.ts';
import { framework } from './framework.ts';
import { enrolmentRoutes, type EnrolmentRouteParts } from './routes/enrolment.ts';
import { firmwareFileRoutes } from './routes/firmware-files.ts';

export interface EnrolParts extends EnrolmentRouteParts {
  readonly audit: Audit;
  readonly clock: Clock;
  readonly log: Log;
  /** The repository of firmware, for everybody. */
  readonly firmwareFiles: Pick<RepositoryFiles, 'open'>;
  /** Brings the TLS. */
  readonly serverFactory: NonNullable<FastifyServerOptions['serverFactory']>;
}

export interface EnrolApp {
  /** @returns the address that it listens on */
  listen(address: { host: string; port: number }): Promise<string>;
  close(): Promise<void>;
}

/** The server that devices come to before they have a certificate. Nothing is running before listen(). */
export async function createEnrolApp(parts: EnrolParts): Promise<EnrolApp> {
  const app = framework(parts);
  await app.register(enrolmentRoutes(parts), { prefix: '/enrol/v1' });
  await app.register(firmwareFileRoutes(parts.firmwareFiles), { prefix: '/firmware' });
  await app.ready();
  return {
    async listen(address) {
      const url = await app.listen(address);
      app.server.on('error', (error) => parts.log.warn({ err: error }, 'A connection could not be accepted'));
      return url.replace(/^http:/, 'https:');
    },
    async close() {
      const closed = app.close();
      app.server.closeAllConnections();
      await closed;
    },
  };
}
