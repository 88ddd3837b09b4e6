import { CodeBuilder, I32, I64, type Label, type Local, type ModuleBuilder, Op } from '@tsvmm/wasm-emitter';
import { HartBlock, PAGE_SIZE } from '../core/layout.ts';
import { REGION_RECORD_SIZE, RegionExit, RegionRecord } from '../core/region/region-table.ts';
import { CodeTlbEntry, emitCodeTlbLookup, emitDataTlbLookup, emitHostAddress } from '../core/tlb.ts';
import { RiscvBlock } from './block.ts';
import { loadKind } from './data-access.ts';
import { BranchOperands, EntryOperands, pushRegisterA, setRegisterA } from './entry-code.ts';
import {
  commonOperations,
  type Direction,
  FIRST_JUMP,
  firstOfGroup,
  JUMPS_PER_DIRECTION,
  REGION,
} from './entry-operations.ts';
import { HART, Outcome, pushField32, pushField64, setField32, setField64 } from './machine-code.ts';
import { ENTRY_BYTES_PER_CODE_BYTE, Entry } from './predecode.ts';
import { markFloatDirty } from './rare-operations.ts';
import { Cause, Status } from './registers.ts';
import { branchConditions, integerSemantics } from './semantics/integer.ts';
import { loads, type MemoryAccess, NAN_BOX, stores } from './semantics/memory.ts';
import { multiplyDivideSemantics } from './semantics/multiply-divide.ts';

/** Function indices that the main function calls, and how it is made. */
export interface MainFunctionNeeds {
  readonly countInstructions: boolean;
  readonly regionType: number;
  readonly decode: number;
  readonly fetch: number;
  readonly fetchCrossing: number;
  readonly instructionBits: number;
  readonly hot: number;
  readonly verifyRegion: number;
  readonly load: number;
  readonly store: number;
  readonly raise: number;
  readonly rareIntegers: number;
  readonly atomicAccess: number;
  readonly floats: number;
  readonly system: number;
}

/** `(hart)`: the interpreter's loop. @returns the function's index. */
export function defineMainFunction(module: ModuleBuilder, needs: MainFunctionNeeds): number {
  const code = new CodeBuilder(1, 0x1_0000);
  new MainFunctionWriter(code, needs).write();
  return module.function(module.type([I32], []), code);
}

/** Counters of jump targets: 32,768 of two bytes. */
const HOT_COUNTER_MASK = 0xfffe;

/** Parts of the main function that instructions branch to; they enclose each other in this order. */
interface Continuations {
  /** Look the pc in `address` up, and go on there. */
  readonly lookUp: Label;
  /** Privilege, mappings or control changed: go on at the hart's pc. */
  readonly resume: Label;
  /** Enter the trap handler for the exception in the block; `ip` is the instruction's. */
  readonly fault: Label;
  /** The same for an illegal instruction. */
  readonly illegal: Label;
  /** `ip` is the target of a jump within the page that may be a loop's. */
  readonly jumped: Label;
  /** Do the entry at `ip`. */
  readonly dispatch: Label;
}

class MainFunctionWriter {
  readonly #code: CodeBuilder;
  readonly #needs: MainFunctionNeeds;
  /** Address of the decoded entry (i32). */
  readonly #ip: Local;
  /** The pc minus a quarter of `ip` (i64). */
  readonly #pcBase: Local;
  /** A virtual address (i64). */
  readonly #address: Local;
  /** A TLB entry (i32). */
  readonly #entry: Local;
  readonly #operation: Local;
  /** The data TLB in use (i32). */
  readonly #dataTlb: Local;
  /** Whether the instruction at the pc has to be done here even if a region starts there (i32). */
  readonly #plain: Local;
  readonly #instructions: Local;
  readonly #operands: EntryOperands;
  readonly #branchOperands: BranchOperands;
  #to!: Continuations;

  constructor(code: CodeBuilder, needs: MainFunctionNeeds) {
    this.#code = code;
    this.#needs = needs;
    this.#ip = code.local(I32);
    this.#pcBase = code.local(I64);
    this.#address = code.local(I64);
    this.#entry = code.local(I32);
    this.#operation = code.local(I32);
    this.#dataTlb = code.local(I32);
    this.#plain = code.local(I32);
    this.#instructions = code.local(I64);
    this.#operands = new EntryOperands(code, this.#ip, this.#pcBase, new Map());
    this.#branchOperands = new BranchOperands(code, this.#ip, this.#pcBase);
  }

