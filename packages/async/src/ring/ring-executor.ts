import { Readiness, SystemError, Watcher } from '@tsvmm/base';
import { ExecutorError } from '../errors.ts';
import {
  type AllocationMode,
  type Completion,
  type Executor,
  type ExecutorKind,
  NO_ROOM,
  type Segments,
} from '../executor.ts';
import {
  CANCEL_ALL,
  CANCEL_ANY,
  COMMAND_DISCARD,
  Cqe,
  EpollEvent,
  Errno,
  FALLOC_PUNCH_HOLE,
  FALLOC_ZERO_RANGE,
  FSYNC_DATASYNC,
  Operation,
  Sqe,
} from './abi.ts';
import { Addresses } from './addresses.ts';
import type { Engine } from './engine.ts';
import { Requests, VECTORS } from './requests.ts';

/** Low half of the user data of what no slot waits for: cancellations. */
const NOBODY = 0xffff_ffff;
/** Most bytes of one transfer (the kernel's MAX_RW_COUNT, which depends on the page size, is not below). */
const MAX_TRANSFER = 0x7fff_0000;
const HIGH = 2 ** 32;
/** How many batches of requests may be handed over without a turn of the event loop between them. */
const FLUSHES_A_TURN = 64;
const MODES = { allocate: 0, punchHole: FALLOC_PUNCH_HOLE, zeroRange: FALLOC_ZERO_RANGE } as const;

/** The executor over a pair of queues in io_uring's format, whoever serves them. */
export class RingExecutor implements Executor {
  readonly kind: ExecutorKind;
  readonly capacity: number;
  readonly #engine: Engine;
  readonly #requests: Requests;
  readonly #addresses = new Addresses();
  readonly #vectorsAddress: number;
  readonly #submissionMask: number;
  readonly #completionMask: number;
  readonly #watcher: Watcher;
  readonly #waiters: (() => void)[] = [];
  readonly #flushSoon = () => this.flush();
  /** Entries written to the submission queue since the start, and of these not handed over. */
  #prepared = 0;
  #queued = 0;
  #head = 0;
  #isFlushScheduled = false;
  /** How often a flush was scheduled. */
  #flushes = 0;
  #isReaping = false;
  #isClosed = false;
  #isDrained: (() => void) | undefined;
  #disposal: Promise<void> | undefined;

  /** Takes over `engine`, whose submission queue has two entries for each of the `capacity` requests. */
  constructor(engine: Engine, capacity: number) {
    this.kind = engine.kind;
    this.capacity = capacity;
    this.#engine = engine;
    this.#requests = new Requests(capacity);
    this.#vectorsAddress = new Addresses().of(new Uint8Array(this.#requests.vectors.buffer));
    this.#submissionMask = engine.submissions.length / Sqe.words - 1;
    this.#completionMask = engine.completions.length / Cqe.words - 1;
    this.#watcher = new Watcher(engine.descriptor, Readiness.readable, () => this.reap());
  }

  get pending(): number {
    return this.#requests.used;
  }

  get descriptor(): number {
    return this.#engine.descriptor;
  }

  read(fd: number, position: number, segments: Segments, completion: Completion, token: number): number {
    return this.#transfer(Operation.readv, fd, position, segments, completion, token);
  }

  write(fd: number, position: number, segments: Segments, completion: Completion, token: number): number {
    return this.#transfer(Operation.writev, fd, position, segments, completion, token);
  }

  sync(fd: number, dataOnly: boolean, completion: Completion, token: number): number {
    const slot = this.#take(Operation.fsync, fd, completion, token);
    if (slot === NO_ROOM) return NO_ROOM;
    this.#requests.flags[slot] = dataOnly ? FSYNC_DATASYNC : 0;
    return this.#start(slot);
  }

  allocate(
    fd: number,
    mode: AllocationMode,
    position: number,
    length: number,
    completion: Completion,
    token: number,
  ): number {
    checkRange(position, length);
    const slot = this.#take(length === 0 ? Operation.nop : Operation.fallocate, fd, completion, token);
    if (slot === NO_ROOM) return NO_ROOM;
    this.#requests.flags[slot] = MODES[mode];
    return this.#startRange(slot, position, length);
  }

  discard(fd: number, position: number, length: number, completion: Completion, token: number): number {
    checkRange(position, length);
    const command = this.#engine.supports(Operation.uringCommand)
      ? Operation.uringCommand
      : Operation.fallocate;
    const slot = this.#take(length === 0 ? Operation.nop : command, fd, completion, token);
    if (slot === NO_ROOM) return NO_ROOM;
    this.#requests.flags[slot] = FALLOC_PUNCH_HOLE;
    return this.#startRange(slot, position, length);
  }

