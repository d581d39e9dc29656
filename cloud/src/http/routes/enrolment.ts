import Type from 'typebox';
import type { Enrolment } from '../../enrolment/enrolment.ts';
import { HttpError } from '../problem.ts';
import type { Routes } from '../routes.ts';

const JOSE = 'application/jose';

const KEY_LIST = {
  schema: { params: Type.Object({ version: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }) }) },
} as const;

export interface EnrolmentRouteParts {
  readonly enrolment: Pick<Enrolment, 'nonce' | 'request'>;
  /** Lists of keys, sealed by the fleet root: the newest, and one by its version or null. */
  readonly keyList: () => Promise<string>;
  readonly keyListOf: (version: number) => Promise<string | null>;
  /** The certificate of the authority that this server's is issued by, in PEM: for looking at, because whoever asks cannot know yet whom it asks. */
  readonly authorityPem: () => string;
}

/** What a device asks for before it has a certificate. */
export const enrolmentRoutes =
  ({ enrolment, keyList, keyListOf, authorityPem }: EnrolmentRouteParts): Routes =>
  async (app) => {
    // Nothing else is read here, JSON included.
    app.removeAllContentTypeParsers();
    app.addContentTypeParser(JOSE, { parseAs: 'string' }, (_request, body, done) => done(null, body));
    // A nonce needs no body, and many clients say of an empty one what it is not.
    app.addHook('preParsing', async (request, _reply, payload) => {
      if (request.routeOptions.url?.endsWith('/nonces') === true) delete request.headers['content-type'];
      return payload;
    });

    app.post('/nonces', async (request) => enrolment.nonce(request.ip));

    app.post('/requests', async (request, reply) => {
      if (typeof request.body !== 'string') throw new HttpError('media_type_unsupported');
      return reply
        .type(JOSE)
        .serializer(String)
        .send(await enrolment.request(request.body, request.ip));
    });

    app.get('/keys', async (_request, reply) =>
      reply
        .type(JOSE)
        .serializer(String)
        .send(await keyList()),
    );

    app.get('/keys/:version', KEY_LIST, async (request, reply) => {
      const list = await keyListOf(request.params.version);
      if (list === null) throw new HttpError('not_found');
      return reply.type(JOSE).serializer(String).send(list);
    });

    app.get('/ca', async (_request, reply) =>
      reply.type('application/x-pem-file').serializer(String).send(authorityPem()),
    );
  };
