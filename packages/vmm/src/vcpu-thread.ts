import { Worker } from 'node:worker_threads';
import { programUrl, reasonOf } from '@tsvmm/base';
import type { VcpuControl, VcpuStop } from '@tsvmm/hypervisor';
import { VirtualMachineError } from './errors.ts';
import type { VcpuWorkerData, VcpuWorkerEvent } from './vcpu-worker.ts';

/**
 * The thread that runs a vCPU, as the main thread sees it. It is made before there is a machine, so that it loads its
 * modules while that is built.
 */
export class VcpuThread implements AsyncDisposable {
  /** Why the vCPU stopped; rejects with VirtualMachineError THREAD_FAILED when the thread fails. */
  readonly stopped: Promise<VcpuStop>;
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  #control: VcpuControl | undefined;
  #onPciDecodingChanged: () => void = () => {};

  /** Starts the thread of the vCPU with this id. */
  constructor(id: number) {
    this.#worker = new Worker(programUrl('vcpu-worker', import.meta.url), {
      name: `tsvmm-vcpu${id}`,
    });
    this.#exited = new Promise((resolve) => {
      this.#worker.once('exit', () => resolve());
    });
    this.stopped = new Promise((resolve, reject) => {
      const fail = (message: string, cause?: unknown) => {
        reject(
          new VirtualMachineError('THREAD_FAILED', message, cause === undefined ? undefined : { cause }),
        );
      };
      this.#worker.on('message', (event: VcpuWorkerEvent) => {
        if (event.kind === 'stopped') resolve(event.stop);
        else this.#onPciDecodingChanged();
      });
      this.#worker.once('error', (cause) => {
        const reason = reasonOf(cause);
        fail(`vCPU ${id} failed: ${reason}`, cause);
      });
      this.#worker.once('exit', () => fail(`the thread of vCPU ${id} ended without a word`));
    });
    // Whoever waits gets the error; nobody has to.
    this.stopped.catch(() => {});
  }

  /**
   * Starts the vCPU.
   *
   * @param onPciDecodingChanged called after the guest changed which addresses PCI functions answer
   */
  start(control: VcpuControl, data: Omit<VcpuWorkerData, 'vcpu'>, onPciDecodingChanged: () => void): void {
    this.#control = control;
    this.#onPciDecodingChanged = onPciDecodingChanged;
    const message: VcpuWorkerData = { ...data, vcpu: control.descriptor };
    this.#worker.postMessage(message, [...control.transfer]);
  }

  /** Stops the vCPU, if it was started, and waits for its thread to end. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#control === undefined) await this.#worker.terminate();
    else this.#control.requestStop();
    await this.#exited;
  }
}