  poll(fd: number, interest: number, completion: Completion, token: number): number {
    const slot = this.#take(Operation.pollAdd, fd, completion, token);
    if (slot === NO_ROOM) return NO_ROOM;
    this.#requests.flags[slot] =
      ((interest & Readiness.readable) !== 0 ? EpollEvent.in : 0) |
      ((interest & Readiness.writable) !== 0 ? EpollEvent.out : 0);
    return this.#start(slot);
  }

  timeout(milliseconds: number, completion: Completion, token: number): number {
    if (!(milliseconds >= 0 && milliseconds <= Number.MAX_SAFE_INTEGER / 1e6)) {
      throw new ExecutorError('BAD_REQUEST', `A timeout is a number of milliseconds, not ${milliseconds}.`);
    }
    const slot = this.#take(Operation.timeout, -1, completion, token);
    if (slot === NO_ROOM) return NO_ROOM;
    const { vectors } = this.#requests;
    const word = this.#requests.firstVectorWord(slot);
    const seconds = Math.floor(milliseconds / 1000);
    setDouble(vectors, word, seconds);
    setDouble(vectors, word + 2, Math.round((milliseconds - 1000 * seconds) * 1e6));
    return this.#start(slot);
  }

  cancel(request: number): void {
    const slot = this.#requests.slotOf(request);
    if (slot < 0 || this.#requests.isCancelled[slot] === 1) return;
    this.#requests.isCancelled[slot] = 1;
    const entry = this.#entry(Operation.asyncCancel, -1);
    const { submissions } = this.#engine;
    submissions[entry + Sqe.address] = slot;
    submissions[entry + Sqe.address + 1] = this.#requests.generation[slot] ?? 0;
    submissions[entry + Sqe.userData] = NOBODY;
  }

  flush(): void {
    this.#isFlushScheduled = false;
    this.#submit();
    this.#reap();
  }

  reap(): number {
    this.#engine.acknowledge();
    return this.#reap();
  }

  look(): number {
    if (this.#engine.hasUnposted) this.#engine.submit(0);
    return this.#reap();
  }

  room(): Promise<void> {
    if (this.pending < this.capacity) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposal ??= this.#close();
    return this.#disposal;
  }

  async #close(): Promise<void> {
    this.#isClosed = true;
    if (this.pending > 0) {
      const entry = this.#entry(Operation.asyncCancel, -1);
      const { submissions } = this.#engine;
      submissions[entry + Sqe.flags] = CANCEL_ANY | CANCEL_ALL;
      submissions[entry + Sqe.userData] = NOBODY;
      const drained = new Promise<void>((resolve) => {
        this.#isDrained = resolve;
      });
      this.flush();
      if (this.pending > 0) await drained;
    }
    for (const resolve of this.#waiters.splice(0)) resolve();
    this.#watcher[Symbol.dispose]();
    this.#engine.close();
  }

  #transfer(
    operation: number,
    fd: number,
    position: number,
    segments: Segments,
    completion: Completion,
    token: number,
  ): number {
    if (!Number.isSafeInteger(position) || position < -1) {
      throw new ExecutorError('BAD_REQUEST', `${position} is not a position in a file.`);
    }
    checkSegments(segments);
    const isEmpty = segments.byteLength === 0 && position >= 0;
    const slot = this.#take(isEmpty ? Operation.nop : operation, fd, completion, token);
    if (slot === NO_ROOM) return NO_ROOM;
    this.#requests.position[slot] = position;
    this.#requests.length[slot] = segments.byteLength;
    this.#requests.setSegments(slot, segments);
    return this.#start(slot);
  }

  #take(operation: number, fd: number, completion: Completion, token: number): number {
    if (this.#isClosed) {
      throw new ExecutorError('CLOSED', 'The executor was disposed of: open another one.');
    }
    return this.#requests.take(operation, fd, completion, token);
  }

