import { EventFd, type FileDescriptor, type Watcher } from '@tsvmm/base';
import { QueueServer, type VirtioBackend, type Virtqueue } from '@tsvmm/devices';

/** A queue that somebody else can take over, also when this process dies. */
export interface ServedQueue extends Virtqueue {
  /** Nothing is written to the ring any more: it belongs to somebody else. */
  close(): void;
}

/**
 * A ring as the back end serves it ("Ring states"): it is started when it is told where its kicks come from, and stopped when
 * its position is asked for. While it is disabled nothing is taken from it.
 */
export class Ring implements Disposable {
  readonly index: number;
  readonly #backend: VirtioBackend;
  readonly #onBroken: (error: unknown) => void;
  #server: QueueServer<ServedQueue> | undefined;
  #kick: EventFd | undefined;
  #watcher: Watcher | undefined;
  #call: EventFd | undefined;
  #isEnabled = false;
  #isHeld = false;

  /** @param onBroken the driver broke the virtio protocol, or the back end failed: the ring is not served any more */
  constructor(index: number, backend: VirtioBackend, onBroken: (error: unknown) => void) {
    this.index = index;
    this.#backend = backend;
    this.#onBroken = onBroken;
  }

  get isStarted(): boolean {
    return this.#server !== undefined;
  }

  /** Takes the descriptor over. Without one the driver is told nothing: it looks for itself. */
  setCall(descriptor: FileDescriptor | undefined): void {
    this.#call?.[Symbol.dispose]();
    this.#call = descriptor && new EventFd(descriptor);
  }

  /** Takes the kick's eventfd over. */
  start(queue: ServedQueue, kick: EventFd): void {
    this.stop();
    this.#server = new QueueServer(queue, {
      backend: this.#backend,
      interrupt: this.#interrupt,
      onBroken: (error) => {
        this.stop();
        this.#onBroken(error);
      },
    });
    this.#kick = kick;
    this.#watcher = this.#kick.onReadable(this.serve);
    // What was asked for before has no kick any more.
    this.#follow();
  }

  enable(isEnabled: boolean): void {
    this.#isEnabled = isEnabled;
    this.#follow();
  }

  /** Takes nothing more from the ring, or does so again. */
  hold(isHeld: boolean): void {
    this.#isHeld = isHeld;
    this.#follow();
  }

  /** Lets what was taken from the ring end. Undefined when nothing is under way. */
  drain(): Promise<void> | undefined {
    return this.#server && this.#backend.drain(this.#server.queue);
  }

  /** Tells the driver of requests that have ended, at the end of this job of the event loop. */
  announce(): void {
    this.#server?.announce();
  }

  /** What is under way now is lost to the front end: `drain` first. */
  stop(): void {
    this.#server?.stop();
    this.#server?.queue.close();
    this.#watcher?.[Symbol.dispose]();
    this.#kick?.[Symbol.dispose]();
    this.#watcher = undefined;
    this.#kick = undefined;
    this.#server = undefined;
  }

  /** Serves what is there. */
  readonly serve = (): void => this.#server?.serve();

  /** Serves the ring if it is enabled and not held. */
  #follow(): void {
    this.#server?.pause(!this.#isEnabled || this.#isHeld);
    this.serve();
  }

  readonly #interrupt = (): void => this.#call?.signal();

  [Symbol.dispose](): void {
    this.stop();
    this.setCall(undefined);
  }
}
