import type { GuestMemory } from '@tsvmm/vm-memory';
import type { InterruptLine } from '../../interrupt.ts';
import type { XhciController } from './controller.ts';
import type { XhciDescriptor } from './device.ts';

/** What a controller is given by the thread that runs it. */
export interface XhciHostOptions {
  readonly memory: GuestMemory;
  readonly line: InterruptLine;
  /** The driver did what ends the controller until it is reset. */
  readonly onFault: (message: string) => void;
}

/** Has a controller run once a guest's driver asks for it: until then it costs neither time nor memory. */
export class XhciHost {
  readonly #descriptor: XhciDescriptor;
  readonly #options: XhciHostOptions;
  #controller: Promise<XhciController> | undefined;

  constructor(descriptor: XhciDescriptor, options: XhciHostOptions) {
    this.#descriptor = descriptor;
    this.#options = options;
  }

  /** To be called when the register half has signalled. */
  async control(): Promise<void> {
    this.#controller ??= this.#open();
    (await this.#controller).control();
  }

  /** Lets go of guest memory, and closes the devices. */
  async close(): Promise<void> {
    await (await this.#controller)?.[Symbol.asyncDispose]();
  }

  async #open(): Promise<XhciController> {
    const { openXhciController } = await import('./open-controller.ts');
    return openXhciController(this.#descriptor, this.#options);
  }
}
