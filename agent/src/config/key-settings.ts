import type { Static } from 'typebox';
import * as Type from 'typebox';

const strict = { additionalProperties: false };
const exactlyOne = (a: unknown, b: unknown): boolean => (a === undefined) !== (b === undefined);

const TokenFields = Type.Object(
  {
    /** The library that speaks PKCS#11 for the token; it runs within the agent. */
    module: Type.String({ pattern: '^/', expects: 'must be the absolute path of a PKCS#11 library' }),
    /** The label of the token, or else the number of its slot. */
    token: Type.Optional(
      Type.String({ minLength: 1, maxLength: 32, expects: 'must be the label of a token, 1 to 32 characters' }),
    ),
    slot: Type.Optional(Type.Integer({ minimum: 0, expects: 'must be the number of a slot' })),
    /** The label of the key, or else its id. */
    label: Type.Optional(Type.String({ minLength: 1, maxLength: 128, expects: 'must be the label of a key' })),
    id: Type.Optional(
      Type.String({ pattern: '^([0-9a-fA-F]{2}){1,32}$', expects: 'must be the id of a key, in hex and in quotes' }),
    ),
    /** Relative to `dataDir`. */
    pinFile: Type.String({ minLength: 1 }),
    /** What `paddock-agent init` makes where there is none. */
    kind: Type.Enum(['P-256', 'Ed25519'], { default: 'P-256' }),
  },
  strict,
);
type TokenFields = Static<typeof TokenFields>;

const NamedToken = Type.Refine(
  TokenFields,
  ({ token, slot }) => exactlyOne(token, slot),
  () => 'must hold either token or slot',
);

/** A key on a token, as the section `key.pkcs11` describes it. */
export const TokenKeySchema = Type.Refine(
  NamedToken,
  ({ label, id }) => exactlyOne(label, id),
  () => 'must hold either label or id',
);

/** The section `key`: a file, or a token. */
export const KeySchema = Type.Refine(
  Type.Object(
    {
      /** Relative to `dataDir`. */
      file: Type.Optional(Type.String({ minLength: 1 })),
      pkcs11: Type.Optional(TokenKeySchema),
    },
    { ...strict, default: {} },
  ),
  ({ file, pkcs11 }) => file === undefined || pkcs11 === undefined,
  () => 'must hold either file or pkcs11',
);

export const KEY_FILE = 'identity.key.pem';

/** Where the identity key lives; every path is absolute. */
export type KeyConfig =
  | { readonly file: string; readonly pkcs11?: undefined }
  | { readonly pkcs11: TokenFields; readonly file?: undefined };

/** @param absolute makes a path absolute that is relative to `dataDir` */
export function keyConfig({ file, pkcs11 }: Static<typeof KeySchema>, absolute: (path: string) => string): KeyConfig {
  if (pkcs11 === undefined) return { file: absolute(file ?? KEY_FILE) };
  return { pkcs11: { ...pkcs11, pinFile: absolute(pkcs11.pinFile) } };
}
