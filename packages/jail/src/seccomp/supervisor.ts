import { type FileDescriptor, Readiness, Watcher } from '@tsvmm/base';
import type { BlockedCall } from '../exit.ts';
import { native } from '../native.ts';
import { type JailArchitecture, systemCallName } from './system-calls.ts';

/**
 * Decides on the system calls that a filter asks about: the process that made one waits in the kernel meanwhile
 * (seccomp_unotify(2)). Whatever that process has become, it cannot keep such a call from being seen.
 */
export class Supervisor implements Disposable {
  readonly #listener: FileDescriptor;
  readonly #architecture: JailArchitecture;
  readonly #permits: (call: BlockedCall) => boolean;
  readonly #watcher: Watcher;
  readonly #call = new Float64Array(9);

  /**
   * @param listener taken over
   * @param permits whether the call is made after all; otherwise it waits until the process is killed
   */
  constructor(
    listener: FileDescriptor,
    architecture: JailArchitecture,
    permits: (call: BlockedCall) => boolean,
  ) {
    this.#listener = listener;
    this.#architecture = architecture;
    this.#permits = permits;
    this.#watcher = new Watcher(listener.number, Readiness.readable, (readiness) => {
      // The last process under the filter has ended.
      if ((readiness & Readiness.readable) === 0) this[Symbol.dispose]();
      else this.#decide();
    }).unref();
  }

  #decide(): void {
    if (!native.receiveCall(this.#listener.number, this.#call)) return;
    const [low = 0, high = 0, number = 0, ...values] = this.#call;
    const call = { name: systemCallName(this.#architecture, number), arguments: values };
    if (this.#permits(call)) native.permitCall(this.#listener.number, low, high);
  }

  [Symbol.dispose](): void {
    this.#watcher[Symbol.dispose]();
    this.#listener[Symbol.dispose]();
  }
}
