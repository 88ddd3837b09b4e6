import type { Cdb } from './cdb.ts';
import { inquire } from './inquiry.ts';
import type { Medium } from './medium.ts';
import { modeSelect, modeSense } from './mode-pages.ts';
import {
  readCapacity10,
  readCapacity16,
  reportLuns,
  reportOperationCodes,
  reportTaskManagement,
} from './reports.ts';
import type { ScsiRequest } from './scsi-request.ts';
import { CheckCondition, invalidFieldInCdb, SENSE_LENGTH, Sense, writeSense } from './sense.ts';

const FUA = 0x08;
/** BYTCHK of VERIFY: the blocks are compared with what the command brings. */
const COMPARE = 0x02;
/** Of WRITE SAME. */
const UNMAP = 0x08;
const NO_DATA_OUT = 0x01;

/** A disk as SCSI commands see it: a direct access block device (SPC-4, SBC-3). */
export class LogicalUnit implements AsyncDisposable {
  readonly medium: Medium;
  readonly serial: string;
  #isStopped = false;
  /** What the driver is to be told before its next command is served. */
  #attention: Sense | undefined;

  /** Takes over the medium. */
  constructor(medium: Medium, serial: string) {
    this.medium = medium;
    this.serial = serial;
  }

  /** Becomes as it was at the start; what its driver is told of that. */
  reset(attention: Sense): void {
    this.#isStopped = false;
    this.#attention = attention;
  }

  /**
   * Serves the command that a request brought: at once, or when the promise that it returns resolves.
   * @throws CheckCondition, Overrun, errors of the disk
   */
  execute(request: ScsiRequest): Promise<void> | undefined {
    const { cdb } = request;
    // These do not report attention conditions (SAM-5, section 5.14).
    if (cdb.operation === 'inquiry') return request.answer(inquire(cdb, this));
    if (cdb.operation === 'report-luns') return request.answer(reportLuns(cdb));
    const attention = this.#attention;
    this.#attention = undefined;
    if (cdb.operation === 'request-sense') return request.answer(senseData(attention ?? Sense.none));
    if (attention !== undefined) throw new CheckCondition(attention);
    switch (cdb.operation) {
      case 'mode-sense-6':
      case 'mode-sense-10':
        return request.answer(modeSense(cdb, this.medium));
      case 'mode-select-6':
      case 'mode-select-10':
        modeSelect(cdb, request.takeParameters(cdb.length), this.medium);
        return undefined;
      case 'report-supported-operation-codes':
        return request.answer(reportOperationCodes(cdb));
      case 'report-supported-task-management':
        return request.answer(reportTaskManagement());
      case 'prevent-allow-medium-removal':
        // There is nothing to remove.
        return undefined;
      case 'start-stop-unit':
        return this.#startOrStop(cdb);
      default:
        return this.#accessMedium(request);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.medium[Symbol.asyncDispose]();
  }

  #startOrStop(cdb: Cdb): Promise<void> | undefined {
    this.#isStopped = !cdb.has(4, 0x01);
    return this.#isStopped && !this.medium.readOnly ? this.medium.flush() : undefined;
  }

  #accessMedium(request: ScsiRequest): Promise<void> | undefined {
    const { cdb } = request;
    const { medium } = this;
    if (this.#isStopped) throw new CheckCondition(Sense.initializingCommandRequired);
    if (medium.blockCount === 0) throw new CheckCondition(Sense.mediumNotPresent);
    switch (cdb.operation) {
      case 'read':
        medium.checkRange(cdb.lba, cdb.length);
        return medium.read(cdb.lba, request.takeRoom(cdb.length * medium.blockSize));
      case 'write':
        return this.#write(request);
      case 'verify':
        return this.#verify(request);
      case 'write-same':
        return this.#writeSame(request);
      case 'unmap':
        medium.checkWritable();
        return medium.unmap(request.takeParameters(cdb.length));
      case 'synchronize-cache':
        medium.checkRange(cdb.lba, cdb.length);
        return medium.readOnly ? undefined : medium.flush();
      case 'read-capacity-10':
        // It has no allocation length.
        return request.answer(readCapacity10(medium), Number.POSITIVE_INFINITY);
      case 'read-capacity-16':
        return request.answer(readCapacity16(medium));
      default:
        return undefined;
    }
  }

  #write(request: ScsiRequest): Promise<void> {
    const { cdb } = request;
    const { medium } = this;
    medium.checkWritable();
    medium.checkRange(cdb.lba, cdb.length);
    const data = request.takeData(cdb.length * medium.blockSize);
    // In a command of 6 bytes, that is a bit of the address.
    const isForced = cdb.has(1, FUA) && !cdb.isShort;
    const writing = medium.write(cdb.lba, data);
    return isForced ? writing.then(() => medium.flush()) : writing;
  }

  #verify(request: ScsiRequest): Promise<void> | undefined {
    const { cdb } = request;
    const check = cdb.bits(1, 0x06);
    if (check !== 0 && check !== COMPARE) throw invalidFieldInCdb(1);
    this.medium.checkRange(cdb.lba, cdb.length);
    if (check === 0) return undefined;
    return this.medium.compare(cdb.lba, request.takeData(cdb.length * this.medium.blockSize));
  }

  #writeSame(request: ScsiRequest): Promise<void> {
    const { cdb } = request;
    const { medium } = this;
    medium.checkWritable();
    if (cdb.length === 0 || cdb.length > medium.limits.writeSameBlocks) {
      throw invalidFieldInCdb(cdb.lengthField);
    }
    medium.checkRange(cdb.lba, cdb.length);
    const block = cdb.has(1, NO_DATA_OUT) ? undefined : request.takeParameters(medium.blockSize);
    return medium.writeSame(cdb.lba, cdb.length, block, cdb.has(1, UNMAP));
  }
}

/** Sense data as the answer to REQUEST SENSE. */
export function senseData(sense: Sense): Uint8Array {
  const data = new Uint8Array(SENSE_LENGTH);
  writeSense(data, sense);
  return data;
}
