import { type CodeBuilder, I32, I64, type ModuleBuilder, Op } from '@tsvmm/wasm-emitter';
import {
  DATA_TLB_ENTRIES,
  DATA_TLB_ENTRY_SIZE,
  DataTlbEntry,
  HartBlock,
  MemoryRegionEntry,
  MemoryRegionTable,
  PAGE_SIZE,
} from '../core/layout.ts';
import { DATA_TLB_GLOBAL } from '../core/tlb.ts';
import { RiscvBlock } from './block.ts';
import { defineFunction, HART, pushField32, pushField64, setField32, setField64 } from './machine-code.ts';
import { Access, type WalkFunctions } from './page-walk.ts';
import { PageFlag, Status } from './registers.ts';
import { loads } from './semantics/memory.ts';

/** Where {@link DataAccessFunctions.locate} found a datum. */
export const Place = { fault: 0, memory: 1, mmio: 2 } as const;

export interface DataAccessFunctions {
  /**
   * `(hart, address: i64, access: i32) → Place`: translates, and fills the TLB for memory. Memory: `hostAddress` is in the block;
   * MMIO: `physicalAddress`; a fault: the fault.
   */
  readonly locate: number;
  /** `(hart, address: i64, kind: i32) → i32`: loads to `RiscvBlock.loaded`; not zero: a fault is in the block. */
  readonly load: number;
  /** `(hart, address: i64, value: i64, width: i32) → i32`: stores; not zero: a fault is in the block. */
  readonly store: number;
}

/** Integer loads, in the order of their funct3. */
const LOAD_KINDS = ['lb', 'lh', 'lw', 'ld', 'lbu', 'lhu', 'lwu'];

/** Number of a load for {@link DataAccessFunctions.load}: its funct3. */
export function loadKind(operation: string): number {
  return LOAD_KINDS.indexOf(operation.replace('flw', 'lwu').replace('fld', 'ld'));
}

export interface MmioImports {
  /** `() → i32`: completes the access in the block; 0 if nothing is there. */
  readonly read: number;
  readonly write: number;
}

/** Accesses that are not a TLB hit: misses, MMIO, unaligned ones, those that cross a page, and faults. */
export function defineDataAccess(
  module: ModuleBuilder,
  walk: WalkFunctions,
  mmio: MmioImports,
): DataAccessFunctions {
  const findPage = defineFunction(module, [I64], [I32], writeFindPage);
  const locate = defineFunction(module, [I64, I32], [I32], (code) => writeLocate(code, walk, findPage));
  const gather = defineFunction(module, [I64, I32, I32], [I32], (code) => {
    writeForBothParts(code, locate, walk.accessFault);
  });
  const load = defineFunction(module, [I64, I32], [I32], (code) =>
    writeLoad(code, { locate, gather, accessFault: walk.accessFault, mmioRead: mmio.read }),
  );
  const store = defineFunction(module, [I64, I64, I32], [I32], (code) =>
    writeStore(code, { locate, gather, accessFault: walk.accessFault, mmioWrite: mmio.write }),
  );
  return { locate, load, store };
}

/**
 * `(hart, address: i64) → i32`: offset of the page of a guest-physical address in a memory region beside RAM, with bit 0 set
 * when the region is read-only; 0 where there is none.
 */
function writeFindPage(code: CodeBuilder): void {
  const address = 1;
  const left = code.local(I32);
  const entry = code.local(I32);
  const offset = code.local(I64);

  code.i32Const(MemoryRegionTable.count).memory(Op.i32Load).set(left);
  code.i32Const(MemoryRegionTable.entries).set(entry);
  const none = code.block();
  const next = code.loop();
  code.get(left).op(Op.i32Eqz).brIf(none);
  code.get(address).get(entry).memory(Op.i64Load, MemoryRegionEntry.base).op(Op.i64Sub).tee(offset);
  code.get(entry).memory(Op.i64Load, MemoryRegionEntry.length).op(Op.i64LtU).if();
  code.get(offset).op(Op.i32WrapI64).i32Const(-PAGE_SIZE).op(Op.i32And);
  code.get(entry).memory(Op.i32Load, MemoryRegionEntry.page).op(Op.i32Add).op(Op.return).end();
  code.get(entry).i32Const(MemoryRegionEntry.size).op(Op.i32Add).set(entry);
  code.get(left).i32Const(1).op(Op.i32Sub).set(left);
  code.br(next).end();
  code.end();
  code.i32Const(0);
}

