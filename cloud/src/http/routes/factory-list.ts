import Type from 'typebox';
import { listFactoryList, removeListed } from '../../enrolment/factory-list.ts';
import { customerOfImport, importList, type ImportEvent, type ListFormat } from '../../enrolment/list-import.ts';
import { ListFileError } from '../../enrolment/list-lines.ts';
import { EnrolmentError } from '../../enrolment/errors.ts';
import type { Log, Spool, Store } from '../../ports.ts';
import { principalOf } from '../auth.ts';
import { HttpError } from '../problem.ts';
import type { Http, Routes } from '../routes.ts';
import { Cursor, DeviceId, Id, Input, Instant, Limit, Nullable, pageSchema, refusals } from '../schemas.ts';
import { pageBodyOf, pageRequestOf } from './catalogue.ts';
import { Fingerprint } from './pending.ts';

const tags = ['enrolment'];

const Listed = Type.Object({
  fingerprint: Fingerprint,
  serialNumber: Type.String(),
  customerId: Id,
  modelId: Nullable(Id),
  siteId: Nullable(Id),
  name: Nullable(Type.String()),
  addedAt: Instant,
  deviceId: Nullable(DeviceId),
});

const LIST = {
  schema: {
    tags,
    operationId: 'listFactoryList',
    summary: 'Devices that factories said they have made, by fingerprint',
    querystring: Input({
      serialNumber: Type.Optional(Type.String({ maxLength: 64 })),
      limit: Type.Optional(Limit),
      cursor: Type.Optional(Cursor),
    }),
    response: { 200: pageSchema(Listed), ...refusals },
  },
} as const;

const REMOVE = {
  schema: {
    tags,
    operationId: 'removeFromFactoryList',
    summary: 'Take a device off the list; if it is registered, it stays so',
    params: Type.Object({ fingerprint: Fingerprint }),
    response: { 200: Listed, ...refusals },
  },
} as const;

const IMPORT = {
  schema: {
    tags,
    operationId: 'importFactoryList',
    summary: 'Import a list (text/csv with a header row, or JSON); the answer tells, line by line, how it goes',
    description:
      'Columns: serialNumber, and fingerprint or publicKey (a JWK); model, site and name may be there. The answer is ' +
      'application/x-ndjson, and begins while the list comes: objects of kind `reading` until all of it can be read, then ' +
      '`bad` with line and code, `progress`, and one of `done` or `failed` at the end.',
    querystring: Input({ customer: Type.Optional(Id) }),
    response: { 200: Type.Unsafe<ReadableStream<Uint8Array>>(Type.String()), ...refusals },
  },
} as const;

const FORMATS: Readonly<Record<string, ListFormat>> = {
  'text/csv': 'csv',
  'application/json': 'json',
  'application/x-ndjson': 'json',
};

/** Each has a file on the disk and works the database. */
const MOST_IMPORTS = 2;

/** An upload, as Node has it. */
interface Upload {
  iterator(options: { readonly destroyOnReturn: boolean }): AsyncIterable<Uint8Array>;
  /** What was not read is let go, so that the client hears the answer. */
  resume(): unknown;
}

export interface FactoryListParts {
  readonly store: Store;
  readonly log: Log;
  /** Where lists are kept until they came to their end. */
  readonly openSpool: () => Promise<Spool>;
}

/** What factories have made. */
export const factoryListRoutes =
  ({ store, log, openSpool }: FactoryListParts): Routes =>
  async (app) => {
    let imports = 0;
    app.get('/factory-list', LIST, async (request) => {
      const { serialNumber = null, ...page } = request.query;
      return pageBodyOf(await listFactoryList(store, principalOf(request).scope, pageRequestOf(page), serialNumber));
    });

    app.delete('/factory-list/:fingerprint', REMOVE, async (request) => {
      const { scope, actor } = principalOf(request);
      return store.transaction((sql) => removeListed(sql, scope, actor, request.params.fingerprint));
    });

    await app.register(async (files: Http) => {
      // Not JSON to the framework: a list is read item by item.
      files.removeAllContentTypeParsers();
      files.addContentTypeParser(Object.keys(FORMATS), (_request, body, done) => done(null, body));
      files.post('/factory-list/import', IMPORT, async (request, reply) => {
        const { scope, actor } = principalOf(request);
        const format = FORMATS[request.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase() ?? ''];
        if (format === undefined) throw new HttpError('media_type_unsupported');
        const customerId = await customerOfImport(store, { scope, customerId: request.query.customer });
        const upload = request.body as Upload;
        const chunks = upload.iterator({ destroyOnReturn: false });
        const events = importList(store, { scope, actor, customerId, format, chunks }, openSpool);
        return reply.type('application/x-ndjson').send(ReadableStream.from(counted(linesOf(events, log), upload)));
      });
    });

    /** @throws EnrolmentError `imports_too_many` */
    function counted(lines: AsyncGenerator<Uint8Array>, upload: Upload): AsyncGenerator<Uint8Array> {
      if (imports >= MOST_IMPORTS) throw new EnrolmentError('imports_too_many');
      imports += 1;
      return (async function* () {
        try {
          yield* lines;
        } finally {
          imports -= 1;
          upload.resume();
        }
      })();
    }
  };

/** The answer has begun: what goes wrong now is told in its last line. */
async function* linesOf(events: AsyncIterable<ImportEvent>, log: Log): AsyncGenerator<Uint8Array> {
  const lineOf = (event: object): Uint8Array => new TextEncoder().encode(`${JSON.stringify(event)}\n`);
  try {
    for await (const event of events) yield lineOf(event);
  } catch (error) {
    const isOfFile = error instanceof ListFileError;
    if (!isOfFile) log.error({ err: error }, 'The import of a factory list failed');
    yield lineOf({
      kind: 'failed',
      code: isOfFile ? error.code : 'internal',
      detail: isOfFile ? error.message : 'The service failed; its log says more',
    });
  }
}
