import Type from 'typebox';
import { BundleError } from '@paddock/shared/bundle-error.ts';
import { BundleName, ReleaseCounter } from '@paddock/shared/manifest.ts';
import type { Firmware } from '../../firmware/firmware.ts';
import type { UploadEvent } from '../../firmware/upload.ts';
import type { Log } from '../../ports.ts';
import { formatMetadata, Key, parseRoot, parseTargets, type Metadata, type RoleName } from '../../tuf/formats.ts';
import { RepositoryError } from '../../tuf/repository-error.ts';
import { sha256Of } from '../../tuf/targets.ts';
import { principalOf } from '../auth.ts';
import { HttpError } from '../problem.ts';
import type { Http, Routes } from '../routes.ts';
import { Input, Nullable, refusals } from '../schemas.ts';

const tags = ['firmware'];

/** As much as devices take of targets; of many roots at once more than anybody has. */
const MOST_METADATA = 5_242_880;
const Text = Type.String({ maxLength: MOST_METADATA, description: 'Metadata of The Update Framework, as a file' });

const Standing = Type.Object({
  version: Type.Integer(),
  expires: Type.String({ description: 'RFC 3339 in UTC, without fractions' }),
  sha256: Type.String({ description: 'Of the file' }),
});
const OnlineKeysView = Type.Object({ snapshot: Key, timestamp: Key });
const FirmwareView = Type.Object({
  roots: Type.Array(Text, { description: 'All roots, oldest first' }),
  targets: Nullable(Text),
  standing: Type.Object({
    root: Nullable(Standing),
    targets: Nullable(Standing),
    snapshot: Nullable(Standing),
    timestamp: Nullable(Standing),
  }),
  onlineKeys: Type.Object(OnlineKeysView.properties, {
    description: "The public parts of the service's newest keys: what the next root should name",
  }),
});

const GET_FIRMWARE = {
  schema: {
    tags,
    operationId: 'getFirmware',
    summary: 'The repository of firmware: roots, targets, what is published until when, and online keys',
    response: { 200: FirmwareView, ...refusals },
  },
} as const;

const ADD_ONLINE_KEYS = {
  schema: {
    tags,
    operationId: 'addFirmwareOnlineKeys',
    summary: 'Make new keys of snapshot and timestamp, for the next root to name',
    response: { 201: OnlineKeysView, ...refusals },
  },
} as const;

const Withdraw = Type.Array(
  Type.Object({ name: BundleName, counter: ReleaseCounter }, { additionalProperties: false }),
  {
    maxItems: 1000,
    description:
      'The published releases that are not in the targets any more; left out without being named here, none is',
  },
);

const INSTALL_ROOTS = {
  bodyLimit: 2 * MOST_METADATA,
  schema: {
    tags,
    operationId: 'installFirmwareRoots',
    summary: 'Install roots that follow, each signed by a threshold of the one before',
    body: Input({
      roots: Type.Array(Text, { minItems: 1, maxItems: 64 }),
      targets: Type.Optional(Text),
      withdraw: Type.Optional(Withdraw),
    }),
    response: { 201: Standing, ...refusals },
  },
} as const;

const Named = Type.Object({ name: Type.String(), version: Type.String(), counter: Type.Integer() });

const PUBLISH = {
  bodyLimit: 2 * MOST_METADATA,
  schema: {
    tags,
    operationId: 'publishFirmware',
    summary:
      'Publish targets that people signed: what is new in them is released, what is gone, and named, is withdrawn',
    body: Input({ targets: Text, withdraw: Type.Optional(Withdraw) }),
    response: {
      201: Type.Object({ version: Type.Integer(), released: Type.Array(Named), withdrawn: Type.Array(Named) }),
      ...refusals,
    },
  },
} as const;

const UPLOAD = {
  schema: {
    tags,
    operationId: 'uploadBundle',
    summary: 'Upload a bundle; the answer tells, line by line, how it goes',
    description:
      'The answer is application/x-ndjson: objects of kind `received`, `checked`, `packed` (once for each pack), and one ' +
      'of `done` or `failed` (with code) at the end. Devices find nothing of it before targets that name it are published.',
    response: { 200: Type.Unsafe<ReadableStream<Uint8Array>>(Type.String()), ...refusals },
  },
} as const;

