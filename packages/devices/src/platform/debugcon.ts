import type { BusAccess, BusDevice } from '../bus.ts';
import { ByteRing } from '../serial/byte-ring.ts';
import { readBytes, writeBytes } from './byte-registers.ts';

/** The usual I/O port, and how many there are. */
export const DEBUGCON_PORT = 0x402;
export const DEBUGCON_LENGTH = 1;

/** What a read returns, by which firmware knows that somebody listens. */
const PRESENT = 0xe9;

/** A port that takes the debug messages of firmware, as plain data. */
export interface DebugconDescriptor {
  readonly kind: 'debugcon';
  /** {@link ByteRing} of what the guest writes. */
  readonly output: SharedArrayBuffer;
}

export function describeDebugcon(options: { readonly output: ByteRing }): DebugconDescriptor {
  return { kind: 'debugcon', output: options.output.state };
}

/** Every byte written is one of output. When nobody takes it, the vCPU that writes waits. */
export class Debugcon implements BusDevice {
  readonly #output: ByteRing;

  constructor(descriptor: DebugconDescriptor) {
    this.#output = new ByteRing(descriptor.output);
  }

  read(access: BusAccess): void {
    readBytes(access, () => PRESENT);
  }

  write(access: BusAccess): void {
    writeBytes(access, (_offset, value) => {
      while (!this.#output.push(value)) this.#output.waitForRoom();
    });
  }
}
