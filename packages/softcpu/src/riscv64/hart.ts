import { CodePages } from '../core/code-pages.ts';
import { HartBlock, PAGE_SIZE, Request } from '../core/layout.ts';
import { Mailbox } from '../core/mailbox.ts';
import type { SoftMemory } from '../core/memory.ts';
import { RegionRecord } from '../core/region/region-table.ts';
import { CODE_TLB_ENTRIES, CODE_TLB_ENTRY_SIZE, CodeTlbEntry } from '../core/tlb.ts';
import { RiscvBlock } from './block.ts';
import { CsrFile } from './csr.ts';
import { decode } from './decode.ts';
import { PAGE_END } from './entry-operations.ts';
import type { Fence, HartHost, HartStop, PhysicalAccess, Translator } from './hart-host.ts';
import { type InterpreterExports, type InterpreterImports, interpreterModule } from './interpreter.ts';
import { Access } from './page-walk.ts';
import { ENTRY_SIZE, Entry, type EntryFields, Predecoder, predecode } from './predecode.ts';
import { Cause, Interrupt, PageFlag, Status } from './registers.ts';
import { TRAP_IS_INTERRUPT } from './traps.ts';

export interface HartOptions {
  /** Taken jumps to one target after which the translator is told; 0, the default, never. At most 65,535. */
  readonly hotThreshold?: number;
  /** Counts instructions in the hart's block, which costs a few per cent: for measurements. */
  readonly countInstructions?: boolean;
}

/** Privilege modes (privileged manual, 1.2). */
export const Privilege = { user: 0, supervisor: 1 } as const;

const TWO_32 = 0x1_0000_0000;
/** A fence of more pages flushes everything. */
const MOST_PAGES_ONE_BY_ONE = 64;
/** A threshold that a counter of 16 bits never reaches. */
const NEVER = 0x2_0000;

/**
 * One RV64GC hart without M-mode: what a guest sees of a machine whose firmware delegates everything. Its state is in its
 * block of the shared memory; this object runs it, on the thread that made it.
 */
export class Hart {
  readonly id: number;
  readonly memory: SoftMemory;
  /** Address of the hart's block in the WebAssembly memory. */
  readonly block: number;
  /** The other tier; may be set at any time before `run`. */
  translator: Translator | undefined;
  /** Functions of regions, for `RegionRecord.slot`; slot 0 is no region's. */
  readonly regions = new WebAssembly.Table({ initial: 1, element: 'anyfunc' });
  /** Decoded code: where regions are entered. */
  readonly codePages: CodePages;
  /** The interpreter's functions, among them the helpers that regions import. */
  readonly exports: WebAssembly.Exports;
  readonly #host: HartHost;
  readonly #interpreter: InterpreterExports;
  readonly #csrs: CsrFile;
  readonly #mailbox: Mailbox;
  readonly #u16: Uint16Array<SharedArrayBuffer>;
  readonly #u32: Uint32Array<SharedArrayBuffer>;
  readonly #i32: Int32Array<SharedArrayBuffer>;
  readonly #scratch: number;
  readonly #predecoder = new Predecoder();
  readonly #access: PhysicalAccess = { address: 0, size: 1, low: 0, high: 0 };

