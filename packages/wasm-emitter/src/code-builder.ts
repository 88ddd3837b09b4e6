import { ByteWriter } from './byte-writer.ts';
import { type BlockType, EMPTY, type Opcode, type ValueType } from './opcodes.ts';

/** A structured instruction that is open: what a branch names. */
export type Label = number & { readonly label: unique symbol };

/** Index of a local variable or parameter. */
export type Local = number;

/** log2 of the natural alignment of each memory instruction from 0x28 to 0x3e. */
const PLAIN_ALIGNMENT = [2, 3, 2, 3, 0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 2, 3, 2, 3, 0, 1, 0, 1, 2];
/** log2 of the alignment that the seven widths of an atomic instruction require, from 0xfe10 on. */
const ATOMIC_ALIGNMENT = [2, 3, 0, 1, 0, 1, 2];

function naturalAlignment(opcode: number): number {
  if (opcode >= 0xfe10) {
    return ATOMIC_ALIGNMENT[(opcode - 0xfe10) % 7] ?? 0;
  }
  if (opcode >= 0xfe00) {
    return opcode === 0xfe02 ? 3 : 2;
  }
  return PLAIN_ALIGNMENT[opcode - 0x28] ?? 0;
}

/**
 * Writes the body of one function, an instruction at a time, in WebAssembly's own (stack machine) order.
 *
 * Branches name the {@link Label} that opened their target; the relative depth is worked out here. Nothing is kept per
 * instruction: translating a guest instruction costs the bytes it writes.
 */
export class CodeBuilder {
  readonly #writer: ByteWriter;
  readonly #parameterCount: number;
  readonly #locals: ValueType[] = [];
  #depth = 0;

  /** @param parameterCount number of parameters of the function's type: they are the first locals. */
  constructor(parameterCount: number, capacity = 1024) {
    this.#parameterCount = parameterCount;
    this.#writer = new ByteWriter(capacity);
  }

  /** Bytes of code so far: V8's optimising compiler is superlinear in it. */
  get size(): number {
    return this.#writer.length;
  }

  /** Number of structured instructions that are open. */
  get depth(): number {
    return this.#depth;
  }

  /** Adds a local variable, which starts as zero. */
  local(type: ValueType): Local {
    this.#locals.push(type);
    return this.#parameterCount + this.#locals.length - 1;
  }

  /** Any instruction without immediates. */
  op(opcode: Opcode): this {
    this.#opcode(opcode);
    return this;
  }

  i32Const(value: number): this {
    this.#writer.byte(0x41);
    this.#writer.signed32(value);
    return this;
  }

  /** @throws RangeError for a `number` that is not a safe integer. */
  i64Const(value: number | bigint): this {
    this.#writer.byte(0x42);
    this.#writer.signed64(value);
    return this;
  }

  f64Const(value: number): this {
    this.#writer.byte(0x44);
    this.#writer.bytes(new Uint8Array(Float64Array.of(value).buffer));
    return this;
  }

  f32Const(value: number): this {
    this.#writer.byte(0x43);
    this.#writer.bytes(new Uint8Array(Float32Array.of(value).buffer));
    return this;
  }

  get(local: Local): this {
    this.#writer.byte(0x20);
    this.#writer.unsigned(local);
    return this;
  }

  set(local: Local): this {
    this.#writer.byte(0x21);
    this.#writer.unsigned(local);
    return this;
  }

  tee(local: Local): this {
    this.#writer.byte(0x22);
    this.#writer.unsigned(local);
    return this;
  }

  globalGet(index: number): this {
    this.#writer.byte(0x23);
    this.#writer.unsigned(index);
    return this;
  }

  globalSet(index: number): this {
    this.#writer.byte(0x24);
    this.#writer.unsigned(index);
    return this;
  }

  /**
   * A load, store or atomic instruction at a constant offset from the address on the stack.
   *
   * @param alignment log2 of the alignment promised; the natural one when left out, which atomics require.
   */
  memory(opcode: Opcode, offset = 0, alignment = naturalAlignment(opcode)): this {
    this.#opcode(opcode);
    this.#writer.unsigned(alignment);
    this.#writer.unsigned(offset);
    return this;
  }

  /** `memory.copy` within memory 0: destination, source, length on the stack. */
  memoryCopy(): this {
    this.#writer.bytes(Uint8Array.of(0xfc, 10, 0, 0));
    return this;
  }

