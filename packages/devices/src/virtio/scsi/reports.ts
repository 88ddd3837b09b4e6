import type { Cdb } from './cdb.ts';
import { commandsOf, SCSI_COMMANDS, type ScsiCommand } from './commands.ts';
import type { Medium } from './medium.ts';
import { invalidFieldInCdb } from './sense.ts';

const LUN_LENGTH = 8;
/** SELECT REPORT: the logical units, the well known ones, or both. */
const SELECT_REPORTS: readonly number[] = [0, 1, 2];
const WELL_KNOWN_ONLY = 1;
const LBPME = 0x80;
const NOT_SUPPORTED = 1;
const SUPPORTED = 3;
/** ABORT TASK, ABORT TASK SET, CLEAR TASK SET, LOGICAL UNIT RESET, QUERY TASK; QUERY TASK SET and I_T NEXUS RESET. */
const TASK_MANAGEMENT = Uint8Array.of(0xdc, 0x03, 0, 0);

/**
 * The answer to REPORT LUNS (SPC-4, section 6.33): each target has logical unit 0, and no well known ones.
 * @throws CheckCondition
 */
export function reportLuns(cdb: Cdb): Uint8Array {
  const select = cdb.bits(2, 0xff);
  if (!SELECT_REPORTS.includes(select)) throw invalidFieldInCdb(2);
  const length = select === WELL_KNOWN_ONLY ? 0 : LUN_LENGTH;
  const data = new Uint8Array(8 + length);
  new DataView(data.buffer).setUint32(0, length);
  return data;
}

/** The answer to READ CAPACITY (10) (SBC-3, section 5.15). */
export function readCapacity10({ blockCount, blockSize }: Medium): Uint8Array {
  const data = new Uint8Array(8);
  const view = new DataView(data.buffer);
  // More than fits sends the driver to the other command.
  view.setUint32(0, Math.min(blockCount - 1, 0xffff_ffff));
  view.setUint32(4, blockSize);
  return data;
}

/** The answer to READ CAPACITY (16) (SBC-3, section 5.16). */
export function readCapacity16({ blockCount, blockSize, readOnly }: Medium): Uint8Array {
  const data = new Uint8Array(32);
  const view = new DataView(data.buffer);
  view.setBigUint64(0, BigInt(blockCount - 1));
  view.setUint32(8, blockSize);
  if (!readOnly) view.setUint8(14, LBPME);
  return data;
}

/**
 * The answer to REPORT SUPPORTED OPERATION CODES (SPC-4, section 6.35).
 * @throws CheckCondition
 */
export function reportOperationCodes(cdb: Cdb): Uint8Array {
  const option = cdb.bits(2, 0x07);
  if (option === 0) return allCommands();
  if (option > 3) throw invalidFieldInCdb(2);
  const commands = commandsOf(cdb.bits(3, 0xff));
  const action = cdb.bits(4, 0xff) * 256 + cdb.bits(5, 0xff);
  // Options 1 and 2 are for operation codes without and with service actions, 3 is for both.
  const hasActions = commands.some(({ serviceAction }) => serviceAction !== undefined);
  if (commands.length > 0 && ((option === 1 && hasActions) || (option === 2 && !hasActions))) {
    throw invalidFieldInCdb(2);
  }
  return oneCommand(commands.find(({ serviceAction }) => (serviceAction ?? 0) === action));
}

function allCommands(): Uint8Array {
  const data = new Uint8Array(4 + 8 * SCSI_COMMANDS.length);
  const view = new DataView(data.buffer);
  view.setUint32(0, data.length - 4);
  for (const [index, { opcode, serviceAction, usage }] of SCSI_COMMANDS.entries()) {
    const at = 4 + 8 * index;
    view.setUint8(at, opcode);
    view.setUint16(at + 2, serviceAction ?? 0);
    view.setUint8(at + 5, serviceAction === undefined ? 0 : 1);
    view.setUint16(at + 6, usage.length);
  }
  return data;
}

function oneCommand(command: ScsiCommand | undefined): Uint8Array {
  if (command === undefined) return Uint8Array.of(0, NOT_SUPPORTED, 0, 0);
  return Uint8Array.of(0, SUPPORTED, 0, command.usage.length, ...command.usage);
}

/** The answer to REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS (SPC-4, section 6.36). */
export function reportTaskManagement(): Uint8Array {
  return TASK_MANAGEMENT;
}