  write(): void {
    const code = this.#code;
    this.#loadState();
    const lookUp = code.loop();
    const resume = code.block();
    const fault = code.block();
    const illegal = code.block();
    this.#writeLookUp(lookUp, resume);
    const jumped = code.loop();
    this.#writeJumped();
    const dispatch = code.loop();
    this.#to = { lookUp, resume, fault, illegal, jumped, dispatch };
    this.#writeDispatch();
    code.end().end().op(Op.unreachable);

    code.end();
    setField32(code, RiscvBlock.trapCause, () => code.i32Const(Cause.illegalInstruction));
    setField64(code, RiscvBlock.trapValue, () => {
      code.get(this.#ip).call(this.#needs.instructionBits).op(Op.i64ExtendI32U);
    });
    code.end();
    code.get(HART);
    this.#pushPc();
    code.call(this.#needs.raise);
    code.end();
    // Here too: a guest whose trap handler cannot be fetched never gets to an instruction.
    code.get(HART).memory(Op.i32AtomicLoad, HartBlock.interruptRequest).if();
    this.#writeReturn();
    code.end();
    this.#loadState();
    code.br(lookUp).end();
    code.op(Op.unreachable);
  }

  /** Takes the pc and what depends on privilege from the block. */
  #loadState(): void {
    const code = this.#code;
    pushField64(code, HartBlock.pc).set(this.#address);
    pushField32(code, HartBlock.dataTlb).set(this.#dataTlb);
  }

  #pushPc(): void {
    this.#operands.pc();
  }

  #savePc(): void {
    setField64(this.#code, HartBlock.pc, () => this.#pushPc());
  }

  /** From `address`: the decoded entry. */
  #writeLookUp(lookUp: Label, resume: Label): void {
    const code = this.#code;
    const tlb = this.#operation;
    pushField32(code, HartBlock.codeTlb).set(tlb);
    emitCodeTlbLookup(code, { address: this.#address, tlb, entry: this.#entry });
    code.op(Op.i32Eqz).if();
    setField64(code, HartBlock.pc, () => code.get(this.#address));
    code.call(this.#needs.fetch).op(Op.i32Eqz).brIf(resume);
    code.br(lookUp).end();
    code.get(this.#entry).memory(Op.i32Load, CodeTlbEntry.page).tee(this.#entry);
    code
      .get(this.#address)
      .op(Op.i32WrapI64)
      .i32Const(PAGE_SIZE - 2)
      .op(Op.i32And);
    code.i32Const(ENTRY_BYTES_PER_CODE_BYTE).op(Op.i32Mul).op(Op.i32Add).set(this.#ip);
    code.get(this.#address).i64Const(-PAGE_SIZE).op(Op.i64And);
    code.get(this.#entry).i32Const(2).op(Op.i32ShrU).op(Op.i64ExtendI32U).op(Op.i64Sub).set(this.#pcBase);
    code.get(this.#plain).if();
    code.i32Const(0).set(this.#plain);
    code.get(this.#ip).memory(Op.i32Load16U).tee(this.#operation).if();
    this.#enterCopy();
    code.end().end();
  }

  /**
   * Makes `ip` a copy, outside of the page, of the entry there, or of the one that a region's replaced. What follows the copy
   * is looked up and counted like a jump target: regions are soon entered again behind what they could not do.
   */
  #enterCopy(): void {
    const code = this.#code;
    const ip = this.#ip;
    this.#savePc();
    code.get(ip).set(this.#entry);
    code.get(this.#operation).i32Const(REGION).op(Op.i32Eq).if();
    this.#pushRecord();
    code.i32Const(RegionRecord.original).op(Op.i32Add).set(this.#entry);
    code.end();
    this.#enterScratch(() => {
      code.get(HART).get(this.#entry).memory(Op.i64Load);
      code.memory(Op.i64Store, RiscvBlock.scratchEntries);
    });
    // Jumps within the page become jumps that leave it: the copy is in no page.
    const jump = this.#operation;
    code.get(ip).memory(Op.i32Load16U).i32Const(FIRST_JUMP).op(Op.i32Sub).tee(jump);
    code
      .i32Const(2 * JUMPS_PER_DIRECTION)
      .op(Op.i32LtU)
      .if();
    code.get(ip);
    code.get(jump).i32Const(JUMPS_PER_DIRECTION).op(Op.i32RemU);
    code
      .i32Const(FIRST_JUMP + 2 * JUMPS_PER_DIRECTION)
      .op(Op.i32Add)
      .memory(Op.i32Store16);
    code.get(ip);
    this.#operands.immediate32();
    code.i32Const(ENTRY_BYTES_PER_CODE_BYTE).op(Op.i32DivS).memory(Op.i32Store, Entry.immediate);
    code.end();
  }

  /** Points `ip` at the scratch entries, once `fill` has written the first, and keeps the pc as it is. */
  #enterScratch(fill: () => void): void {
    const code = this.#code;
    this.#pushPc();
    code.set(this.#address);
    fill();
    code.get(HART).i32Const(RiscvBlock.scratchEntries).op(Op.i32Add).set(this.#ip);
    code.get(this.#address);
    code.get(this.#ip).i32Const(2).op(Op.i32ShrU).op(Op.i64ExtendI32U).op(Op.i64Sub).set(this.#pcBase);
  }

  /** Pushes the address of the record of the region at `ip`. */
  #pushRecord(): void {
    const code = this.#code;
    this.#operands.immediate32();
    code.i32Const(REGION_RECORD_SIZE).op(Op.i32Mul);
    code.get(HART).op(Op.i32Add).i32Const(HartBlock.regionTable).op(Op.i32Add);
  }

  /** A jump was taken that may close a loop: requests, and the target's counter. */
  #writeJumped(): void {
    const code = this.#code;
    const counter = this.#entry;
    code.get(HART).memory(Op.i32AtomicLoad, HartBlock.interruptRequest).if();
    this.#savePc();
    this.#writeReturn();
    code.end();
    code.get(this.#ip).i32Const(2).op(Op.i32ShrU).i32Const(HOT_COUNTER_MASK).op(Op.i32And);
    code.get(HART).op(Op.i32Add).tee(counter);
    code
      .get(counter)
      .memory(Op.i32Load16U, HartBlock.hotCounters)
      .i32Const(1)
      .op(Op.i32Add)
      .tee(this.#operation);
    code.memory(Op.i32Store16, HartBlock.hotCounters);
    code.get(this.#operation);
    pushField32(code, RiscvBlock.hotThreshold).op(Op.i32Eq).if();
    this.#savePc();
    code.get(this.#ip).call(this.#needs.hot);
    code.end();
  }

  #writeReturn(): void {
    const code = this.#code;
    if (this.#needs.countInstructions) {
      setField64(code, HartBlock.interpreterInstructions, () => {
        pushField64(code, HartBlock.interpreterInstructions).get(this.#instructions).op(Op.i64Add);
      });
    }
    code.op(Op.return);
  }

  #count(amount: number): void {
    if (this.#needs.countInstructions) {
      this.#code.get(this.#instructions).i64Const(amount).op(Op.i64Add).set(this.#instructions);
    }
  }

  #writeDispatch(): void {
    const code = this.#code;
    this.#count(1);
    const rare = code.block();
    const labels = commonOperations.map(() => code.block()).toReversed();
    code.get(this.#ip).memory(Op.i32Load16U).tee(this.#operation).brTable(labels, rare);
    for (const { name, length } of commonOperations) {
      code.end();
      if (length === 0) {
        this.#writeSpecial(name);
      } else {
        this.#writeInstruction(name, length);
      }
    }
    code.end();
    this.#writeRare();
  }

  /** Goes on at the next instruction. */
  #next(length: number): void {
    const code = this.#code;
    code
      .get(this.#ip)
      .i32Const(length * ENTRY_BYTES_PER_CODE_BYTE)
      .op(Op.i32Add)
      .set(this.#ip);
    code.br(this.#to.dispatch);
  }

  #writeSpecial(name: string): void {
    const code = this.#code;
    this.#count(-1);
    switch (name) {
      case 'decode':
        code.get(this.#ip).call(this.#needs.decode).br(this.#to.dispatch);
        break;
      case 'page_end':
        this.#pushPc();
        code.set(this.#address).br(this.#to.lookUp);
        break;
      case 'crossing':
        this.#savePc();
        code.call(this.#needs.fetchCrossing).op(Op.i32Eqz).brIf(this.#to.resume);
        this.#enterScratch(() => {});
        code.br(this.#to.dispatch);
        break;
      case 'region':
        this.#writeRegion();
        break;
      default:
        code.br(this.#to.illegal);
    }
  }

  #writeRegion(): void {
    const code = this.#code;
    const record = this.#entry;
    const base = this.#address;
    this.#pushPc();
    code.i64Const(-PAGE_SIZE).op(Op.i64And);
    this.#pushRecord();
    code.tee(record).memory(Op.i64Load32S, RegionRecord.pageDelta).i64Const(PAGE_SIZE).op(Op.i64Mul);
    code.op(Op.i64Sub).set(base);
    // Verified under this mapping and at this address?
    code.get(record).memory(Op.i32Load, RegionRecord.verifiedKey);
    pushField32(code, HartBlock.mappingKey).op(Op.i32Ne);
    code.get(record).memory(Op.i64Load, RegionRecord.verifiedBase).get(base).op(Op.i64Ne).op(Op.i32Or).if();
    this.#savePc();
    code.get(record).call(this.#needs.verifyRegion).op(Op.i32Eqz).if();
    code.i32Const(1).set(this.#plain);
    code.br(this.#to.resume).end();
    code.end();
    code.get(HART);
    code.get(record).memory(Op.i32Load, RegionRecord.entry);
    code.get(base);
    code.get(record).memory(Op.i32Load, RegionRecord.slot).callIndirect(this.#needs.regionType);
    code.i32Const(RegionExit.interpret).op(Op.i32Eq).set(this.#plain);
    code.br(this.#to.resume);
  }

  #writeRare(): void {
    const code = this.#code;
    const { rareIntegers, atomicAccess, floats, system } = this.#needs;
    const outcome = this.#entry;
    const before = (group: 'atomic' | 'float' | 'system'): void => {
      code.get(this.#operation).i32Const(firstOfGroup(group)).op(Op.i32LtU);
    };
    const pushArguments = (): void => {
      code.get(HART).get(this.#ip).get(this.#operation);
    };
    before('atomic');
    code.if();
    pushArguments();
    code.call(rareIntegers);
    this.#next(4);
    code.end();
    before('float');
    code.if(I32);
    pushArguments();
    code.call(atomicAccess).else();
    before('system');
    code.if(I32);
    pushArguments();
    code.call(floats).else();
    pushArguments();
    this.#pushPc();
    code.call(system).end().end();
    code.tee(outcome).op(Op.i32Eqz).if();
    this.#next(4);
    code.end();
    code.get(outcome).i32Const(Outcome.resume).op(Op.i32Eq).brIf(this.#to.resume);
    code.get(outcome).i32Const(Outcome.fault).op(Op.i32Eq).brIf(this.#to.fault);
    code.br(this.#to.illegal);
  }

  #writeInstruction(name: string, length: 2 | 4): void {
    const code = this.#code;
    const load = loads[name];
    const store = stores[name];
    const [, jump, direction] = /^(.*)_(forward|backward|leaving)$/.exec(name) ?? [];
    if (load !== undefined) {
      this.#writeLoad(name, load);
      this.#next(length);
    } else if (store !== undefined) {
      this.#writeStore(store);
      this.#next(length);
    } else if (jump !== undefined) {
      this.#writeJump(jump, direction as Direction, length);
    } else if (name === 'jalr' || name === 'jr') {
      this.#writeIndirectJump(name === 'jalr', length);
    } else {
      const semantics = integerSemantics[name] ?? multiplyDivideSemantics[name];
      switch (name) {
        case 'nop':
          break;
        case 'li':
          setRegisterA(code, this.#ip, HartBlock.x, () => this.#operands.immediate());
          break;
        case 'mv':
          setRegisterA(code, this.#ip, HartBlock.x, () => this.#operands.rs1());
          break;
        default:
          setRegisterA(code, this.#ip, HartBlock.x, () => semantics?.(this.#operands));
      }
      this.#next(length);
    }
  }

  /** Branches to `illegal` if the floating-point unit is off, and notes that it is dirty if the instruction changes it. */
  #writeFloatCheck(changes: boolean): void {
    const code = this.#code;
    pushField32(code, HartBlock.sstatus).i32Const(Status.fs).op(Op.i32And);
    if (changes) {
      code.i32Const(Status.fs).op(Op.i32Ne).if();
      pushField32(code, HartBlock.sstatus)
        .i32Const(Status.fs)
        .op(Op.i32And)
        .op(Op.i32Eqz)
        .brIf(this.#to.illegal);
      code.end();
    } else {
      code.op(Op.i32Eqz).brIf(this.#to.illegal);
    }
  }

  #setDataAddress(): void {
    const code = this.#code;
    this.#operands.rs1();
    this.#operands.immediate();
    code.op(Op.i64Add).set(this.#address);
  }

  #writeLoad(name: string, { width, float, opcode }: MemoryAccess): void {
    const code = this.#code;
    const locals = { address: this.#address, tlb: this.#dataTlb, entry: this.#entry };
    if (float) {
      this.#writeFloatCheck(true);
    }
    this.#setDataAddress();
    setRegisterA(code, this.#ip, float ? HartBlock.f : HartBlock.x, () => {
      emitDataTlbLookup(code, locals, width, 'read');
      code.if(I64);
      emitHostAddress(code, locals);
      code.memory(opcode).else();
      code.get(HART).get(this.#address).i32Const(loadKind(name)).call(this.#needs.load).brIf(this.#to.fault);
      pushField64(code, RiscvBlock.loaded).end();
      if (float && width === 4) {
        code.i64Const(NAN_BOX).op(Op.i64Or);
      }
    });
    if (float) {
      markFloatDirty(code);
    }
  }

  #writeStore({ width, float, opcode }: MemoryAccess): void {
    const code = this.#code;
    const locals = { address: this.#address, tlb: this.#dataTlb, entry: this.#entry };
    const pushData = (): void => pushRegisterA(code, this.#ip, float ? HartBlock.f : HartBlock.x);
    if (float) {
      this.#writeFloatCheck(false);
    }
    this.#setDataAddress();
    emitDataTlbLookup(code, locals, width, 'write');
    code.if();
    emitHostAddress(code, locals);
    pushData();
    code.memory(opcode).else();
    code.get(HART).get(this.#address);
    pushData();
    code.i32Const(width).call(this.#needs.store).brIf(this.#to.fault);
    code.end();
  }

  #pushReturnAddress(length: number): void {
    this.#pushPc();
    this.#code.i64Const(length).op(Op.i64Add);
  }

  #writeJump(name: string, direction: Direction, length: 2 | 4): void {
    const code = this.#code;
    const condition = branchConditions[name];
    const take = (): void => {
      if (direction === 'leaving') {
        this.#pushPc();
        this.#operands.immediate();
        code.op(Op.i64Add).set(this.#address).br(this.#to.lookUp);
        return;
      }
      code.get(this.#ip);
      this.#operands.immediate32();
      code.op(Op.i32Add).set(this.#ip);
      // A call's target may be hot, a forward jump's is not on its own account.
      code.br(direction === 'backward' || name === 'jal' ? this.#to.jumped : this.#to.dispatch);
    };
    if (condition === undefined) {
      if (name === 'jal') {
        setRegisterA(code, this.#ip, HartBlock.x, () => this.#pushReturnAddress(length));
      }
      take();
    } else if (direction === 'forward') {
      code.get(this.#ip);
      this.#operands.immediate32();
      code.i32Const(length * ENTRY_BYTES_PER_CODE_BYTE);
      condition(this.#branchOperands);
      code.op(Op.select).op(Op.i32Add).set(this.#ip).br(this.#to.dispatch);
    } else {
      condition(this.#branchOperands);
      code.if();
      take();
      code.end();
      this.#next(length);
    }
  }

  #writeIndirectJump(links: boolean, length: 2 | 4): void {
    const code = this.#code;
    this.#operands.rs1();
    this.#operands.immediate();
    code.op(Op.i64Add).i64Const(-2).op(Op.i64And).set(this.#address);
    if (links) {
      setRegisterA(code, this.#ip, HartBlock.x, () => this.#pushReturnAddress(length));
    }
    code.br(this.#to.lookUp);
  }
}
