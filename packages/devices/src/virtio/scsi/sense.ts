/** Why a command failed: a sense key with its additional sense code and qualifier (SPC-4, section 4.5). */
export interface Sense {
  readonly key: number;
  readonly asc: number;
  readonly ascq: number;
}

const NOT_READY = 2;
const MEDIUM_ERROR = 3;
const ILLEGAL_REQUEST = 5;
const UNIT_ATTENTION = 6;
const DATA_PROTECT = 7;
const MISCOMPARE = 0xe;

/** What this package's devices report, by the names of SPC-4's annex. */
export const Sense = {
  none: { key: 0, asc: 0, ascq: 0 },
  initializingCommandRequired: { key: NOT_READY, asc: 0x04, ascq: 0x02 },
  mediumNotPresent: { key: NOT_READY, asc: 0x3a, ascq: 0x00 },
  writeError: { key: MEDIUM_ERROR, asc: 0x0c, ascq: 0x00 },
  unrecoveredReadError: { key: MEDIUM_ERROR, asc: 0x11, ascq: 0x00 },
  parameterListLengthError: { key: ILLEGAL_REQUEST, asc: 0x1a, ascq: 0x00 },
  invalidCommandOperationCode: { key: ILLEGAL_REQUEST, asc: 0x20, ascq: 0x00 },
  logicalBlockAddressOutOfRange: { key: ILLEGAL_REQUEST, asc: 0x21, ascq: 0x00 },
  invalidFieldInCdb: { key: ILLEGAL_REQUEST, asc: 0x24, ascq: 0x00 },
  logicalUnitNotSupported: { key: ILLEGAL_REQUEST, asc: 0x25, ascq: 0x00 },
  invalidFieldInParameterList: { key: ILLEGAL_REQUEST, asc: 0x26, ascq: 0x00 },
  savingParametersNotSupported: { key: ILLEGAL_REQUEST, asc: 0x39, ascq: 0x00 },
  powerOn: { key: UNIT_ATTENTION, asc: 0x29, ascq: 0x00 },
  busDeviceReset: { key: UNIT_ATTENTION, asc: 0x29, ascq: 0x03 },
  writeProtected: { key: DATA_PROTECT, asc: 0x27, ascq: 0x00 },
  miscompareDuringVerify: { key: MISCOMPARE, asc: 0x1d, ascq: 0x00 },
} as const satisfies Record<string, Sense>;

/** Where a field is that is at fault. */
export interface FieldPointer {
  /** In the CDB, or in the data that came with it. */
  readonly in: 'cdb' | 'data';
  /** Number of its first byte. */
  readonly byte: number;
}

/** A command ends with the status CHECK CONDITION. */
export class CheckCondition extends Error {
  override readonly name = 'CheckCondition';
  readonly sense: Sense;
  readonly field: FieldPointer | undefined;

  constructor(sense: Sense, field?: FieldPointer) {
    const { key, asc, ascq } = sense;
    super(`sense key ${key}, additional sense code 0x${(asc * 256 + ascq).toString(16).padStart(4, '0')}`);
    this.sense = sense;
    this.field = field;
  }
}

/** A field of the CDB has a value that is not supported. */
export function invalidFieldInCdb(byte: number): CheckCondition {
  return new CheckCondition(Sense.invalidFieldInCdb, { in: 'cdb', byte });
}

/** A field of the data that came with a command has a value that is not supported. */
export function invalidFieldInParameterList(byte: number): CheckCondition {
  return new CheckCondition(Sense.invalidFieldInParameterList, { in: 'data', byte });
}

/** Bytes of sense data. */
export const SENSE_LENGTH = 18;

const CURRENT_FIXED_FORMAT = 0x70;
const SKSV = 0x80;
const IN_CDB = 0x40;

/** Writes sense data in the fixed format (SPC-4, section 4.5.3), of {@link SENSE_LENGTH} bytes. */
export function writeSense(target: Uint8Array, { key, asc, ascq }: Sense, field?: FieldPointer): void {
  target.fill(0, 0, SENSE_LENGTH);
  target[0] = CURRENT_FIXED_FORMAT;
  target[2] = key;
  target[7] = SENSE_LENGTH - 8;
  target[12] = asc;
  target[13] = ascq;
  if (field === undefined) return;
  target[15] = SKSV | (field.in === 'cdb' ? IN_CDB : 0);
  target[16] = field.byte >>> 8;
  target[17] = field.byte & 0xff;
}
