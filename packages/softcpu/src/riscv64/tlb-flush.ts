import { type CodeBuilder, I32, I64, type ModuleBuilder, Op } from '@tsvmm/wasm-emitter';
import { DATA_TLB_ENTRIES, DATA_TLB_ENTRY_SIZE, DataTlbEntry, HartBlock } from '../core/layout.ts';
import {
  CODE_TLB_ENTRIES,
  CODE_TLB_ENTRY_SIZE,
  CODE_TLB_SIZE,
  CodeTlbEntry,
  DATA_TLB_GLOBAL,
  DATA_TLB_SIZE,
} from '../core/tlb.ts';
import { RiscvBlock } from './block.ts';
import { defineFunction, HART, pushField32, setField32 } from './machine-code.ts';

export interface TlbFlushes {
  /** `(hart)`: forgets all translations. */
  readonly all: number;
  /** `(hart)`: forgets those that are not global. */
  readonly nonGlobal: number;
  /** `(hart, address: i64)`: forgets those of one page, or all if a superpage might be concerned. */
  readonly page: number;
  /** `(hart)`: forgets the translations of code only. */
  readonly code: number;
}

const DATA_TLBS = 3;
const CODE_TLBS = 2;

/** Offsets of supervisor TLBs in the block: only there are global mappings worth keeping. */
const SUPERVISOR_DATA_TLBS = [HartBlock.dataTlbs + DATA_TLB_SIZE, HartBlock.dataTlbs + 2 * DATA_TLB_SIZE];
const SUPERVISOR_CODE_TLB = HartBlock.codeTlbs + CODE_TLB_SIZE;

/** Forgetting translations (privileged manual, 12.2.1). Each bumps the mapping key, by which regions are verified. */
export function defineTlbFlushes(module: ModuleBuilder): TlbFlushes {
  const code = defineFunction(module, [], [], (code) => {
    fill(code, HartBlock.codeTlbs, CODE_TLBS * CODE_TLB_SIZE);
    bumpMappingKey(code);
  });

  const all = defineFunction(module, [], [], (code) => {
    fill(code, HartBlock.dataTlbs, DATA_TLBS * DATA_TLB_SIZE);
    fill(code, HartBlock.codeTlbs, CODE_TLBS * CODE_TLB_SIZE);
    setField32(code, RiscvBlock.superpages, () => code.i32Const(0));
    bumpMappingKey(code);
  });

  const nonGlobal = defineFunction(module, [], [], (code) => {
    fill(code, HartBlock.dataTlbs, DATA_TLB_SIZE);
    fill(code, HartBlock.codeTlbs, CODE_TLB_SIZE);
    for (const offset of SUPERVISOR_DATA_TLBS) {
      forEachEntry(code, offset, DATA_TLB_ENTRIES, DATA_TLB_ENTRY_SIZE, (entry) => {
        code.get(entry).memory(Op.i32Load, DATA_TLB_GLOBAL).op(Op.i32Eqz).if();
        code.get(entry).i64Const(-1).memory(Op.i64Store, DataTlbEntry.readTag);
        code.get(entry).i64Const(-1).memory(Op.i64Store, DataTlbEntry.writeTag);
        code.end();
      });
    }
    forEachEntry(code, SUPERVISOR_CODE_TLB, CODE_TLB_ENTRIES, CODE_TLB_ENTRY_SIZE, (entry) => {
      code.get(entry).memory(Op.i32Load, CodeTlbEntry.global).op(Op.i32Eqz).if();
      code.get(entry).i64Const(-1).memory(Op.i64Store, CodeTlbEntry.tag);
      code.end();
    });
    bumpMappingKey(code);
  });

  const page = defineFunction(module, [I64], [], (code) => {
    const address = 1;
    const entry = code.local(I32);
    // Entries are of 4 KiB: those of a superpage are not where its first address leads.
    pushField32(code, RiscvBlock.superpages);
    code.get(address).i64Const(63).op(Op.i64ShrU).op(Op.i32WrapI64).op(Op.i32ShrU).i32Const(1).op(Op.i32And);
    code.if();
    code.get(HART).call(all).op(Op.return).end();
    for (let tlb = 0; tlb < DATA_TLBS; tlb++) {
      selectEntry(
        code,
        address,
        HartBlock.dataTlbs + tlb * DATA_TLB_SIZE,
        DATA_TLB_ENTRIES,
        DATA_TLB_ENTRY_SIZE,
      );
      code.tee(entry).i64Const(-1).memory(Op.i64Store, DataTlbEntry.readTag);
      code.get(entry).i64Const(-1).memory(Op.i64Store, DataTlbEntry.writeTag);
    }
    for (let tlb = 0; tlb < CODE_TLBS; tlb++) {
      selectEntry(
        code,
        address,
        HartBlock.codeTlbs + tlb * CODE_TLB_SIZE,
        CODE_TLB_ENTRIES,
        CODE_TLB_ENTRY_SIZE,
      );
      code.i64Const(-1).memory(Op.i64Store, CodeTlbEntry.tag);
    }
    bumpMappingKey(code);
  });

  return { all, nonGlobal, page, code };
}

function fill(code: CodeBuilder, offset: number, size: number): void {
  code.get(HART).i32Const(offset).op(Op.i32Add).i32Const(0xff).i32Const(size).memoryFill();
}

/** Pushes the address of the entry that an address (i64) selects. */
function selectEntry(code: CodeBuilder, address: number, tlb: number, entries: number, size: number): void {
  code
    .get(address)
    .i64Const(12)
    .op(Op.i64ShrU)
    .op(Op.i32WrapI64)
    .i32Const(entries - 1)
    .op(Op.i32And);
  code.i32Const(size).op(Op.i32Mul).i32Const(tlb).op(Op.i32Add).get(HART).op(Op.i32Add);
}

function forEachEntry(
  code: CodeBuilder,
  offset: number,
  entries: number,
  size: number,
  body: (entry: number) => void,
): void {
  const entry = code.local(I32);
  const end = code.local(I32);
  code.get(HART).i32Const(offset).op(Op.i32Add).tee(entry);
  code
    .i32Const(entries * size)
    .op(Op.i32Add)
    .set(end);
  const loop = code.loop();
  body(entry);
  code.get(entry).i32Const(size).op(Op.i32Add).tee(entry).get(end).op(Op.i32LtU).brIf(loop);
  code.end();
}

function bumpMappingKey(code: CodeBuilder): void {
  setField32(code, HartBlock.mappingKey, () => {
    pushField32(code, HartBlock.mappingKey).i32Const(2).op(Op.i32Add);
  });
}
