import type { BusAccess, BusDevice } from '../bus.ts';
import { readBytes, writeBytes } from './byte-registers.ts';

/** Port of {@link I8042}: its status register when read, its command register when written. */
export const I8042_PORT = 0x64;
export const I8042_LENGTH = 1;

/** Commands 0xF0 to 0xFF pulse those of the four outputs whose bit is clear; output 0 is the CPU's reset. */
const PULSE_RESET = 0xfe;

/** What is left of a PC's keyboard controller without a keyboard: it resets the machine. */
export interface I8042Descriptor {
  readonly kind: 'i8042';
}

export class I8042 implements BusDevice {
  readonly #reset: ((detail: string) => void) | undefined;

  /** @param reset called when the guest asks for a reset */
  constructor(reset?: (detail: string) => void) {
    this.#reset = reset;
  }

  read(access: BusAccess): void {
    // Neither buffer is full, so that who waits for the controller goes on.
    readBytes(access, () => 0);
  }

  write(access: BusAccess): void {
    writeBytes(access, (_offset, value) => {
      if (value === PULSE_RESET) {
        this.#reset?.('the guest asked for a reset (keyboard controller)');
      }
    });
  }
}