export interface FirmwareRouteParts {
  readonly firmware: Firmware;
  readonly log: Log;
}

/** An upload, as Node has it. */
interface Upload {
  iterator(options: { readonly destroyOnReturn: boolean }): AsyncIterable<Uint8Array>;
  /** What was not read is let go, so that the client hears the answer. */
  resume(): unknown;
}

/** The operator's side of firmware. It is for tokens that reach every customer: a release is for all of them. */
export const firmwareRoutes =
  ({ firmware, log }: FirmwareRouteParts): Routes =>
  async (app) => {
    app.addHook('preHandler', async (request) => {
      if (principalOf(request).scope.customerId !== null) throw new HttpError('scope_forbidden');
    });

    app.get('/firmware', GET_FIRMWARE, async () => {
      const { roots, onlineKeys, ...state } = await firmware.state();
      return {
        roots: roots.map(formatMetadata),
        targets: state.targets && formatMetadata(state.targets),
        standing: {
          root: state.root && standingOf(state.root),
          targets: state.targets && standingOf(state.targets),
          snapshot: state.snapshot && standingOf(state.snapshot),
          timestamp: state.timestamp && standingOf(state.timestamp),
        },
        onlineKeys,
      };
    });

    app.post('/firmware/online-keys', ADD_ONLINE_KEYS, async (_request, reply) =>
      reply.code(201).send(await firmware.addOnlineKeys()),
    );

    app.post('/firmware/roots', INSTALL_ROOTS, async (request, reply) => {
      const { roots, targets, withdraw = [] } = request.body;
      const root = await firmware.installRoots(principalOf(request).actor, {
        roots: roots.map(parseRoot),
        targets: targets === undefined ? null : { targets: parseTargets(targets), withdraw },
      });
      return reply.code(201).send(standingOf(root));
    });

    app.post('/firmware/targets', PUBLISH, async (request, reply) => {
      const targets = parseTargets(request.body.targets);
      const { withdraw = [] } = request.body;
      const { added, withdrawn } = await firmware.publish(principalOf(request).actor, { targets, withdraw });
      const named = (files: typeof added) =>
        files.map(({ custom: { name, version, counter } }) => ({ name, version, counter }));
      const { version } = targets.signed;
      return reply.code(201).send({ version, released: named(added), withdrawn: named(withdrawn) });
    });

    await app.register(async (bundles: Http) => {
      bundles.removeAllContentTypeParsers();
      bundles.addContentTypeParser('application/octet-stream', (_request, body, done) => done(null, body));
      bundles.post('/firmware/bundles', UPLOAD, async (request, reply) => {
        if (request.body === undefined || request.body === null) throw new HttpError('media_type_unsupported');
        const upload = request.body as Upload;
        const events = firmware.upload(principalOf(request).actor, upload.iterator({ destroyOnReturn: false }));
        return reply.type('application/x-ndjson').send(ReadableStream.from(linesOf(events, upload, log)));
      });
    });
  };

function standingOf(metadata: Metadata<RoleName>) {
  const { version, expires } = metadata.signed;
  return { version, expires, sha256: sha256Of(formatMetadata(metadata)) };
}

/** The answer has begun: what goes wrong now is told in its last line. */
async function* linesOf(events: AsyncIterable<UploadEvent>, upload: Upload, log: Log): AsyncGenerator<Uint8Array> {
  const lineOf = (event: object): Uint8Array => new TextEncoder().encode(`${JSON.stringify(event)}\n`);
  try {
    for await (const event of events) yield lineOf(event);
  } catch (error) {
    const isRefusal = error instanceof BundleError || error instanceof RepositoryError;
    if (!isRefusal) log.error({ err: error }, 'A bundle could not be taken in');
    yield lineOf({
      kind: 'failed',
      code: isRefusal ? error.code : 'internal',
      detail: isRefusal ? error.message : 'The service failed; its log says more',
    });
  } finally {
    upload.resume();
  }
}