  #startRange(slot: number, position: number, length: number): number {
    this.#requests.position[slot] = position;
    this.#requests.length[slot] = length;
    return this.#start(slot);
  }

  #start(slot: number): number {
    this.#prepare(slot);
    return this.#requests.number(slot);
  }

  /** Writes the entry for what is left of a slot's request. */
  #prepare(slot: number): void {
    const requests = this.#requests;
    const operation = requests.operation[slot] ?? Operation.nop;
    const entry = this.#entry(operation, requests.fd[slot] ?? -1);
    const { submissions } = this.#engine;
    submissions[entry + Sqe.userData] = slot;
    submissions[entry + Sqe.userData + 1] = requests.generation[slot] ?? 0;
    switch (operation) {
      case Operation.readv:
      case Operation.writev:
        this.#prepareTransfer(slot, entry);
        break;
      case Operation.fallocate:
        setDouble(submissions, entry + Sqe.offset, requests.position[slot] ?? 0);
        setDouble(submissions, entry + Sqe.address, requests.length[slot] ?? 0);
        submissions[entry + Sqe.length] = requests.flags[slot] ?? 0;
        break;
      case Operation.uringCommand:
        submissions[entry + Sqe.offset] = COMMAND_DISCARD;
        setDouble(submissions, entry + Sqe.address, requests.position[slot] ?? 0);
        setDouble(submissions, entry + Sqe.address3, requests.length[slot] ?? 0);
        break;
      case Operation.timeout:
        setDouble(submissions, entry + Sqe.address, this.#vectorAddress(slot));
        submissions[entry + Sqe.length] = 1;
        break;
      default:
        submissions[entry + Sqe.flags] = requests.flags[slot] ?? 0;
    }
  }

  /** Writes the vectors, or the one place, that the rest of a transfer starts with. */
  #prepareTransfer(slot: number, entry: number): void {
    const requests = this.#requests;
    const { submissions } = this.#engine;
    const segments = requests.segments(slot);
    const memory = requests.memory(slot);
    if (!segments || !memory) throw new Error(`Slot ${slot} has no segments.`);
    const { vectors } = requests;
    const position = requests.position[slot] ?? 0;
    const base = this.#addresses.of(memory);
    const first = requests.firstVectorWord(slot);
    let skip = requests.done[slot] ?? 0;
    let count = 0;
    let total = 0;
    let word = first;
    for (let i = 0; i < segments.count && count < VECTORS && total < MAX_TRANSFER; i++) {
      const offset = segments.pairs[2 * i] ?? 0;
      const length = segments.pairs[2 * i + 1] ?? 0;
      if (skip >= length) {
        skip -= length;
        continue;
      }
      // Checked here again, where the address is made: this is what keeps the kernel inside of the memory.
      if (!isInside(offset, length, memory)) throw outside(i, segments);
      const size = Math.min(length - skip, MAX_TRANSFER - total);
      setDouble(vectors, word, base + offset + skip);
      setDouble(vectors, word + 2, size);
      word += 4;
      count++;
      total += size;
      skip = 0;
    }
    if (position < 0) setMinusOne(submissions, entry + Sqe.offset);
    else setDouble(submissions, entry + Sqe.offset, position + (requests.done[slot] ?? 0));
    if (count === 1) {
      const isRead = requests.operation[slot] === Operation.readv;
      submissions[entry + Sqe.operation] = isRead ? Operation.read : Operation.write;
      submissions[entry + Sqe.address] = vectors[first] ?? 0;
      submissions[entry + Sqe.address + 1] = vectors[first + 1] ?? 0;
      submissions[entry + Sqe.length] = total;
    } else {
      setDouble(submissions, entry + Sqe.address, this.#vectorAddress(slot));
      submissions[entry + Sqe.length] = count;
    }
  }

  #vectorAddress(slot: number): number {
    return this.#vectorsAddress + 4 * this.#requests.firstVectorWord(slot);
  }

  /** The next entry of the submission queue, zeroed but for what is given. @returns the index of its first word */
  #entry(operation: number, fd: number): number {
    const { submissions } = this.#engine;
    const entry = (this.#prepared & this.#submissionMask) * Sqe.words;
    this.#prepared = (this.#prepared + 1) >>> 0;
    this.#queued++;
    for (let i = 2; i < Sqe.words; i++) submissions[entry + i] = 0;
    submissions[entry + Sqe.operation] = operation;
    submissions[entry + Sqe.fd] = fd;
    if (!this.#isFlushScheduled) {
      this.#isFlushScheduled = true;
      // Requests that end at once and are followed by others must not keep the event loop from its other work.
      if (++this.#flushes % FLUSHES_A_TURN === 0) setImmediate(this.#flushSoon);
      else queueMicrotask(this.#flushSoon);
    }
    return entry;
  }

  #submit(): void {
    while (this.#queued > 0) {
      const taken = this.#engine.submit(this.#queued);
      if (taken > 0) {
        this.#queued -= taken;
      } else if (taken === -Errno.again || taken === -Errno.busy) {
        // The kernel is short of memory. What has ended meanwhile gives some back.
        setImmediate(this.#flushSoon);
        return;
      } else if (taken !== -Errno.interrupted) {
        throw new SystemError(-taken, 'io_uring_enter', `cannot hand over ${this.#queued} requests`);
      }
    }
  }

  #reap(): number {
    // A completion that flushes gets no results inside of itself: the loop below goes on with them.
    if (this.#isReaping) return 0;
    this.#isReaping = true;
    const { completionIndices, completionHead, completionTail, completions } = this.#engine;
    let ended = 0;
    while (this.#head !== Atomics.load(completionIndices, completionTail)) {
      const entry = (this.#head & this.#completionMask) * Cqe.words;
      const slot = (completions[entry + Cqe.userData] ?? 0) >>> 0;
      const result = completions[entry + Cqe.result] ?? 0;
      this.#head = (this.#head + 1) >>> 0;
      Atomics.store(completionIndices, completionHead, this.#head);
      if (slot !== NOBODY && this.#advance(slot, result)) ended++;
    }
    this.#isReaping = false;
    if (this.#isDrained && this.pending === 0) this.#isDrained();
    return ended;
  }

  /** Goes on with a request of which a part is done, or ends it. @returns whether it ended */
  #advance(slot: number, result: number): boolean {
    const requests = this.#requests;
    const operation = requests.operation[slot] ?? Operation.nop;
    let outcome = result;
    const isStopped = this.#isClosed || requests.isCancelled[slot] === 1;
    switch (operation) {
      case Operation.readv:
      case Operation.writev: {
        if (result === -Errno.interrupted && !isStopped) {
          this.#prepare(slot);
          return false;
        }
        if (result < 0) break;
        const done = (requests.done[slot] ?? 0) + result;
        requests.done[slot] = done;
        outcome = done;
        const isWhole = done === requests.length[slot] || result === 0 || (requests.position[slot] ?? 0) < 0;
        if (isWhole) break;
        if (isStopped) {
          outcome = -Errno.canceled;
          break;
        }
        this.#prepare(slot);
        return false;
      }
      case Operation.uringCommand:
        if (result === -Errno.notSupported || result === -Errno.notTty || result === -Errno.noSystemCall) {
          // Not a block device, or a kernel before 6.12: a hole says the same.
          if (isStopped) break;
          requests.operation[slot] = Operation.fallocate;
          this.#prepare(slot);
          return false;
        }
        break;
      case Operation.pollAdd:
        if (result >= 0) outcome = readinessOf(result);
        break;
      case Operation.timeout:
        if (result === -Errno.timeExpired) outcome = 0;
        break;
    }
    const token = requests.token[slot] ?? 0;
    const completion = requests.release(slot);
    this.#waiters.shift()?.();
    try {
      completion?.completed(token, outcome);
    } catch (error) {
      // The others' results must not be lost on the way of this one's failure.
      queueMicrotask(() => {
        throw error;
      });
    }
    return true;
  }
}

function readinessOf(events: number): number {
  return (
    ((events & EpollEvent.in) !== 0 ? Readiness.readable : 0) |
    ((events & EpollEvent.out) !== 0 ? Readiness.writable : 0) |
    ((events & EpollEvent.error) !== 0 ? Readiness.failed : 0) |
    ((events & EpollEvent.hangUp) !== 0 ? Readiness.hungUp : 0)
  );
}

/** @throws ExecutorError BAD_REQUEST */
function checkSegments(segments: Segments): void {
  let total = 0;
  for (let i = 0; i < segments.count; i++) {
    const offset = segments.pairs[2 * i] ?? -1;
    const length = segments.pairs[2 * i + 1] ?? -1;
    if (!isInside(offset, length, segments.memory)) throw outside(i, segments);
    total += length;
  }
  if (total !== segments.byteLength) {
    throw new ExecutorError(
      'BAD_REQUEST',
      `The segments have ${total} bytes, but say ${segments.byteLength}.`,
    );
  }
}

function isInside(offset: number, length: number, memory: Uint8Array): boolean {
  return (
    offset >= 0 &&
    length >= 0 &&
    offset + length <= memory.length &&
    Number.isInteger(offset) &&
    Number.isInteger(length)
  );
}

function outside(index: number, { pairs, memory }: Segments): ExecutorError {
  return new ExecutorError(
    'BAD_REQUEST',
    `Segment ${index} (offset ${pairs[2 * index]}, length ${pairs[2 * index + 1]}) does not lie in a memory of ` +
      `${memory.length} bytes.`,
  );
}

/** @throws ExecutorError BAD_REQUEST */
function checkRange(position: number, length: number): void {
  if (
    !Number.isSafeInteger(position) ||
    !Number.isSafeInteger(position + length) ||
    position < 0 ||
    length < 0
  ) {
    throw new ExecutorError('BAD_REQUEST', `${length} bytes at ${position} are not a range of a file.`);
  }
}

/** Writes a whole number from 0 to 2^53 - 1 as 64 bits. */
function setDouble(words: Uint32Array, index: number, value: number): void {
  words[index] = value % HIGH;
  words[index + 1] = Math.floor(value / HIGH);
}

function setMinusOne(words: Uint32Array, index: number): void {
  words[index] = 0xffff_ffff;
  words[index + 1] = 0xffff_ffff;
}
