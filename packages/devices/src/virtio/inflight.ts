import type { Virtqueue } from './queue/virtqueue.ts';

/** A request that a back end has taken, and where it came from: undefined once the driver has reset that. */
export interface InflightRequest {
  queue: Virtqueue | undefined;
}

/** The requests that a back end has taken and that have not ended. */
export class Inflight<Request extends InflightRequest> {
  readonly #requests = new Set<Request>();
  /** What each of those who wait for requests to end still waits for. */
  readonly #waiters = new Map<Set<Request>, () => void>();

  add(request: Request): void {
    this.#requests.add(request);
  }

  /** The request has ended: guest memory is not used for it any more. */
  end(request: Request): void {
    this.#requests.delete(request);
    for (const [awaited, resolve] of this.#waiters) {
      if (!awaited.delete(request) || awaited.size > 0) continue;
      this.#waiters.delete(awaited);
      resolve();
    }
  }

  /** `VirtioBackend.reset`: requests of `queue`, or all, have no queue from now on. */
  reset(queue?: Virtqueue): Promise<void> | undefined {
    const concerned = this.#of(queue);
    for (const request of concerned) request.queue = undefined;
    return this.#ended(concerned);
  }

  /** `VirtioBackend.drain`. */
  drain(queue?: Virtqueue): Promise<void> | undefined {
    return this.#ended(this.#of(queue));
  }

  /** Those for which a condition holds, in the order in which they came. */
  filter<Kind extends Request>(condition: (request: Request) => request is Kind): Kind[] {
    return [...this.#requests].filter(condition);
  }

  /** Resolves when requests that are under way have ended. */
  async allEnded(requests: readonly Request[]): Promise<void> {
    await this.#ended(requests);
  }

  #of(queue: Virtqueue | undefined): Request[] {
    return [...this.#requests].filter((request) => queue === undefined || request.queue === queue);
  }

  #ended(requests: readonly Request[]): Promise<void> | undefined {
    if (requests.length === 0) return undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiters.set(new Set(requests), resolve);
    return promise;
  }
}
