/** Ctrl-A, which starts an escape sequence. */
export const ESCAPE_BYTE = 0x01;

/** What an escape sequence asks for. */
export type EscapeAction = 'quit' | 'help';

/** What `EscapeFilter.push` found in a piece of input. */
export interface FilteredInput {
  /** The bytes for the guest, in order. */
  readonly forward: Uint8Array;
  /** The sequences that were complete, in order. Input after a `quit` is dropped. */
  readonly actions: readonly EscapeAction[];
}

/** The lines that Ctrl-A h prints. */
export const ESCAPE_HELP: readonly string[] = [
  'Ctrl-A x       end the guest',
  'Ctrl-A Ctrl-A  send Ctrl-A to the guest',
  'Ctrl-A h       show this',
];

const ACTIONS: ReadonlyMap<number, EscapeAction> = new Map([
  ['x'.charCodeAt(0), 'quit'],
  ['X'.charCodeAt(0), 'quit'],
  // Ctrl-X: the key for the second character often comes while Ctrl is still down.
  [0x18, 'quit'],
  ['h'.charCodeAt(0), 'help'],
  ['?'.charCodeAt(0), 'help'],
]);

/**
 * Takes escape sequences out of a terminal's input. A sequence may be split over pieces; an unknown one reaches the
 * guest as it was typed.
 */
export class EscapeFilter {
  #escaped = false;

  /** Filters the next piece of input. The result may share the piece's memory. */
  push(input: Uint8Array): FilteredInput {
    if (!this.#escaped && !input.includes(ESCAPE_BYTE)) return { forward: input, actions: [] };
    // A pending Ctrl-A from the last piece can come out with this one.
    const forward = new Uint8Array(input.length + 1);
    const actions: EscapeAction[] = [];
    let length = 0;
    for (const byte of input) {
      if (!this.#escaped) {
        if (byte === ESCAPE_BYTE) this.#escaped = true;
        else forward[length++] = byte;
        continue;
      }
      this.#escaped = false;
      const action = ACTIONS.get(byte);
      if (action !== undefined) {
        actions.push(action);
        if (action === 'quit') break;
      } else {
        forward[length++] = ESCAPE_BYTE;
        if (byte !== ESCAPE_BYTE) forward[length++] = byte;
      }
    }
    return { forward: forward.subarray(0, length), actions };
  }
}