function writeLocate(code: CodeBuilder, { translate }: WalkFunctions, findPage: number): void {
  const address = 1;
  const access = 2;
  const offset = code.local(I64);
  const entry = code.local(I32);
  const flags = code.local(I32);
  const page = code.local(I64);
  const host = code.local(I32);

  code.get(HART).get(address).get(access).call(translate).op(Op.i32Eqz).if();
  code.i32Const(Place.fault).op(Op.return).end();
  pushField32(code, RiscvBlock.pageFlags).set(flags);
  pushField64(code, RiscvBlock.physicalAddress);
  pushField64(code, RiscvBlock.ramBase).op(Op.i64Sub).tee(offset);
  pushField64(code, RiscvBlock.ramSize).op(Op.i64LtU).if();
  code.get(offset).op(Op.i32WrapI64);
  pushField32(code, RiscvBlock.ramOffset).op(Op.i32Add).set(host);
  code.else();
  code.get(HART);
  pushField64(code, RiscvBlock.physicalAddress);
  code.call(findPage).tee(host).op(Op.i32Eqz).if();
  code.i32Const(Place.mmio).op(Op.return).end();
  code.get(host).i32Const(1).op(Op.i32And).if();
  code.get(access).i32Const(Access.write).op(Op.i32Eq).if();
  code.i32Const(Place.mmio).op(Op.return).end();
  // The TLB does not let stores through.
  code.get(flags).i32Const(~PageFlag.write).op(Op.i32And).set(flags);
  code.end();
  code.get(host).i32Const(-PAGE_SIZE).op(Op.i32And);
  code
    .get(address)
    .op(Op.i32WrapI64)
    .i32Const(PAGE_SIZE - 1)
    .op(Op.i32And);
  code.op(Op.i32Or).set(host);
  code.end();
  setField32(code, RiscvBlock.hostAddress, () => code.get(host));

  code.get(address).i64Const(-PAGE_SIZE).op(Op.i64And).set(page);
  code
    .get(address)
    .i64Const(12)
    .op(Op.i64ShrU)
    .op(Op.i32WrapI64)
    .i32Const(DATA_TLB_ENTRIES - 1)
    .op(Op.i32And);
  code.i32Const(DATA_TLB_ENTRY_SIZE).op(Op.i32Mul);
  pushField32(code, HartBlock.dataTlb).op(Op.i32Add).set(entry);

  const tagIf = (offset: number, condition: () => void): void => {
    code.get(entry);
    code.get(page).i64Const(-1);
    condition();
    code.op(Op.select).memory(Op.i64Store, offset);
  };
  tagIf(DataTlbEntry.readTag, () => {
    // Executable pages may be read under MXR: R, or X moved onto R's bit.
    code.get(flags).i32Const(PageFlag.read).op(Op.i32And);
    code.get(flags).i32Const(PageFlag.execute).op(Op.i32And).i32Const(0);
    pushField32(code, HartBlock.sstatus).i32Const(Status.mxr).op(Op.i32And).op(Op.select).op(Op.i32Or);
  });
  tagIf(DataTlbEntry.writeTag, () => {
    // Only with D set: the first store to a page has to set it.
    code
      .get(flags)
      .i32Const(PageFlag.write | PageFlag.dirty)
      .op(Op.i32And);
    code.i32Const(PageFlag.write | PageFlag.dirty).op(Op.i32Eq);
  });
  code.get(entry).get(host).get(address).op(Op.i32WrapI64).op(Op.i32Sub);
  code.memory(Op.i32Store, DataTlbEntry.addend);
  code.get(entry).get(flags).i32Const(PageFlag.global).op(Op.i32And).memory(Op.i32Store, DATA_TLB_GLOBAL);

  code.get(flags).i32Const(PageFlag.superpage).op(Op.i32And).if();
  setField32(code, RiscvBlock.superpages, () => {
    pushField32(code, RiscvBlock.superpages);
    code.i32Const(1).get(address).i64Const(63).op(Op.i64ShrU).op(Op.i32WrapI64).op(Op.i32Shl).op(Op.i32Or);
  });
  code.end();
  code.i32Const(Place.memory);
}