  constructor(memory: SoftMemory, id: number, host: HartHost, options: HartOptions = {}) {
    this.memory = memory;
    this.id = id;
    this.block = memory.hartBlock(id);
    this.#host = host;
    this.#u16 = memory.u16;
    this.#u32 = memory.u32;
    this.#i32 = memory.i32;
    this.#scratch = this.block + RiscvBlock.scratchEntries;
    this.#mailbox = new Mailbox(memory, RiscvBlock.mailbox);
    this.codePages = new CodePages(memory, this.block, PAGE_END, {
      changed: (page) => this.translator?.pageChanged(page),
      flushed: () => {
        this.#interpreter.flushCode(this.block);
        this.translator?.flushed();
      },
    });
    this.#csrs = new CsrFile(memory, this.block, {
      readTime: () => host.readTime(),
      timerChanged: (deadline) => host.timerChanged?.(deadline),
      addressSpaceChanged: () => this.#interpreter.flushNonGlobal(this.block),
      checkInterrupts: () => this.#interpreter.checkInterrupts(this.block),
    });
    const module = interpreterModule(options.countInstructions ?? false);
    const imports: InterpreterImports = this.#imports();
    this.exports = new WebAssembly.Instance(module, { hart: { ...imports } }).exports;
    this.#interpreter = this.exports as unknown as InterpreterExports;
    this.#initialize(options.hotThreshold ?? 0);
  }

  /** Runs the guest until `Request.stop` is set (by {@link requestStop} or `SoftMemory.request`), which is then cleared. */
  run(): HartStop {
    this.#setIdle(false);
    while (!this.#serveRequests()) {
      this.#interpreter.run(this.block);
    }
    this.#setIdle(true);
    return 'stopped';
  }

  /**
   * Puts the hart into the state in which SBI starts one (HSM extension, 9.1): S-mode, no translation, interrupts off.
   *
   * @param pc address of the first instruction
   * @param a0 hart id, by the boot protocol
   * @param a1 address of the device tree, or SBI's opaque parameter
   */
  reset(pc: number, a0: number, a1: number): void {
    const start = this.block >>> 2;
    this.#u32.fill(0, start + HartBlock.x / 4, start + HartBlock.interruptRequest / 4);
    this.#u32.fill(0, start + HartBlock.fflags / 4, start + HartBlock.reservationAddress / 4);
    this.#u32.fill(0, start + HartBlock.sstatus / 4, start + HartBlock.mmioAddress / 4);
    this.#u32.fill(0xffff_ffff, start + HartBlock.stimecmp / 4, start + HartBlock.stimecmp / 4 + 2);
    this.#u32.fill(
      0xffff_ffff,
      start + HartBlock.reservationAddress / 4,
      start + HartBlock.reservationAddress / 4 + 2,
    );
    this.#u32[start + HartBlock.privilege / 4] = Privilege.supervisor;
    this.#interpreter.updateMode(this.block);
    this.#interpreter.flushAll(this.block);
    this.codePages.invalidate();
    this.#setNumber(HartBlock.pc, pc);
    this.setRegister(10, a0);
    this.setRegister(11, a1);
  }

  /** Low word of x0–x31, unsigned. */
  registerLow(register: number): number {
    return this.#low(HartBlock.x + register * 8);
  }

  /** High word of x0–x31, unsigned. */
  registerHigh(register: number): number {
    return this.#high(HartBlock.x + register * 8);
  }

  /** x0–x31 as an unsigned number: exact below 2^53. */
  register(register: number): number {
    return this.#number(HartBlock.x + register * 8);
  }

  /** Sets x1–x31 to a safe integer; a negative one is sign-extended. */
  setRegister(register: number, value: number): void {
    if (register !== 0) {
      this.#setNumber(HartBlock.x + register * 8, value);
    }
  }

  /** Sets x1–x31 to two words. */
  setRegisterWords(register: number, low: number, high: number): void {
    if (register !== 0) {
      const index = (this.block + HartBlock.x + register * 8) >>> 2;
      this.#u32[index] = low;
      this.#u32[index + 1] = high;
    }
  }

  /** Sets `stimecmp`: SBI's timer extension, for guests that do not know the register. */
  setTimer(low: number, high: number): void {
    this.#csrs.setTimer(low, high);
  }

  /** Address of the next instruction, while the hart does not run. */
  get pc(): bigint {
    return (BigInt(this.#high(HartBlock.pc)) << 32n) | BigInt(this.#low(HartBlock.pc));
  }

  /** Makes {@link run} return: soon, if called from within one of the host's callbacks. */
  requestStop(): void {
    this.memory.request(this.id, Request.stop);
  }

  /** WFI: waits, without spinning, until an interrupt is pending in `sip & sie`, or anything is requested. */
  waitForInterrupt(): void {
    this.#csrs.updatePending();
    if (this.#csrs.pendingInterrupt() === 0) {
      const request = (this.block + HartBlock.interruptRequest) >>> 2;
      const milliseconds = this.#host.millisecondsUntil(this.#csrs.deadline());
      this.#setIdle(true);
      Atomics.wait(this.#i32, request, 0, milliseconds);
      this.#setIdle(false);
      this.#csrs.updatePending();
    }
    this.#interpreter.checkInterrupts(this.block);
  }

  /** Does a fence on this hart. */
  localFence(fence: Fence): void {
    if (fence.kind === 'instruction') {
      this.#fenceInstruction();
    } else if (fence.pages > MOST_PAGES_ONE_BY_ONE) {
      this.#interpreter.flushAll(this.block);
    } else {
      for (let page = fence.page; page < fence.page + fence.pages; page++) {
        const index = (this.block + RiscvBlock.csrValue) >>> 2;
        this.#u32[index] = (page % 0x10_0000) * PAGE_SIZE;
        this.#u32[index + 1] = Math.floor(page / 0x10_0000);
        this.#interpreter.flushPage(this.block);
      }
    }
  }

  /** Does a fence on harts, this one too if it is among them, and returns when all have done it. */
  remoteFence(harts: Iterable<number>, fence: Fence): void {
    const letters = new Map<number, number>();
    for (const hart of harts) {
      if (hart === this.id) {
        this.localFence(fence);
      } else {
        letters.set(hart, this.#mailbox.post(hart, fence));
      }
    }
    for (const [hart, letter] of letters) {
      this.#mailbox.wait(hart, letter, () => this.#serveMailbox());
    }
  }

  /** Makes the software interrupt of a hart pending (sip.SSIP), from any thread: SBI's IPI extension. */
  static sendSoftwareInterrupt(memory: SoftMemory, hart: number): void {
    Atomics.or(memory.i32, (memory.hartBlock(hart) + HartBlock.sip) >>> 2, 1 << Interrupt.software);
    memory.request(hart, Request.interrupt);
  }

  #imports(): InterpreterImports {
    return {
      memory: this.memory.memory,
      regions: this.regions,
      decode: (ip) => {
        const entry = ip >>> 0;
        const offset = this.codePages.offsetOf(entry);
        this.#writeEntry(entry, this.#predecoder.entry(this.codePages.wordAt(entry), offset));
      },
      fetch: () => this.#fetch(),
      fetchCrossing: () => this.#fetchCrossing(),
      instructionBits: (ip) => this.#instructionBits(ip >>> 0),
      mmioRead: () => this.#mmioRead(),
      mmioWrite: () => this.#mmioWrite(),
      readCsr: (number) => (this.#csrs.read(number) ? 1 : 0),
      writeCsr: (number, kind) => this.#csrs.write(number, kind),
      supervisorCall: () => this.#host.supervisorCall(this),
      waitForInterrupt: () => this.waitForInterrupt(),
      fenceInstruction: () => this.#fenceInstruction(),
      hot: (ip) => this.#reportHot(ip >>> 0),
      verifyRegion: (record) => this.#verifyRegion(record >>> 0),
    };
  }

  #initialize(hotThreshold: number): void {
    const { memory, block } = this;
    this.#setNumber(RiscvBlock.ramBase, memory.ramBase);
    this.#setNumber(RiscvBlock.ramSize, memory.ramSize);
    this.#u32[(block + RiscvBlock.ramOffset) >>> 2] = memory.ramOffset;
    this.#u32[(block + RiscvBlock.hotThreshold) >>> 2] = hotThreshold === 0 ? NEVER : hotThreshold;
    for (const index of [1, 2]) {
      this.#writeEntry(this.#scratch + index * ENTRY_SIZE, { operation: PAGE_END, a: 0, b: 0, immediate: 0 });
    }
    this.#setIdle(true);
    this.reset(0, 0, 0);
  }

  /** @returns whether to stop. */
  #serveRequests(): boolean {
    const bits = Atomics.exchange(this.#i32, (this.block + HartBlock.interruptRequest) >>> 2, 0);
    if ((bits & Request.fence) !== 0) {
      this.#serveMailbox();
    }
    if ((bits & Request.translated) !== 0) {
      this.translator?.translated();
    }
    if ((bits & (Request.interrupt | Request.timer)) !== 0) {
      this.#csrs.updatePending();
    }
    if ((bits & Request.timer) !== 0 && this.#host.millisecondsUntil(this.#csrs.deadline()) > 0) {
      // Whoever told us has a clock that is ahead of ours, by a little.
      this.#host.timerChanged?.(this.#csrs.deadline());
    }
    if ((bits & Request.stop) !== 0) {
      // What else was asked for is looked at when the hart runs again.
      Atomics.or(this.#i32, (this.block + HartBlock.interruptRequest) >>> 2, Request.interrupt);
      return true;
    }
    this.#takeInterrupt();
    return false;
  }

  #takeInterrupt(): void {
    const enabled =
      this.#low(HartBlock.privilege) === Privilege.user || (this.#low(HartBlock.sstatus) & Status.sie) !== 0;
    const interrupt = enabled ? this.#csrs.pendingInterrupt() : 0;
    if (interrupt !== 0) {
      this.#u32[(this.block + RiscvBlock.trapCause) >>> 2] = TRAP_IS_INTERRUPT + interrupt;
      this.#setNumber(RiscvBlock.trapValue, 0);
      this.#interpreter.raise(this.block);
    }
  }

  #serveMailbox(): void {
    this.#mailbox.serve(this.id, ({ instruction, addressSpace }) => {
      if (instruction) {
        this.#fenceInstruction();
      }
      if (addressSpace !== undefined) {
        this.localFence({ kind: 'address-space', ...addressSpace });
      }
    });
  }

  #fenceInstruction(): void {
    this.codePages.invalidate();
    this.#interpreter.flushCode(this.block);
  }

  #setIdle(idle: boolean): void {
    Atomics.store(this.#i32, (this.block + HartBlock.idle) >>> 2, idle ? 1 : 0);
  }

  #fetch(): number {
    const pcLow = this.#low(HartBlock.pc);
    const pcHigh = this.#high(HartBlock.pc);
    const physical = this.#translateCode(pcLow, pcHigh);
    if (physical === undefined) {
      return 0;
    }
    const global = this.#low(RiscvBlock.pageFlags) & PageFlag.global;
    const page = this.codePages.enter(Math.floor(physical / PAGE_SIZE));
    const entry =
      (this.#low(HartBlock.codeTlb) + ((pcLow >>> 12) % CODE_TLB_ENTRIES) * CODE_TLB_ENTRY_SIZE) >>> 2;
    this.#u32[entry + CodeTlbEntry.tag / 4] = pcLow & -PAGE_SIZE;
    this.#u32[entry + CodeTlbEntry.tag / 4 + 1] = pcHigh;
    this.#u32[entry + CodeTlbEntry.page / 4] = page;
    this.#u32[entry + CodeTlbEntry.global / 4] = global;
    return 1;
  }

  /** Where in memory the code at a virtual address is; undefined: it cannot be executed, and the trap has been entered. */
  #translateCode(low: number, high: number): number | undefined {
    const index = (this.block + RiscvBlock.csrValue) >>> 2;
    this.#u32[index] = low;
    this.#u32[index + 1] = high;
    if (this.#interpreter.translate(this.block, Access.execute) !== 0) {
      const physical = this.#number(RiscvBlock.physicalAddress);
      if (this.memory.offsetOf(physical) >= 0) {
        return physical;
      }
      this.#u32[(this.block + RiscvBlock.trapCause) >>> 2] = Cause.instructionAccessFault;
      const value = (this.block + RiscvBlock.trapValue) >>> 2;
      this.#u32[value] = low;
      this.#u32[value + 1] = high;
    }
    this.#interpreter.raise(this.block);
    return undefined;
  }

  #fetchCrossing(): number {
    const word = this.#wordAtPc();
    if (word === undefined) {
      return 0;
    }
    this.#writeEntry(this.#scratch, predecode(decode(word), -1));
    return 1;
  }

  /** The instruction at the hart's pc, on whatever pages it lies. */
  #wordAtPc(): number | undefined {
    const low = this.#low(HartBlock.pc);
    const high = this.#high(HartBlock.pc);
    const first = this.#translateCode(low, high);
    if (first === undefined) {
      return undefined;
    }
    const bits = this.#halfAt(first);
    if ((bits & 3) !== 3) {
      return bits;
    }
    const next = (low + 2) >>> 0;
    const second = this.#translateCode(next, next < low ? (high + 1) >>> 0 : high);
    return second === undefined ? undefined : bits | (this.#halfAt(second) << 16);
  }

  #halfAt(physical: number): number {
    return this.#u16[this.memory.offsetOf(physical) >>> 1] ?? 0;
  }

  #instructionBits(ip: number): number {
    const word = this.codePages.owns(ip) ? this.codePages.wordAt(ip) : (this.#wordAtPc() ?? 0);
    return (word & 3) === 3 ? word : word & 0xffff;
  }

  #writeEntry(entry: number, { operation, a, b, immediate }: EntryFields): void {
    this.#u16[(entry + Entry.operation) >>> 1] = operation;
    this.#u16[(entry + Entry.a) >>> 1] = a | (b << 8);
    this.#i32[(entry + Entry.immediate) >>> 2] = immediate;
  }

  #describeAccess(): PhysicalAccess {
    const access = this.#access;
    access.address = this.#number(HartBlock.mmioAddress);
    access.size = this.#low(HartBlock.mmioSize) as PhysicalAccess['size'];
    return access;
  }

  #mmioRead(): number {
    const access = this.#describeAccess();
    access.low = 0;
    access.high = 0;
    if (!this.#host.mmioRead(access)) {
      return 0;
    }
    const data = (this.block + HartBlock.mmioData) >>> 2;
    this.#u32[data] = access.low;
    this.#u32[data + 1] = access.high;
    return 1;
  }

  #mmioWrite(): number {
    const access = this.#describeAccess();
    const bits = access.size === 8 ? 32 : access.size * 8;
    access.low =
      bits === 32 ? this.#low(HartBlock.mmioData) : this.#low(HartBlock.mmioData) & ((1 << bits) - 1);
    access.high = access.size === 8 ? this.#high(HartBlock.mmioData) : 0;
    return this.#host.mmioWrite(access) ? 1 : 0;
  }

  #reportHot(ip: number): void {
    if (this.translator !== undefined && this.codePages.owns(ip)) {
      this.translator.hot({
        physicalAddress: this.codePages.pageOf(ip) * PAGE_SIZE + this.codePages.offsetOf(ip),
        entry: ip,
        virtualPage: this.#pcPage(),
        privilege: this.#low(HartBlock.privilege),
      });
    }
  }

  #verifyRegion(record: number): number {
    const basePage = this.#pcPage() - (this.#i32[(record + RegionRecord.pageDelta) >>> 2] ?? 0);
    return this.translator?.verify(record, basePage) === true ? 1 : 0;
  }

  /** Virtual page number of the hart's pc. */
  #pcPage(): number {
    return this.#high(HartBlock.pc) * 0x10_0000 + (this.#low(HartBlock.pc) >>> 12);
  }

  #low(field: number): number {
    return this.#u32[(this.block + field) >>> 2] ?? 0;
  }

  #high(field: number): number {
    return this.#u32[((this.block + field) >>> 2) + 1] ?? 0;
  }

  #number(field: number): number {
    return this.#high(field) * TWO_32 + this.#low(field);
  }

  #setNumber(field: number, value: number): void {
    const index = (this.block + field) >>> 2;
    this.#u32[index] = value;
    this.#u32[index + 1] = Math.floor(value / TWO_32);
  }
}
