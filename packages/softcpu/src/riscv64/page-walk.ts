import { type CodeBuilder, I32, I64, type Label, type ModuleBuilder, Op } from '@tsvmm/wasm-emitter';
import { HartBlock } from '../core/layout.ts';
import { RiscvBlock } from './block.ts';
import { defineFunction, HART, pushField32, pushField64, setField32, setField64 } from './machine-code.ts';
import { Cause, PageFlag, Status, TranslationMode } from './registers.ts';

/** What a translation is for. */
export const Access = { read: 0, write: 1, execute: 2 } as const;

const PAGE_BITS = 12;
const INDEX_BITS = 9;
const PTE_SIZE = 8;
/** satp.PPN, and where PPN is in an entry. */
const PPN_BITS = 44;
const PTE_PPN_SHIFT = 10;
/** Bits 63:54 of an entry: Svnapot, Svpbmt and reserved ones, none of which this hart has. */
const PTE_RESERVED_SHIFT = 54;

const LEAF = PageFlag.read | PageFlag.write | PageFlag.execute;

/** Causes by {@link Access}, packed a byte each. */
const pack = (read: number, write: number, execute: number): number => read | (write << 8) | (execute << 16);
const PAGE_FAULTS = pack(Cause.loadPageFault, Cause.storePageFault, Cause.instructionPageFault);
const ACCESS_FAULTS = pack(Cause.loadAccessFault, Cause.storeAccessFault, Cause.instructionAccessFault);

export interface WalkFunctions {
  /** `(hart, address: i64, access: i32)`: leaves the access fault of an address in the block. */
  readonly accessFault: number;
  /**
   * `(hart, address: i64, access: i32) → i32`: translates for the current privilege. 1: `physicalAddress` and `pageFlags` are
   * in the block; 0: a fault is.
   */
  readonly translate: number;
}

/** Address translation (privileged manual, 12.3.2 to 12.5): Bare, Sv39 and Sv48, with A and D updated as by Svadu. */
export function definePageWalk(module: ModuleBuilder): WalkFunctions {
  const recordFault = (causes: number): number =>
    defineFunction(module, [I64, I32], [], (code) => {
      setField32(code, RiscvBlock.trapCause, () => {
        code.i32Const(causes).get(2).i32Const(8).op(Op.i32Mul).op(Op.i32ShrU).i32Const(0xff).op(Op.i32And);
      });
      setField64(code, RiscvBlock.trapValue, () => code.get(1));
    });
  const accessFault = recordFault(ACCESS_FAULTS);
  const pageFault = recordFault(PAGE_FAULTS);
  const translate = defineFunction(module, [I64, I32], [I32], (code) => {
    writeTranslate(code, accessFault, pageFault);
  });
  return { accessFault, translate };
}

const ADDRESS = 1;
const ACCESS = 2;