/** Whether an access of `width` bytes leaves the page it starts in: pushes an i32. */
function pushCrosses(code: CodeBuilder, address: number, width: number): void {
  code
    .get(address)
    .op(Op.i32WrapI64)
    .i32Const(PAGE_SIZE - 1)
    .op(Op.i32And);
  code.get(width).op(Op.i32Add).i32Const(PAGE_SIZE).op(Op.i32GtU);
}

/**
 * `(hart, address, width, access) → i32`: moves a datum that lies on two pages from RAM to `mmioData`, or from there to RAM. Both
 * pages are translated before anything moves; not zero: a fault is in the block.
 */
function writeForBothParts(code: CodeBuilder, locate: number, accessFault: number): void {
  const address = 1;
  const width = 2;
  const access = 3;
  const first = code.local(I32);
  const firstSize = code.local(I32);
  const second = code.local(I32);
  const secondAddress = code.local(I64);
  const place = code.local(I32);

  const locatePart = (part: number, host: number): void => {
    code.get(HART).get(part).get(access).call(locate).tee(place);
    code.i32Const(Place.memory).op(Op.i32Ne).if();
    code.get(place).if();
    code.get(HART).get(part).get(access).call(accessFault);
    code.end();
    code.i32Const(1).op(Op.return).end();
    pushField32(code, RiscvBlock.hostAddress).set(host);
  };
  locatePart(address, first);
  code.get(address).i64Const(-PAGE_SIZE).op(Op.i64And).i64Const(PAGE_SIZE).op(Op.i64Add).set(secondAddress);
  locatePart(secondAddress, second);
  code.get(secondAddress).get(address).op(Op.i64Sub).op(Op.i32WrapI64).set(firstSize);

  const pushBuffer = (): void => {
    code.get(HART).i32Const(HartBlock.mmioData).op(Op.i32Add);
  };
  const pushSecondBuffer = (): void => {
    pushBuffer();
    code.get(firstSize).op(Op.i32Add);
  };
  const pushSecondSize = (): void => {
    code.get(width).get(firstSize).op(Op.i32Sub);
  };
  code.get(access).i32Const(Access.write).op(Op.i32Eq).if();
  code.get(first);
  pushBuffer();
  code.get(firstSize).memoryCopy();
  code.get(second);
  pushSecondBuffer();
  pushSecondSize();
  code.memoryCopy();
  code.else();
  pushBuffer();
  code.get(first).get(firstSize).memoryCopy();
  pushSecondBuffer();
  code.get(second);
  pushSecondSize();
  code.memoryCopy();
  code.end();
  code.i32Const(0);
}

interface SlowPaths {
  readonly locate: number;
  readonly gather: number;
  readonly accessFault: number;
}

/** Describes an MMIO access to the host; misaligned ones are access faults. Local `width` is in bytes. */
function writeMmioRequest(
  code: CodeBuilder,
  accessFault: number,
  locals: { readonly address: number; readonly width: number; readonly access: number },
): void {
  const refuse = (): void => {
    code.get(HART).get(locals.address).i32Const(locals.access).call(accessFault).i32Const(1).op(Op.return);
  };
  code.get(locals.address).op(Op.i32WrapI64).get(locals.width).i32Const(1).op(Op.i32Sub).op(Op.i32And).if();
  refuse();
  code.end();
  // Beyond 2^53 there is nothing: hosts have addresses as numbers.
  pushField64(code, RiscvBlock.physicalAddress).i64Const(53).op(Op.i64ShrU).op(Op.i64Eqz).op(Op.i32Eqz).if();
  refuse();
  code.end();
  setField64(code, HartBlock.mmioAddress, () => pushField64(code, RiscvBlock.physicalAddress));
  setField32(code, HartBlock.mmioSize, () => code.get(locals.width));
}

