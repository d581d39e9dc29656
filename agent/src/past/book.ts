import { sha256Base64url } from '@paddock/shared/base64url.ts';
import { CrashId } from '@paddock/shared/began.ts';
import { Crash, MAX_CRASHES } from '@paddock/shared/crash.ts';
import type { Static } from 'typebox';
import * as Type from 'typebox';
import { Compile } from 'typebox/schema';

/** What is told of crashes until the cloud has it, and which panics were told: one file, replaced whole. */
export const CRASHES_FILE = 'crashes.json';

/** A report that the cloud never takes must not be sent for ever. */
const MOST_TRIES = 20;
/** Panics that cannot be taken away, because the machine or another program keeps them. */
const MOST_TOLD = 32;

const Waiting = Type.Object({
  /** Without the device: before it has enrolled, it has no id. */
  crash: Type.Omit(Crash, ['device']),
  tries: Type.Integer({ minimum: 0 }),
  /** Files of panics that are taken away when the cloud has the report. */
  panics: Type.Array(Type.String({ maxLength: 512 }), { maxItems: 32 }),
});
export type WaitingCrash = Static<typeof Waiting>;

const Book = Type.Object({
  waiting: Type.Array(Waiting, { maxItems: MAX_CRASHES }),
  told: Type.Array(CrashId, { maxItems: MOST_TOLD }),
});
/** Crash reports that wait, oldest first, and the panics that need not be told again. */
export type CrashBook = Static<typeof Book>;

export const EMPTY_BOOK: CrashBook = { waiting: [], told: [] };

/**
 * When there are too many, the newest takes the place of the one before: the first ones tell how it began, the newest
 * one how it is now. One that says what that one said changes nothing: an agent that breaks every few seconds must not
 * wear the disk out.
 */
export function withCrash(book: CrashBook, added: WaitingCrash, panicIds: readonly string[]): CrashBook {
  const { waiting, told } = book;
  const others = waiting.filter(({ crash }) => crash.id !== added.crash.id);
  const last = others.at(-1);
  if (last !== undefined && others.length >= MAX_CRASHES && isSame(last, added)) return book;
  return {
    waiting: [...others.slice(0, MAX_CRASHES - 1), added],
    told: [...new Set([...told, ...panicIds])].slice(-MOST_TOLD),
  };
}

const isSame = ({ crash: a }: WaitingCrash, { crash: b }: WaitingCrash): boolean =>
  JSON.stringify([a.began.agent, a.began.machine, a.error, a.kernel]) ===
  JSON.stringify([b.began.agent, b.began.machine, b.error, b.kernel]);

/** The cloud has these. */
export const without = (book: CrashBook, ids: readonly string[]): CrashBook => ({
  ...book,
  waiting: book.waiting.filter(({ crash }) => !ids.includes(crash.id)),
});

/** One was sent; after so many times in vain it is let go. */
export const tried = (book: CrashBook, id: string): CrashBook => ({
  ...book,
  waiting: book.waiting.flatMap((one): WaitingCrash[] => {
    if (one.crash.id !== id) return [one];
    return one.tries + 1 >= MOST_TRIES ? [] : [{ ...one, tries: one.tries + 1 }];
  }),
});

export async function formatBook(book: CrashBook): Promise<Uint8Array> {
  const text = JSON.stringify(book);
  return new TextEncoder().encode(`${await checkOf(text)} ${text}\n`);
}

/** Believes nothing but what {@link formatBook} wrote, whole. */
export async function parseBook(bytes: Uint8Array | null): Promise<CrashBook | 'missing' | 'damaged'> {
  if (bytes === null) return 'missing';
  const [check, text] = new TextDecoder().decode(bytes).trimEnd().split(/ (.*)/s);
  if (check === undefined || text === undefined || check !== (await checkOf(text))) return 'damaged';
  const value: unknown = JSON.parse(text);
  return Compile(Book).Check(value) ? value : 'damaged';
}

const checkOf = async (text: string): Promise<string> =>
  (await sha256Base64url(`paddock-crashes ${text}`)).slice(0, 22);
