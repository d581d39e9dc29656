import type { OpenTreeFile, TreeCalls } from '@paddock/agent/ports-firmware.ts';

const WRITING = new Set([
  'create',
  'append',
  'write',
  'sync',
  'setMode',
  'makeDirectory',
  'makeLink',
  'rename',
  'remove',
  'removeDirectory',
  'syncDirectory',
  'syncAll',
]);

export interface Fault {
  /** The call of that number fails, from 0. */
  readonly at: number;
  readonly code: 'ENOSPC' | 'EIO';
  /** That one call, every writing call from it on, or every call from it on. */
  readonly for: 'once' | 'writes' | 'all';
}

/** A file system that fails at one call, or from one on, whatever call that is. */
export class FaultyCalls<Calls extends object = TreeCalls> {
  count = 0;
  /** What failed first. */
  failed: string | null = null;
  readonly calls: Calls;
  /** Null while all is well. */
  fault: Fault | null;
  readonly #fails: 'throws' | 'rejects';

  /** @param fails as its calls do */
  constructor(calls: Calls, fault: Fault | null, fails: 'throws' | 'rejects' = 'throws') {
    this.fault = fault;
    this.#fails = fails;
    this.calls = this.#wrapped(calls);
  }

  #wrapped<T extends object>(target: T): T {
    return new Proxy(target, {
      get: (of, name) => {
        const member: unknown = Reflect.get(of, name, of);
        if (typeof member !== 'function') return member;
        const call = (given: unknown[]): unknown => {
          this.#call(String(name), given[0]);
          return Reflect.apply(member, of, given);
        };
        const wrapped = (result: unknown): unknown => (isFile(result) ? this.#wrapped(result) : result);
        return (...given: unknown[]): unknown =>
          this.#fails === 'throws' ? wrapped(call(given)) : promised(() => call(given)).then(wrapped);
      },
    });
  }

  #call(name: string, path: unknown): void {
    const at = this.count++;
    const { fault } = this;
    if (fault === null || at < fault.at || (fault.for === 'once' && at > fault.at)) return;
    if (fault.for === 'writes' && !WRITING.has(name)) return;
    this.failed ??= `${name} ${typeof path === 'string' ? path : ''}`.trim();
    throw Object.assign(new Error(`${fault.code}: ${name}`), { code: fault.code, syscall: name });
  }
}

const isFile = (value: unknown): value is Pick<OpenTreeFile, 'close'> =>
  typeof value === 'object' && value !== null && 'sync' in value;

const promised = async (work: () => unknown): Promise<unknown> => work();
