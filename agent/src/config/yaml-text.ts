import { isMap, isNode, isScalar, isSeq, LineCounter, parseDocument, type Document } from 'yaml';
import type { Path } from './problems.ts';

/** A YAML text with the lines that its values stand on. */
export interface YamlText {
  readonly value: unknown;
  /** The line, from 1, of the key or item at this path; of its nearest parent when it is not there. */
  lineOf(path: Path): number;
  /** Where the text is not YAML. */
  readonly errors: readonly { line: number; message: string }[];
}

/** Reads YAML 1.2, whose `on` and `no` are plain texts. Never throws. */
export function parseYaml(text: string): YamlText {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const lineAt = (offset: number): number => Math.max(1, lines.linePos(offset).line);
  const errors = document.errors.map((error) => ({ line: lineAt(error.pos[0]), message: error.message }));
  const { value, error } = toValue(document);
  return {
    value,
    lineOf: (path) => lineAt(offsetOf(document.contents, path)),
    errors: error === undefined ? errors : [...errors, { line: 1, message: error }],
  };
}

/** An alias that points nowhere, or that multiplies itself, only shows when the document becomes a value. */
function toValue(document: Document.Parsed): { value: unknown; error?: string } {
  try {
    return { value: document.toJS() };
  } catch (cause) {
    return { value: null, error: cause instanceof Error ? cause.message : String(cause) };
  }
}

/** Goes down as far as the path leads; `known` is where the last step that exists stands. */
function offsetOf(node: unknown, path: Path, known = 0): number {
  const [step, ...rest] = path;
  if (step === undefined) return known;
  if (isMap(node)) {
    const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(step));
    return pair ? offsetOf(pair.value, rest, startOf(pair.key, known)) : known;
  }
  if (!isSeq(node)) return known;
  const item = node.items[Number(step)];
  return offsetOf(item, rest, startOf(item, known));
}

const startOf = (node: unknown, known: number): number => (isNode(node) ? (node.range?.[0] ?? known) : known);
