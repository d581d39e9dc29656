/** The part of modbus-serial's buffered RTU port that we build on; the package does not describe it. */
declare module 'modbus-serial/ports/rtubufferedport.js' {
  import type { EventEmitter } from 'node:events';

  export default class RTUBufferedPort extends EventEmitter {
    constructor(path: string, options: object);
    /** Bytes that were received and belong to no answer yet. */
    _buffer: Buffer;
    get isOpen(): boolean;
    open(callback: (error: Error | null) => void): void;
    close(callback: (error: Error | null) => void): void;
    write(data: Buffer): void;
  }
}
