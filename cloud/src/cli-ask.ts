import { stderr, stdin } from 'node:process';
import { createInterface } from 'node:readline';

/** Asks whoever sits at the terminal. An end of input is a no. */
export function isAgreed(question: string): Promise<boolean> {
  const terminal = createInterface({ input: stdin, output: stderr });
  return new Promise((resolve) => {
    terminal.once('close', () => resolve(false));
    terminal.question(`${question} [y/N] `, (answer) => {
      resolve(/^y(es)?$/i.test(answer.trim()));
      terminal.close();
    });
  });
}
