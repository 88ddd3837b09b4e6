import type { BusAccess, BusDevice } from '../bus.ts';
import { readBytes, writeBytes } from './byte-registers.ts';

/** Port of {@link I8042}, and how many there are: those of the keyboard controller and what lies between them. */
export const I8042_PORT = 0x61;
export const I8042_LENGTH = 4;

/** System control port B. */
const SYSTEM_CONTROL = 0x61 - I8042_PORT;
/** Status register when read, command register when written. */
const COMMAND = 0x64 - I8042_PORT;

/** In system control port B: the output of timer 2, for which some code waits. */
const TIMER2_OUTPUT = 1 << 5;

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
    readBytes(access, (offset) => (offset === SYSTEM_CONTROL ? TIMER2_OUTPUT : 0));
  }

  write(access: BusAccess): void {
    writeBytes(access, (offset, value) => {
      if (offset === COMMAND && value === PULSE_RESET) {
        this.#reset?.('the guest asked for a reset (keyboard controller)');
      }
    });
  }
}
