import { map } from '@tsvmm/base';
import { type NativeEngine, native } from '../native.ts';
import { Sqe } from './abi.ts';
import type { Engine } from './engine.ts';

/** `struct io_uring_params` as 32-bit words. */
const Params = { bytes: 120, submission: 10, completion: 20 } as const;
/** Members of its `struct io_sqring_offsets`, from its first word. */
const SubmissionOffset = { tail: 1, entries: 3, flags: 4, array: 6 } as const;
/** Members of its `struct io_cqring_offsets`, from its first word. */
const CompletionOffset = { head: 0, tail: 1, entries: 3, cqes: 5 } as const;

/** Offsets of the ring's mappings. */
const RINGS = 0;
const SUBMISSION_ENTRIES = 0x1000_0000;

/** Flag of the submission queue: IORING_SQ_TASKRUN. */
const TASK_RUN = 4;

const OPERATIONS = 64;

/** The kernel's io_uring: its queues are this process's memory, so entries are made and read without a call. */
export class UringEngine implements Engine {
  readonly kind = 'uring';
  readonly submissions: Uint32Array;
  readonly completions: Int32Array;
  readonly completionIndices: Uint32Array;
  readonly completionHead: number;
  readonly completionTail: number;
  readonly descriptor: number;
  readonly #engine: NativeEngine;
  readonly #supported = new Uint8Array(OPERATIONS);
  readonly #submissionTail: number;
  readonly #submissionFlags: number;
  #tail = 0;

  /**
   * @param entries of the submission queue, a power of two
   * @throws SystemError ENOSYS, EPERM, EINVAL and others when the kernel has no rings, or none as new as needed
   */
  constructor(entries: number) {
    const layout = new Uint32Array(Params.bytes / 4);
    this.#engine = native.openRing(entries, 2 * entries, new Uint8Array(layout.buffer));
    const word = (index: number) => layout[index] ?? 0;
    const submission = (member: number) => word(Params.submission + member);
    const completion = (member: number) => word(Params.completion + member);
    this.descriptor = native.descriptorOf(this.#engine);
    try {
      const length = Math.max(
        submission(SubmissionOffset.array) + 4 * entries,
        completion(CompletionOffset.cqes) + 16 * 2 * entries,
      );
      // Both rings are in one mapping since Linux 5.4. The mappings end when the buffers are collected.
      const rings = map(this.descriptor, RINGS, length);
      const words = new Uint32Array(rings, 0, Math.floor(length / 4));
      this.submissions = new Uint32Array(
        map(this.descriptor, SUBMISSION_ENTRIES, 4 * Sqe.words * entries),
        0,
        Sqe.words * entries,
      );
      this.completions = new Int32Array(rings, completion(CompletionOffset.cqes), 4 * 2 * entries);
      this.completionIndices = words;
      this.completionHead = completion(CompletionOffset.head) / 4;
      this.completionTail = completion(CompletionOffset.tail) / 4;
      this.#submissionTail = submission(SubmissionOffset.tail) / 4;
      this.#submissionFlags = submission(SubmissionOffset.flags) / 4;
      // Entries are used in their order: the indirection stays as it is.
      const array = submission(SubmissionOffset.array) / 4;
      for (let i = 0; i < entries; i++) words[array + i] = i;
      native.supportedOperations(this.descriptor, this.#supported);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  supports(operation: number): boolean {
    return this.#supported[operation] === 1;
  }

  /** The kernel ends some requests only when their thread is in it. */
  get hasUnposted(): boolean {
    return (Atomics.load(this.completionIndices, this.#submissionFlags) & TASK_RUN) !== 0;
  }

  /** The ring's descriptor is readable as long as there are completions: nothing has to be read from it. */
  acknowledge(): void {}

  submit(count: number): number {
    // The tail is the last thing that changes before the kernel looks.
    Atomics.store(this.completionIndices, this.#submissionTail, (this.#tail + count) >>> 0);
    const taken = native.submit(this.#engine, count);
    if (taken > 0) this.#tail += taken;
    return taken;
  }

  close(): void {
    native.closeEngine(this.#engine);
  }
}