function writeTranslate(code: CodeBuilder, accessFault: number, pageFault: number): void {
  const mode = code.local(I32);
  const shift = code.local(I32);
  const table = code.local(I64);
  const entryOffset = code.local(I32);
  const entry = code.local(I64);
  const flags = code.local(I32);
  const updated = code.local(I64);
  const mask = code.local(I64);

  const succeed = (): void => {
    code.i32Const(1).op(Op.return);
  };

  pushField64(code, HartBlock.satp).i64Const(60).op(Op.i64ShrU).op(Op.i32WrapI64).tee(mode);
  code.op(Op.i32Eqz).if();
  setField64(code, RiscvBlock.physicalAddress, () => code.get(ADDRESS));
  setField32(code, RiscvBlock.pageFlags, () => code.i32Const(LEAF | PageFlag.accessed | PageFlag.dirty));
  succeed();
  code.end();

  const restart = code.loop();
  const pageFaults = code.block();
  const accessFaults = code.block();

  // The top level's shift: 30 of Sv39, 39 of Sv48.
  code.get(mode).i32Const(TranslationMode.sv39).op(Op.i32Sub).i32Const(INDEX_BITS).op(Op.i32Mul);
  code
    .i32Const(PAGE_BITS + 2 * INDEX_BITS)
    .op(Op.i32Add)
    .set(shift);
  // Canonical: all bits above the top index equal its highest. `mask` serves as the shift count, 25 or 16.
  code
    .i32Const(64 - INDEX_BITS)
    .get(shift)
    .op(Op.i32Sub)
    .op(Op.i64ExtendI32U)
    .set(mask);
  code
    .get(ADDRESS)
    .get(mask)
    .op(Op.i64Shl)
    .get(mask)
    .op(Op.i64ShrS)
    .get(ADDRESS)
    .op(Op.i64Ne)
    .brIf(pageFaults);
  pushField64(code, HartBlock.satp).i64Const(PAGE_BITS).op(Op.i64Shl);
  code
    .i64Const((1n << BigInt(PPN_BITS + PAGE_BITS)) - 1n)
    .op(Op.i64And)
    .set(table);

  const leafFound = code.block();
  const nextLevel = code.loop();
  code.get(table).get(ADDRESS).get(shift).op(Op.i64ExtendI32U).op(Op.i64ShrU);
  code
    .i64Const((1 << INDEX_BITS) - 1)
    .op(Op.i64And)
    .i64Const(PTE_SIZE)
    .op(Op.i64Mul)
    .op(Op.i64Add);
  pushField64(code, RiscvBlock.ramBase).op(Op.i64Sub).tee(table);
  pushField64(code, RiscvBlock.ramSize).op(Op.i64GeU).brIf(accessFaults);
  code.get(table).op(Op.i32WrapI64);
  pushField32(code, RiscvBlock.ramOffset).op(Op.i32Add).tee(entryOffset);
  code.memory(Op.i64AtomicLoad).tee(entry).op(Op.i32WrapI64).i32Const(0xff).op(Op.i32And).set(flags);
  code.get(flags).i32Const(PageFlag.valid).op(Op.i32And).op(Op.i32Eqz).brIf(pageFaults);
  code.get(entry).i64Const(PTE_RESERVED_SHIFT).op(Op.i64ShrU).op(Op.i64Eqz).op(Op.i32Eqz).brIf(pageFaults);
  code.get(entry).i64Const(PTE_PPN_SHIFT).op(Op.i64ShrU).i64Const(PAGE_BITS).op(Op.i64Shl).set(table);
  code.get(flags).i32Const(LEAF).op(Op.i32And).brIf(leafFound);
  // A pointer to the next table: D, A and U are reserved, and there must be a next level.
  code
    .get(flags)
    .i32Const(PageFlag.dirty | PageFlag.accessed | PageFlag.user)
    .op(Op.i32And)
    .brIf(pageFaults);
  code.get(shift).i32Const(PAGE_BITS).op(Op.i32Eq).brIf(pageFaults);
  code.get(shift).i32Const(INDEX_BITS).op(Op.i32Sub).set(shift);
  code.br(nextLevel).end();
  code.end();

  refuseUnlessPermitted(code, flags, pageFaults);

  // A superpage's low PPN bits must be 0; then they are the address's.
  code.i64Const(1).get(shift).op(Op.i64ExtendI32U).op(Op.i64Shl).i64Const(1).op(Op.i64Sub).tee(mask);
  code.get(table).op(Op.i64And).op(Op.i64Eqz).op(Op.i32Eqz).brIf(pageFaults);

  // A and D, unless another hart changed the entry meanwhile: then everything is looked at again.
  code
    .get(entry)
    .i64Const(PageFlag.accessed | PageFlag.dirty)
    .i64Const(PageFlag.accessed);
  code.get(ACCESS).i32Const(Access.write).op(Op.i32Eq).op(Op.select).op(Op.i64Or).tee(updated);
  code.get(entry).op(Op.i64Ne).if();
  code.get(entryOffset).get(entry).get(updated).memory(Op.i64AtomicRmwCmpxchg);
  code.get(entry).op(Op.i64Ne).brIf(restart);
  code.end();

  setField64(code, RiscvBlock.physicalAddress, () => {
    code.get(table).get(ADDRESS).get(mask).op(Op.i64And).op(Op.i64Or);
  });
  setField32(code, RiscvBlock.pageFlags, () => {
    code.get(updated).op(Op.i32WrapI64).i32Const(0xff).op(Op.i32And);
    code.i32Const(PageFlag.superpage).i32Const(0).get(shift).i32Const(PAGE_BITS).op(Op.i32Ne).op(Op.select);
    code.op(Op.i32Or);
  });
  succeed();

  code.end();
  code.get(HART).get(ADDRESS).get(ACCESS).call(accessFault).i32Const(0).op(Op.return);
  code.end();
  code.get(HART).get(ADDRESS).get(ACCESS).call(pageFault).i32Const(0).op(Op.return);
  code.end();
  code.op(Op.unreachable);
}

/** Steps 5 and 6 of 12.3.2: permissions of a leaf for the access and the privilege. */
function refuseUnlessPermitted(code: CodeBuilder, flags: number, pageFaults: Label): void {
  const has = (flag: number): void => {
    code.get(flags).i32Const(flag).op(Op.i32And);
  };
  const status = (field: number): void => {
    pushField32(code, HartBlock.sstatus).i32Const(field).op(Op.i32And);
  };
  // Write without read is reserved.
  has(PageFlag.read | PageFlag.write);
  code.i32Const(PageFlag.write).op(Op.i32Eq).brIf(pageFaults);

  pushField32(code, HartBlock.privilege).op(Op.i32Eqz).if();
  has(PageFlag.user);
  code.op(Op.i32Eqz).brIf(pageFaults);
  code.else();
  has(PageFlag.user);
  code.if();
  // S-mode uses U-mode's pages for data only, and only when SUM says so.
  status(Status.sum);
  code.op(Op.i32Eqz).brIf(pageFaults);
  code.get(ACCESS).i32Const(Access.execute).op(Op.i32Eq).brIf(pageFaults);
  code.end();
  code.end();

  code.get(ACCESS).op(Op.i32Eqz).if();
  has(PageFlag.read);
  has(PageFlag.execute);
  status(Status.mxr);
  code.op(Op.i32Eqz).op(Op.i32Eqz).i32Const(Math.log2(PageFlag.execute)).op(Op.i32Shl).op(Op.i32And);
  code.op(Op.i32Or).op(Op.i32Eqz).brIf(pageFaults);
  code.else();
  code.i32Const(PageFlag.write).i32Const(PageFlag.execute);
  code.get(ACCESS).i32Const(Access.write).op(Op.i32Eq).op(Op.select);
  code.get(flags).op(Op.i32And).op(Op.i32Eqz).brIf(pageFaults);
  code.end();
}
