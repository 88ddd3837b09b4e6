import type { BackendContext, VirtioBackend } from '../backend.ts';
import { Inflight } from '../inflight.ts';
import type { Virtqueue } from '../queue/virtqueue.ts';
import { ControlRequest, ControlType, TaskManagement } from './control-request.ts';
import { inquire } from './inquiry.ts';
import { type LogicalUnit, senseData } from './logical-unit.ts';
import { DEFAULT_SIZES, type RequestSizes, requestSizes, resetSizes, ScsiQueue } from './model.ts';
import { reportLuns } from './reports.ts';
import { ScsiRequest, ScsiResponse } from './scsi-request.ts';
import { CheckCondition, Sense } from './sense.ts';

/**
 * A SCSI host adapter: each disk is logical unit 0 of a target. Commands are served straight between disks and guest memory,
 * any number at a time, and end in any order.
 */
export class ScsiBackend implements VirtioBackend {
  readonly #units: readonly LogicalUnit[];
  readonly #idle: ScsiRequest[] = [];
  readonly #inflight = new Inflight<ScsiRequest | ControlRequest>();
  #context: BackendContext | undefined;
  #sizes: RequestSizes = DEFAULT_SIZES;

  /** Takes over the logical units: those of target 0, 1 and so on. */
  constructor(units: readonly LogicalUnit[]) {
    this.#units = units;
  }

  activate(context: BackendContext): void {
    this.#context = context;
    this.configWritten();
    for (const unit of this.#units) unit.reset(Sense.powerOn);
  }

  configWritten(): void {
    if (this.#context !== undefined) this.#sizes = requestSizes(this.#context.config());
  }

  reset(queue?: Virtqueue): Promise<void> | undefined {
    if (!queue) {
      const { cdb, sense } = this.#sizes;
      if (cdb !== DEFAULT_SIZES.cdb || sense !== DEFAULT_SIZES.sense) this.#context?.changeConfig(resetSizes);
      this.#context = undefined;
    }
    return this.#inflight.reset(queue);
  }

  drain(queue?: Virtqueue): Promise<void> | undefined {
    return this.#inflight.drain(queue);
  }

  handle(queue: Virtqueue): boolean {
    switch (queue.index) {
      case ScsiQueue.control: {
        const request = new ControlRequest(queue);
        this.#inflight.add(request);
        void this.#control(request);
        return true;
      }
      case ScsiQueue.event:
        // Targets come and go with the machine: there is nothing to tell, and the driver's buffers stay where they are.
        return false;
      default: {
        const request = this.#idle.pop() ?? new ScsiRequest();
        request.take(queue, this.#sizes);
        this.#inflight.add(request);
        void this.#serve(request);
        return true;
      }
    }
  }

  /** Waits for the requests under way, writes what is cached to stable storage and closes the disks. */
  async [Symbol.asyncDispose](): Promise<void> {
    await using units = new AsyncDisposableStack();
    for (const unit of this.#units) units.use(unit);
    await this.#inflight.drain();
  }

  async #serve(request: ScsiRequest): Promise<void> {
    try {
      await this.#execute(request);
    } catch (error) {
      request.fail(error);
    }
    const queue = request.finish();
    // One that was reset is not used again: somebody waits for its end.
    if (queue) {
      this.#context?.announce(queue);
      this.#idle.push(request);
    }
    this.#inflight.end(request);
  }

  #execute(request: ScsiRequest): Promise<void> | undefined {
    const { cdb, lun, target } = request;
    const unit = this.#units[target];
    if (unit === undefined) {
      request.refuse(ScsiResponse.badTarget);
      return undefined;
    }
    cdb.decode();
    if (lun === 0) return unit.execute(request);
    switch (cdb.operation) {
      case 'inquiry':
        return request.answer(inquire(cdb, undefined));
      case 'report-luns':
        return request.answer(reportLuns(cdb));
      case 'request-sense':
        return request.answer(senseData(Sense.logicalUnitNotSupported));
      default:
        throw new CheckCondition(Sense.logicalUnitNotSupported);
    }
  }

  async #control(request: ControlRequest): Promise<void> {
    const queue = request.finish(await this.#responseTo(request));
    if (queue) this.#context?.announce(queue);
    this.#inflight.end(request);
  }

  async #responseTo({ type, subtype, target, lun, tag }: ControlRequest): Promise<number> {
    const unit = this.#units[target];
    if (unit === undefined) return ScsiResponse.badTarget;
    if (lun !== 0) return ScsiResponse.incorrectLun;
    if (type === ControlType.queryAsynchronous || type === ControlType.subscribeAsynchronous) {
      return ScsiResponse.ok;
    }
    if (type !== ControlType.taskManagement) return ScsiResponse.failure;
    const tasks = this.#tasks(target);
    const task = tasks.filter((other) => other.tag.every((byte, index) => byte === tag[index]));
    switch (subtype) {
      case TaskManagement.abortTask:
        return await this.#end(task, ScsiResponse.aborted);
      case TaskManagement.abortTaskSet:
      case TaskManagement.clearTaskSet:
        return await this.#end(tasks, ScsiResponse.aborted);
      case TaskManagement.logicalUnitReset:
      case TaskManagement.nexusReset:
        // A target has one logical unit.
        await this.#end(tasks, ScsiResponse.reset);
        unit.reset(Sense.busDeviceReset);
        return ScsiResponse.ok;
      case TaskManagement.queryTask:
        return task.length > 0 ? ScsiResponse.functionSucceeded : ScsiResponse.ok;
      case TaskManagement.queryTaskSet:
        return tasks.length > 0 ? ScsiResponse.functionSucceeded : ScsiResponse.ok;
      default:
        return ScsiResponse.functionRejected;
    }
  }

  /** The commands under way for a target's logical unit. */
  #tasks(target: number): ScsiRequest[] {
    const isTask = (request: ScsiRequest | ControlRequest): request is ScsiRequest =>
      request instanceof ScsiRequest && request.target === target && request.lun === 0;
    return this.#inflight.filter(isTask);
  }

  /** Ends commands. What the host has begun, it finishes: the function is complete when guest memory is left alone. */
  async #end(tasks: readonly ScsiRequest[], response: number): Promise<number> {
    for (const task of tasks) task.endedBy = response;
    await this.#inflight.allEnded(tasks);
    return ScsiResponse.ok;
  }
}
