import { type CodeBuilder, type Local, Op } from '@tsvmm/wasm-emitter';
import { DATA_TLB_ENTRIES, DATA_TLB_ENTRY_SIZE, DataTlbEntry, PAGE_SIZE } from './layout.ts';

/** Bytes of one data TLB and of one code TLB. */
export const DATA_TLB_SIZE = DATA_TLB_ENTRIES * DATA_TLB_ENTRY_SIZE;
export const CODE_TLB_ENTRIES = 1024;
export const CODE_TLB_ENTRY_SIZE = 16;
export const CODE_TLB_SIZE = CODE_TLB_ENTRIES * CODE_TLB_ENTRY_SIZE;

/** Where the entries of both kinds say whether the mapping is global: survives a change of address space (i32). */
export const DATA_TLB_GLOBAL = 20;
/** Virtual page (u64, -1 for none), address of the decoded page (i32), global (i32). */
export const CodeTlbEntry = { tag: 0, page: 8, global: 12 } as const;

const PAGE_BITS = Math.log2(PAGE_SIZE);
const PAGE_MASK = -PAGE_SIZE;

/** Locals of a look-up. */
export interface TlbLocals {
  /** Virtual address (i64). */
  readonly address: Local;
  /** Address of the TLB in use (i32). */
  readonly tlb: Local;
  /** Gets the address of the entry that the virtual address selects (i32). */
  readonly entry: Local;
}

function emitEntry(
  code: CodeBuilder,
  { address, tlb, entry }: TlbLocals,
  entries: number,
  size: number,
): void {
  const sizeBits = Math.log2(size);
  code
    .get(address)
    .i64Const(PAGE_BITS - sizeBits)
    .op(Op.i64ShrU)
    .op(Op.i32WrapI64);
  code.i32Const((entries - 1) * size).op(Op.i32And);
  code.get(tlb).op(Op.i32Add).set(entry);
}

/**
 * Looks a datum up in a data TLB: pushes an i32 that is not zero on a hit. Misses every access that is not aligned to its
 * width, which keeps those that cross a page out.
 */
export function emitDataTlbLookup(
  code: CodeBuilder,
  locals: TlbLocals,
  width: number,
  access: 'read' | 'write',
): void {
  emitEntry(code, locals, DATA_TLB_ENTRIES, DATA_TLB_ENTRY_SIZE);
  const tag = access === 'read' ? DataTlbEntry.readTag : DataTlbEntry.writeTag;
  code.get(locals.entry).memory(Op.i64Load, tag);
  code
    .get(locals.address)
    .i64Const(PAGE_MASK | (width - 1))
    .op(Op.i64And)
    .op(Op.i64Eq);
}

/** After a hit: pushes where the datum is in the WebAssembly memory (i32). */
export function emitHostAddress(code: CodeBuilder, { address, entry }: TlbLocals): void {
  code.get(entry).memory(Op.i32Load, DataTlbEntry.addend);
  code.get(address).op(Op.i32WrapI64).op(Op.i32Add);
}

/** Looks a pc up in a code TLB: pushes an i32 that is not zero on a hit. */
export function emitCodeTlbLookup(code: CodeBuilder, locals: TlbLocals): void {
  emitEntry(code, locals, CODE_TLB_ENTRIES, CODE_TLB_ENTRY_SIZE);
  code.get(locals.entry).memory(Op.i64Load, CodeTlbEntry.tag);
  code.get(locals.address).i64Const(PAGE_MASK).op(Op.i64And).op(Op.i64Eq);
}
