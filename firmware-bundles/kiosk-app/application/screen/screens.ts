import { readJson } from './place.ts';

export interface Screen {
  readonly name: string;
  readonly lines: readonly string[];
  /** Why it cannot be shown. */
  readonly fault: string | null;
}

/** Every screen that the release lists: one that cannot be shown leaves the others as they are. */
export const openScreens = (): Screen[] => (readJson('screens/list.json') as string[]).map(openScreen);

function openScreen(name: string): Screen {
  try {
    const { lines } = readJson(`screens/${name}.json`) as { readonly lines: readonly string[] };
    return { name, lines, fault: null };
  } catch {
    return { name, lines: [], fault: 'its file cannot be read' };
  }
}