function writeLoad(
  code: CodeBuilder,
  { locate, gather, accessFault, mmioRead }: SlowPaths & { mmioRead: number },
): void {
  const address = 1;
  const kind = 2;
  const width = code.local(I32);
  const host = code.local(I32);
  const place = code.local(I32);
  const pushBuffer = (): void => {
    code.get(HART).i32Const(HartBlock.mmioData).op(Op.i32Add);
  };

  code.i32Const(1).get(kind).i32Const(3).op(Op.i32And).op(Op.i32Shl).set(width);
  pushCrosses(code, address, width);
  code.if();
  code.get(HART).get(address).get(width).i32Const(Access.read).call(gather).if();
  code.i32Const(1).op(Op.return).end();
  pushBuffer();
  code.set(host);
  code.else();
  code.get(HART).get(address).i32Const(Access.read).call(locate).tee(place).op(Op.i32Eqz).if();
  code.i32Const(1).op(Op.return).end();
  code.get(place).i32Const(Place.memory).op(Op.i32Eq).if();
  pushField32(code, RiscvBlock.hostAddress).set(host);
  code.else();
  writeMmioRequest(code, accessFault, { address, width, access: Access.read });
  code.call(mmioRead).op(Op.i32Eqz).if();
  code.get(HART).get(address).i32Const(Access.read).call(accessFault).i32Const(1).op(Op.return).end();
  pushBuffer();
  code.set(host).end();
  code.end();

  setField64(code, RiscvBlock.loaded, () => {
    const done = code.block(I64);
    const labels = LOAD_KINDS.map(() => code.block());
    const byKind = labels.toReversed();
    code.get(kind).brTable(byKind, byKind[0] ?? done);
    for (const operation of LOAD_KINDS) {
      code.end();
      code
        .get(host)
        .memory(loads[operation]?.opcode ?? Op.i64Load, 0, 0)
        .br(done);
    }
    code.op(Op.unreachable).end();
  });
  code.i32Const(0);
}

function writeStore(
  code: CodeBuilder,
  { locate, gather, accessFault, mmioWrite }: SlowPaths & { mmioWrite: number },
): void {
  const address = 1;
  const value = 2;
  const width = 3;
  const place = code.local(I32);

  pushCrosses(code, address, width);
  code.if();
  setField64(code, HartBlock.mmioData, () => code.get(value));
  code.get(HART).get(address).get(width).i32Const(Access.write).call(gather).op(Op.return);
  code.end();

  code.get(HART).get(address).i32Const(Access.write).call(locate).tee(place).op(Op.i32Eqz).if();
  code.i32Const(1).op(Op.return).end();
  code.get(place).i32Const(Place.memory).op(Op.i32Eq).if();
  for (const [bytes, opcode] of [
    [8, Op.i64Store],
    [4, Op.i64Store32],
    [2, Op.i64Store16],
    [1, Op.i64Store8],
  ] as const) {
    code.get(width).i32Const(bytes).op(Op.i32Eq).if();
    pushField32(code, RiscvBlock.hostAddress).get(value).memory(opcode, 0, 0);
    code.i32Const(0).op(Op.return).end();
  }
  code.op(Op.unreachable).end();

  writeMmioRequest(code, accessFault, { address, width, access: Access.write });
  setField64(code, HartBlock.mmioData, () => code.get(value));
  code.call(mmioWrite).op(Op.i32Eqz).if();
  code.get(HART).get(address).i32Const(Access.write).call(accessFault).i32Const(1).op(Op.return).end();
  code.i32Const(0);
}
