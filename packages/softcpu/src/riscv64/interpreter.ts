import { I32, I64, ModuleBuilder } from '@tsvmm/wasm-emitter';
import { HartBlock } from '../core/layout.ts';
import { defineAtomicAccess } from './atomic-access.ts';
import { RiscvBlock } from './block.ts';
import { defineCsrAccess } from './csr-access.ts';
import { defineDataAccess } from './data-access.ts';
import { buildFloatHelpers } from './float/helpers.ts';
import { defineFunction, HART, pushField64 } from './machine-code.ts';
import { defineMainFunction } from './main-function.ts';
import { definePageWalk } from './page-walk.ts';
import { defineFloatOperations, defineRareIntegers, defineSystemOperations } from './rare-operations.ts';
import { defineTlbFlushes } from './tlb-flush.ts';
import { defineTraps } from './traps.ts';

/** What the interpreter's module imports, under module name `hart`. All concern the hart the instance was made for. */
export interface InterpreterImports {
  memory: WebAssembly.Memory;
  /** Functions of regions. */
  regions: WebAssembly.Table;
  /** Decodes the instruction of the entry at `ip`. */
  decode(ip: number): void;
  /** Makes the code TLB hold the page of the hart's pc. 0: it cannot be executed, the trap has been entered. */
  fetch(): number;
  /** Decodes the instruction at the hart's pc, which lies on two pages, into the scratch entry. 0: trapped, as `fetch`. */
  fetchCrossing(): number;
  /** The instruction that was decoded to the entry at `ip`. */
  instructionBits(ip: number): number;
  /** Complete the access in the block; 0 if nothing is there. */
  mmioRead(): number;
  mmioWrite(): number;
  readCsr(number: number): number;
  writeCsr(number: number, kind: number): number;
  supervisorCall(): void;
  waitForInterrupt(): void;
  fenceInstruction(): void;
  /** The jump target at `ip`, of the page of the hart's pc, is hot. */
  hot(ip: number): void;
  /** Whether the region of a record may be entered at the hart's pc. */
  verifyRegion(record: number): number;
}

/** What it exports, besides the helpers of floating point under their names. `hart` is the address of a hart's block. */
export interface InterpreterExports {
  /** Runs from the hart's pc until `interruptRequest` is not zero. The pc is that of the next instruction. */
  run(hart: number): void;
  /** Enters the trap handler for the trap in the block; the pc is in the block. */
  raise(hart: number): void;
  /** Translates the address in `csrValue`: 1 if it succeeded. */
  translate(hart: number, access: number): number;
  updateMode(hart: number): void;
  checkInterrupts(hart: number): void;
  flushAll(hart: number): void;
  flushNonGlobal(hart: number): void;
  /** Flushes the page whose address is in `csrValue`. */
  flushPage(hart: number): void;
  flushCode(hart: number): void;
}

const HART_MODULE = 'hart';

const modules = new Map<boolean, WebAssembly.Module>();

/** The interpreter, compiled; one for all harts of a thread. */
export function interpreterModule(countInstructions: boolean): WebAssembly.Module {
  let module = modules.get(countInstructions);
  if (module === undefined) {
    module = new WebAssembly.Module(buildInterpreter(countInstructions));
    modules.set(countInstructions, module);
  }
  return module;
}

/** Generates the interpreter from the semantics. */
export function buildInterpreter(countInstructions: boolean): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  const type = (parameters: number, results: number): number =>
    module.type(Array(parameters).fill(I32), Array(results).fill(I32));
  const importFunction = (name: keyof InterpreterImports, parameters: number, results: number): number =>
    module.importFunction(HART_MODULE, name, type(parameters, results));

  module.importMemory(HART_MODULE, 'memory', { minimumPages: 1, maximumPages: 0x1_0000, shared: true });
  module.importTable(HART_MODULE, 'regions', 1);
  const decode = importFunction('decode', 1, 0);
  const fetch = importFunction('fetch', 0, 1);
  const fetchCrossing = importFunction('fetchCrossing', 0, 1);
  const instructionBits = importFunction('instructionBits', 1, 1);
  const mmioRead = importFunction('mmioRead', 0, 1);
  const mmioWrite = importFunction('mmioWrite', 0, 1);
  const readCsr = importFunction('readCsr', 1, 1);
  const writeCsr = importFunction('writeCsr', 2, 1);
  const supervisorCall = importFunction('supervisorCall', 0, 0);
  const waitForInterrupt = importFunction('waitForInterrupt', 0, 0);
  const fenceInstruction = importFunction('fenceInstruction', 0, 0);
  const hot = importFunction('hot', 1, 0);
  const verifyRegion = importFunction('verifyRegion', 1, 1);

  const helpers = buildFloatHelpers(module);
  const flushes = defineTlbFlushes(module);
  const traps = defineTraps(module, flushes);
  const walk = definePageWalk(module);
  const access = defineDataAccess(module, walk, { read: mmioRead, write: mmioWrite });
  const csr = defineCsrAccess(module, traps, { read: readCsr, write: writeCsr });
  const rareIntegers = defineRareIntegers(module);
  const atomicAccess = defineAtomicAccess(module, access, walk);
  const floats = defineFloatOperations(module, helpers);
  const system = defineSystemOperations(module, {
    access,
    walk,
    traps,
    flushes,
    csr,
    supervisorCall,
    waitForInterrupt,
    fenceInstruction,
  });
  const run = defineMainFunction(module, {
    countInstructions,
    regionType: module.type([I32, I32, I64], [I32]),
    decode,
    fetch,
    fetchCrossing,
    instructionBits,
    hot,
    verifyRegion,
    load: access.load,
    store: access.store,
    raise: traps.raise,
    rareIntegers,
    atomicAccess,
    floats,
    system,
  });

  module.exportFunction('run', run);
  exportWithBlockArguments(module, {
    translate: walk.translate,
    flushPage: flushes.page,
    raise: traps.raise,
  });
  module.exportFunction('updateMode', traps.updateMode);
  module.exportFunction('checkInterrupts', traps.checkInterrupts);
  module.exportFunction('flushAll', flushes.all);
  module.exportFunction('flushNonGlobal', flushes.nonGlobal);
  module.exportFunction('flushCode', flushes.code);
  return module.toBytes();
}

/** JavaScript gives 64-bit arguments through the block: BigInts would be allocated. */
function exportWithBlockArguments(
  module: ModuleBuilder,
  functions: { readonly translate: number; readonly flushPage: number; readonly raise: number },
): void {
  module.exportFunction(
    'translate',
    defineFunction(module, [I32], [I32], (code) => {
      code.get(HART);
      pushField64(code, RiscvBlock.csrValue).get(1).call(functions.translate);
    }),
  );
  module.exportFunction(
    'flushPage',
    defineFunction(module, [], [], (code) => {
      code.get(HART);
      pushField64(code, RiscvBlock.csrValue).call(functions.flushPage);
    }),
  );
  module.exportFunction(
    'raise',
    defineFunction(module, [], [], (code) => {
      code.get(HART);
      pushField64(code, HartBlock.pc).call(functions.raise);
    }),
  );
}
