import {
  CodeBuilder,
  F64,
  I32,
  I64,
  type Label,
  type Local,
  Op,
  type Opcode,
  type ValueType,
} from '@tsvmm/wasm-emitter';
import { DATA_TLB_ENTRIES, DATA_TLB_ENTRY_SIZE, DataTlbEntry, HartBlock, PAGE_SIZE } from '../layout.ts';
import type { BranchHint } from './branch-hints.ts';
import { emitCachedJump } from './jump-cache.ts';
import type { GuestRegister } from './region-architecture.ts';
import { RegionExit } from './region-table.ts';

/** Parameters of every region's function. */
export const REGION_PARAMETERS: readonly ValueType[] = [I32, I32, I64];

const PAGE_BITS = Math.log2(PAGE_SIZE);
const TLB_ENTRY_BITS = Math.log2(DATA_TLB_ENTRY_SIZE);
const TLB_INDEX_MASK = (DATA_TLB_ENTRIES - 1) << TLB_ENTRY_BITS;

/** What the module around a region offers to it. */
export interface RegionImports {
  /** Index of the type of regions' functions. */
  readonly regionType: number;
  /** Gives the function index of an imported helper. */
  helper(name: string): number;
}

/** What an architecture writes a region's instructions with: guest registers are locals, leaving is a branch. */
export class RegionEmitter {
  readonly code = new CodeBuilder(REGION_PARAMETERS.length, 8192);
  /** Address of the hart's block (i32). */
  readonly hart: Local = 0;
  /** Number of the entry that was taken, and later of the dispatcher's choice (i32). */
  readonly selector: Local = 1;
  /** Virtual address of the page that offsets count from (i64). */
  readonly base: Local = 2;
  readonly hints: BranchHint[] = [];
  readonly #dataTlb: Local;
  readonly #address: Local;
  readonly #tlbEntry: Local;
  readonly #pc: Local;
  readonly #guestRegisters: readonly GuestRegister[];
  readonly #registers: readonly (Local | undefined)[];
  readonly #scratch = new Map<ValueType, Local[]>();
  readonly #imports: RegionImports;
  #leaveAt: Label | undefined;
  #leaveAtPc: Label | undefined;

