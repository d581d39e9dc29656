import type { PtyMaster } from '../pty.ts';

/** A device on a serial line that obeys commands of lines, and tells its door of its own accord. */
export class LineDevice {
  light = 'off';
  readonly heard: string[] = [];
  /** `mute` says nothing, `refuse` says no, `late` answers after 80 ms, `garbled` with what is no answer. */
  mood: 'well' | 'mute' | 'refuse' | 'late' | 'garbled' = 'well';
  readonly #line: PtyMaster;
  #rest = '';

  constructor(line: PtyMaster) {
    this.#line = line;
    line.onData((chunk) => {
      const lines = (this.#rest + Buffer.from(chunk).toString()).split('\r\n');
      this.#rest = lines.pop() ?? '';
      for (const command of lines) this.#obey(command);
    });
  }

  say(line: string): void {
    this.#line.write(`${line}\n`).catch(() => {});
  }

  #obey(command: string): void {
    this.heard.push(command);
    const [, level] = /^LIGHT (on|off)$/.exec(command) ?? [];
    if (level !== undefined && this.mood !== 'refuse') this.light = level;
    const answer = level === undefined ? `LIGHT=${this.light}` : `OK ${level}`;
    // Between the command and its answer it says what it always says.
    this.say('DOOR=open');
    if (this.mood === 'well') this.say(answer);
    if (this.mood === 'refuse') this.say('ERR 7');
    if (this.mood === 'garbled') this.say('DOOR=closed');
    if (this.mood === 'late') setTimeout(() => this.say(answer), 80);
  }
}
