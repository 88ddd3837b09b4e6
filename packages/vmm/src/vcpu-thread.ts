import { Worker } from 'node:worker_threads';
import type { VcpuControl, VcpuStop } from '@tsvmm/hypervisor';
import { VirtualMachineError } from './errors.ts';
import type { VcpuWorkerData, VcpuWorkerEvent } from './vcpu-worker.ts';

/** The thread that runs a vCPU, as the main thread sees it. */
export class VcpuThread implements AsyncDisposable {
  /** Why the vCPU stopped; rejects with VirtualMachineError THREAD_FAILED when the thread fails. */
  readonly stopped: Promise<VcpuStop>;
  readonly #control: VcpuControl;
  readonly #worker: Worker;
  readonly #exited: Promise<void>;

  /**
   * Starts the thread, and with it the vCPU.
   *
   * @param onPciDecodingChanged called after the guest changed which addresses PCI functions answer
   */
  constructor(control: VcpuControl, data: Omit<VcpuWorkerData, 'vcpu'>, onPciDecodingChanged: () => void) {
    this.#control = control;
    const workerData: VcpuWorkerData = { ...data, vcpu: control.descriptor };
    this.#worker = new Worker(new URL(`./vcpu-worker${import.meta.url.slice(-3)}`, import.meta.url), {
      name: `tsvmm-vcpu${control.id}`,
      workerData,
      transferList: [...control.transfer],
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
        else onPciDecodingChanged();
      });
      this.#worker.once('error', (cause) => {
        const reason = cause instanceof Error ? cause.message : String(cause);
        fail(`vCPU ${control.id} failed: ${reason}`, cause);
      });
      this.#worker.once('exit', () => fail(`the thread of vCPU ${control.id} ended without a word`));
    });
    // Whoever waits gets the error; nobody has to.
    this.stopped.catch(() => {});
  }

  /** Has the vCPU stop. */
  requestStop(): void {
    this.#control.requestStop();
  }

  /** Stops the vCPU and waits for its thread to end. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.requestStop();
    await this.#exited;
  }
}