  /**
   * @param registers the architecture's.
   * @param used which of them the region has anything to do with.
   */
  constructor(registers: readonly GuestRegister[], used: ReadonlySet<number>, imports: RegionImports) {
    this.#dataTlb = this.code.local(I32);
    this.#tlbEntry = this.code.local(I32);
    this.#address = this.code.local(I64);
    this.#pc = this.code.local(I64);
    this.#guestRegisters = registers;
    this.#registers = registers.map(({ type }, index) =>
      used.has(index) ? this.code.local(type) : undefined,
    );
    this.#imports = imports;
  }

  /** The local that holds a guest register of the region. */
  register(index: number): Local {
    const local = this.#registers[index];
    if (local === undefined) {
      throw new RangeError(`an instruction uses register ${index} without saying so`);
    }
    return local;
  }

  /** A local for intermediate values, by number: contents do not outlive the instruction. */
  scratch(type: ValueType, index: number): Local {
    let locals = this.#scratch.get(type);
    if (locals === undefined) {
      locals = [];
      this.#scratch.set(type, locals);
    }
    for (let next = locals.length; next <= index; next++) {
      locals.push(this.code.local(type));
    }
    return locals[index] as Local;
  }

  /** Pushes the virtual address at an offset from the base: i64. */
  pushPc(offset: number): void {
    this.code.get(this.base);
    if (offset !== 0) {
      this.code.i64Const(offset).op(Op.i64Add);
    }
  }

  callHelper(name: string): void {
    this.code.call(this.#imports.helper(name));
  }

  /** Says how likely the i32 on the stack makes the `if` or `br_if` that is written next. */
  hint(likely: boolean): void {
    this.hints.push({ position: this.code.size, likely });
  }

  /** Leaves the region at a known instruction. */
  leave(exit: number, offset: number): void {
    this.code.i32Const(exitCode(exit, offset)).br(this.#label(this.#leaveAt));
  }

  /** Leaves the region if the i32 that `condition` pushes is not zero, which it seldom is. */
  leaveIf(exit: number, offset: number, condition: () => void): void {
    this.code.i32Const(exitCode(exit, offset));
    condition();
    this.hint(false);
    this.code.brIf(this.#label(this.#leaveAt)).op(Op.drop);
  }

  /** Leaves the region at the virtual address in a local (i64). */
  leaveTo(address: Local): void {
    this.code.get(address).set(this.#pc).i32Const(RegionExit.continue).set(this.selector);
    this.code.br(this.#label(this.#leaveAtPc));
  }

  /** Leaves the region if somebody wants the hart's attention. */
  leaveIfRequested(offset: number): void {
    this.leaveIf(RegionExit.continue, offset, () =>
      this.code.get(this.hart).memory(Op.i32AtomicLoad, HartBlock.interruptRequest),
    );
  }

  /**
   * Translates a virtual address, or leaves the region so that the interpreter makes the access: TLB miss, misaligned, or
   * no memory. Leaves the datum's address in the WebAssembly memory on the stack (i32).
   *
   * @param offset of the instruction.
   * @param width bytes of the access.
   * @param pushAddress pushes the virtual address (i64).
   */
  translate(offset: number, access: 'read' | 'write', width: number, pushAddress: () => void): void {
    this.leaveIf(RegionExit.interpret, offset, () => {
      pushAddress();
      this.#pushTag(access);
      this.#pushAligned(width);
      this.code.op(Op.i64Ne);
    });
    this.#pushHostAddress();
  }

  /**
   * Chooses between two ways to make several accesses of one width and kind.
   *
   * @param size bytes from the first byte of the lowest access to the last byte of the highest.
   * @param pushAddress pushes the virtual address of the lowest access (i64).
   * @param together writes the accesses, with the lowest one's address in the WebAssembly memory in the local given: all are
   *   aligned and on one page, which the TLB has.
   * @param separately writes them as if this had not been asked.
   */
  translateTogether(
    access: 'read' | 'write',
    width: number,
    size: number,
    pushAddress: () => void,
    together: (host: Local) => void,
    separately: () => void,
  ): void {
    const { code } = this;
    const tag = this.scratch(I64, 0);
    const host = this.scratch(I32, 0);
    pushAddress();
    this.#pushTag(access);
    code.tee(tag);
    this.#pushAligned(width);
    code.op(Op.i64Eq);
    code
      .get(this.#address)
      .i64Const(size - 1)
      .op(Op.i64Add)
      .i64Const(-PAGE_SIZE)
      .op(Op.i64And);
    code.get(tag).op(Op.i64Eq).op(Op.i32And);
    this.hint(true);
    code.if();
    this.#pushHostAddress();
    code.set(host);
    together(host);
    code.else();
    separately();
    code.end();
  }

  /** Takes the virtual address from the stack, and pushes the tag that the TLB has where it would be. */
  #pushTag(access: 'read' | 'write'): void {
    const { code } = this;
    code
      .tee(this.#address)
      .i64Const(PAGE_BITS - TLB_ENTRY_BITS)
      .op(Op.i64ShrU)
      .op(Op.i32WrapI64);
    code.i32Const(TLB_INDEX_MASK).op(Op.i32And).get(this.#dataTlb).op(Op.i32Add).tee(this.#tlbEntry);
    code.memory(Op.i64Load, access === 'read' ? DataTlbEntry.readTag : DataTlbEntry.writeTag);
  }

  /** Pushes the address's page; misaligned addresses give what is no page. */
  #pushAligned(width: number): void {
    this.code
      .get(this.#address)
      .i64Const(-PAGE_SIZE | (width - 1))
      .op(Op.i64And);
  }

  #pushHostAddress(): void {
    this.code.get(this.#tlbEntry).memory(Op.i32Load, DataTlbEntry.addend);
    this.code.get(this.#address).op(Op.i32WrapI64).op(Op.i32Add);
  }

  /**
   * Writes the frame around a region's body: loads registers, and at the one way out stores those that may have changed,
   * and the pc.
   *
   * @param body must not fall through.
   */
  writeFrame(loaded: Iterable<number>, stored: Iterable<number>, body: () => void): void {
    const { code } = this;
    code.get(this.hart).memory(Op.i32Load, HartBlock.dataTlb).set(this.#dataTlb);
    for (const index of loaded) {
      const { type, hartOffset } = this.#guestRegister(index);
      code.get(this.hart).memory(loadOf(type), hartOffset).set(this.register(index));
    }
    this.#leaveAtPc = code.block();
    this.#leaveAt = code.block(I32);
    body();
    code.op(Op.unreachable).end();
    const exit = this.selector;
    code.tee(exit).i32Const(1).op(Op.i32ShrS).op(Op.i64ExtendI32S).get(this.base).op(Op.i64Add).set(this.#pc);
    code.get(exit).i32Const(1).op(Op.i32And).set(exit);
    this.#leaveAt = undefined;
    code.end();
    this.#leaveAtPc = undefined;
    for (const index of stored) {
      const { type, hartOffset } = this.#guestRegister(index);
      code.get(this.hart).get(this.register(index)).memory(storeOf(type), hartOffset);
    }
    emitCachedJump(code, this.#imports.regionType, {
      hart: this.hart,
      exit,
      pc: this.#pc,
      cacheEntry: this.#tlbEntry,
    });
    code.get(this.hart).get(this.#pc).memory(Op.i64Store, HartBlock.pc);
    code.get(exit);
  }

  #guestRegister(index: number): GuestRegister {
    const register = this.#guestRegisters[index];
    if (register === undefined) {
      throw new RangeError(`the architecture has no register ${index}`);
    }
    return register;
  }

  #label(label: Label | undefined): Label {
    if (label === undefined) {
      throw new RangeError('a region is left from within its frame');
    }
    return label;
  }
}

/** {@link RegionExit} in bit 0, offset of the pc above it. @throws RangeError for an offset that has not 31 bits */
function exitCode(exit: number, offset: number): number {
  if (offset < -(2 ** 30) || offset >= 2 ** 30)
    throw new RangeError(`a region cannot be left to offset ${offset}`);
  return (offset << 1) | exit;
}

function loadOf(type: ValueType): Opcode {
  return type === I64 ? Op.i64Load : type === I32 ? Op.i32Load : type === F64 ? Op.f64Load : Op.f32Load;
}

function storeOf(type: ValueType): Opcode {
  return type === I64 ? Op.i64Store : type === I32 ? Op.i32Store : type === F64 ? Op.f64Store : Op.f32Store;
}
