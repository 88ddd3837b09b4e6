/** Classic BPF as seccomp takes it: `struct sock_filter` of <linux/filter.h>, eight bytes an instruction. */

const BYTES = 8;

/** BPF_MAXINSNS: the kernel takes no longer programs. */
export const MAXIMUM_INSTRUCTIONS = 4096;

const LOAD_WORD = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP = 0x05; // BPF_JMP | BPF_JA
const RETURN = 0x06; // BPF_RET | BPF_K

/** Conditional jumps, BPF_JMP | … | BPF_K: the accumulator compared with a constant, unsigned. */
const CONDITIONS = { '==': 0x15, '>': 0x25, '>=': 0x35, '&': 0x45 } as const;
export type Condition = keyof typeof CONDITIONS;

/** A place in the program that jumps go to. */
export interface Label {
  position: number | undefined;
}

type Instruction =
  | { readonly kind: 'plain'; readonly code: number; readonly constant: number }
  | {
      readonly kind: 'branch';
      readonly code: number;
      readonly constant: number;
      readonly whenTrue: Label;
      readonly whenFalse: Label;
    };

/**
 * Writes a program front to back. Conditional jumps reach 255 instructions; those that go further are given a jump of their
 * own to pass on, so that callers need not count.
 */
export class BpfAssembler {
  readonly #instructions: Instruction[] = [];

  label(): Label {
    return { position: undefined };
  }

  /** The label stands for the instruction that comes next. */
  place(label: Label): void {
    label.position = this.#instructions.length;
  }

  /** Loads the 32-bit word at a byte offset of `struct seccomp_data` into the accumulator. */
  load(offset: number): void {
    this.#instructions.push({ kind: 'plain', code: LOAD_WORD, constant: offset });
  }

  branch(condition: Condition, constant: number, whenTrue: Label, whenFalse: Label): void {
    this.#instructions.push({ kind: 'branch', code: CONDITIONS[condition], constant, whenTrue, whenFalse });
  }

  /** Ends the program with SECCOMP_RET_*. */
  finish(value: number): void {
    this.#instructions.push({ kind: 'plain', code: RETURN, constant: value });
  }

  /** The program's bytes, little-endian as all architectures here are. */
  assemble(): Uint8Array {
    // A branch is one instruction, or two or three when its targets are far. Growing one can push others out of reach, so
    // this repeats until nothing grows: sizes only go up, so it ends.
    const farTrue = new Set<number>();
    const farFalse = new Set<number>();
    let starts: number[];
    for (;;) {
      starts = this.#starts(farTrue, farFalse);
      if (!this.#grow(starts, farTrue, farFalse)) break;
    }
    const length = starts[this.#instructions.length] ?? 0;
    const view = new DataView(new ArrayBuffer(length * BYTES));
    for (const [index, instruction] of this.#instructions.entries()) {
      const start = starts[index] ?? 0;
      if (instruction.kind === 'plain') {
        write(view, start, instruction.code, 0, 0, instruction.constant);
        continue;
      }
      const { code, constant, whenTrue, whenFalse } = instruction;
      const isFarTrue = farTrue.has(index);
      const trampolineFalse = start + (isFarTrue ? 2 : 1);
      const toTrue = isFarTrue ? start + 1 : target(whenTrue, starts);
      const toFalse = farFalse.has(index) ? trampolineFalse : target(whenFalse, starts);
      write(view, start, code, toTrue - start - 1, toFalse - start - 1, constant);
      if (isFarTrue) write(view, start + 1, JUMP, 0, 0, target(whenTrue, starts) - start - 2);
      if (farFalse.has(index)) {
        write(view, trampolineFalse, JUMP, 0, 0, target(whenFalse, starts) - trampolineFalse - 1);
      }
    }
    return new Uint8Array(view.buffer);
  }

  /** Where each instruction begins, and after the last one the program's length. */
  #starts(farTrue: ReadonlySet<number>, farFalse: ReadonlySet<number>): number[] {
    const starts = [0];
    let next = 0;
    for (const index of this.#instructions.keys()) {
      next += 1 + (farTrue.has(index) ? 1 : 0) + (farFalse.has(index) ? 1 : 0);
      starts.push(next);
    }
    return starts;
  }

  #grow(starts: readonly number[], farTrue: Set<number>, farFalse: Set<number>): boolean {
    let grew = false;
    for (const [index, instruction] of this.#instructions.entries()) {
      if (instruction.kind === 'plain') continue;
      const next = (starts[index] ?? 0) + 1;
      for (const [label, far] of [
        [instruction.whenTrue, farTrue],
        [instruction.whenFalse, farFalse],
      ] as const) {
        if (!far.has(index) && target(label, starts) - next > 255) {
          far.add(index);
          grew = true;
        }
      }
    }
    return grew;
  }
}

function target(label: Label, starts: readonly number[]): number {
  const start = label.position === undefined ? undefined : starts[label.position];
  if (start === undefined) throw new RangeError('a jump goes to a label that was not placed');
  return start;
}

function write(view: DataView, index: number, code: number, jt: number, jf: number, constant: number): void {
  if (jt < 0 || jf < 0) throw new RangeError('classic BPF does not jump backwards');
  const offset = index * BYTES;
  view.setUint16(offset, code, true);
  view.setUint8(offset + 2, jt);
  view.setUint8(offset + 3, jf);
  view.setUint32(offset + 4, constant, true);
}