  /** `memory.fill` of memory 0: destination, byte value, length on the stack. */
  memoryFill(): this {
    this.#writer.bytes(Uint8Array.of(0xfc, 11, 0));
    return this;
  }

  atomicFence(): this {
    this.#writer.bytes(Uint8Array.of(0xfe, 0x03, 0));
    return this;
  }

  /** A vector instruction (prefix 0xfd) without immediates, by its sub-opcode. */
  vector(subOpcode: number): this {
    this.#writer.byte(0xfd);
    this.#writer.unsigned(subOpcode);
    return this;
  }

  /** A vector instruction with a lane index, by its sub-opcode. */
  vectorLane(subOpcode: number, lane: number): this {
    this.vector(subOpcode);
    this.#writer.byte(lane);
    return this;
  }

  block(type: BlockType = EMPTY): Label {
    return this.#open(0x02, type);
  }

  loop(type: BlockType = EMPTY): Label {
    return this.#open(0x03, type);
  }

  /** Opens the arm that is taken when the i32 on the stack is not zero. */
  if(type: BlockType = EMPTY): Label {
    return this.#open(0x04, type);
  }

  else(): this {
    this.#writer.byte(0x05);
    return this;
  }

  /** Closes the innermost open instruction. */
  end(): this {
    if (this.#depth === 0) {
      throw new RangeError('end() without an open block: the function itself is ended by the module builder');
    }
    this.#depth--;
    this.#writer.byte(0x0b);
    return this;
  }

  br(label: Label): this {
    this.#writer.byte(0x0c);
    this.#target(label);
    return this;
  }

  brIf(label: Label): this {
    this.#writer.byte(0x0d);
    this.#target(label);
    return this;
  }

  brTable(labels: readonly Label[], otherwise: Label): this {
    this.#writer.byte(0x0e);
    this.#writer.unsigned(labels.length);
    for (const label of labels) {
      this.#target(label);
    }
    this.#target(otherwise);
    return this;
  }

  call(functionIndex: number): this {
    this.#writer.byte(0x10);
    this.#writer.unsigned(functionIndex);
    return this;
  }

  callIndirect(typeIndex: number, tableIndex = 0): this {
    this.#writer.byte(0x11);
    this.#writer.unsigned(typeIndex);
    this.#writer.unsigned(tableIndex);
    return this;
  }

  returnCall(functionIndex: number): this {
    this.#writer.byte(0x12);
    this.#writer.unsigned(functionIndex);
    return this;
  }

  returnCallIndirect(typeIndex: number, tableIndex = 0): this {
    this.#writer.byte(0x13);
    this.#writer.unsigned(typeIndex);
    this.#writer.unsigned(tableIndex);
    return this;
  }

  /** Writes the function's entry of the code section (5.5.13): size, locals in runs of one type, body. */
  writeTo(section: ByteWriter): void {
    if (this.#depth !== 0) {
      throw new RangeError(`${this.#depth} blocks are still open`);
    }
    const runs = new ByteWriter(32);
    let runCount = 0;
    for (let start = 0; start < this.#locals.length; runCount++) {
      const type = this.#locals[start] as ValueType;
      let end = start + 1;
      while (this.#locals[end] === type) {
        end++;
      }
      runs.unsigned(end - start);
      runs.byte(type);
      start = end;
    }
    const entry = new ByteWriter(this.#writer.length + runs.length + 8);
    entry.unsigned(runCount);
    entry.bytes(runs.view());
    entry.bytes(this.#writer.view());
    entry.byte(0x0b);
    section.vector(entry.view());
  }

  #opcode(opcode: number): void {
    if (opcode > 0xff) {
      this.#writer.byte(opcode >>> 8);
      this.#writer.unsigned(opcode & 0xff);
    } else {
      this.#writer.byte(opcode);
    }
  }

  #open(opcode: number, type: BlockType): Label {
    this.#writer.byte(opcode);
    this.#writer.byte(type);
    return this.#depth++ as Label;
  }

  #target(label: Label): void {
    if (label >= this.#depth) {
      throw new RangeError(`label ${label} is closed: ${this.#depth} are open`);
    }
    this.#writer.unsigned(this.#depth - 1 - label);
  }
}
