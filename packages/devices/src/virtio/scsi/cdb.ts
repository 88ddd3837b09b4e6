import { commandsOf, type ScsiCommand, type ScsiOperation, SERVICE_ACTION_MASK } from './commands.ts';
import { CheckCondition, invalidFieldInCdb, Sense } from './sense.ts';

/** The longest CDB there is (SPC-4, section 4.2.5). */
export const MAX_CDB_LENGTH = 260;

const INQUIRY = 0x12;
/** A transfer length of 0 in a command of 6 bytes. */
const BLOCKS_OF_ZERO = 256;

/**
 * A command descriptor block. The driver's bytes are put into `bytes`, whose rest is zero, and decoded: every field of a
 * known command is then checked not to ask for what is not supported.
 */
export class Cdb {
  readonly bytes = new Uint8Array(MAX_CDB_LENGTH);
  readonly #view = new DataView(this.bytes.buffer);
  operation: ScsiOperation = 'test-unit-ready';
  /** The first logical block, of commands that have one; above 2^53, one near to it. */
  lba = 0;
  /**
   * What the command's length field says: logical blocks to transfer, verify or write, the allocation length of commands
   * that ask for data, or the length of the parameter list of those that bring it.
   */
  length = 0;
  /** Number of that field's first byte. */
  lengthField = 0;
  /** It has 6 bytes, of which some are other fields than in the longer forms of a command. */
  isShort = true;

  /** @throws CheckCondition */
  decode(): void {
    const command = this.#find();
    this.#checkUnused(command);
    this.operation = command.operation;
    this.isShort = command.usage.length === 6;
    const view = this.#view;
    switch (command.usage.length) {
      case 6:
        this.lba = view.getUint32(0) & 0x1f_ffff;
        this.lengthField = command.opcode === INQUIRY ? 3 : 4;
        this.length = command.opcode === INQUIRY ? view.getUint16(3) : view.getUint8(4);
        if (this.length === 0 && (this.operation === 'read' || this.operation === 'write')) {
          this.length = BLOCKS_OF_ZERO;
        }
        break;
      case 10:
        this.lba = view.getUint32(2);
        this.lengthField = 7;
        this.length = view.getUint16(7);
        break;
      case 12:
        this.lba = view.getUint32(2);
        this.lengthField = 6;
        this.length = view.getUint32(6);
        break;
      default:
        this.lba = view.getUint32(2) * 2 ** 32 + view.getUint32(6);
        this.lengthField = 10;
        this.length = view.getUint32(10);
    }
  }

  /** A byte of the CDB, masked. */
  bits(byte: number, mask: number): number {
    return (this.bytes[byte] ?? 0) & mask;
  }

  has(byte: number, mask: number): boolean {
    return this.bits(byte, mask) !== 0;
  }

  #find(): ScsiCommand {
    const commands = commandsOf(this.bits(0, 0xff));
    const serviceAction = this.bits(1, SERVICE_ACTION_MASK);
    for (const command of commands) {
      if (command.serviceAction === undefined || command.serviceAction === serviceAction) return command;
    }
    throw commands.length === 0
      ? new CheckCondition(Sense.invalidCommandOperationCode, { in: 'cdb', byte: 0 })
      : invalidFieldInCdb(1);
  }

  #checkUnused({ usage, serviceAction }: ScsiCommand): void {
    for (let byte = 1; byte < usage.length; byte++) {
      const used = byte === 1 && serviceAction !== undefined ? SERVICE_ACTION_MASK : (usage[byte] ?? 0);
      if (this.has(byte, ~used)) throw invalidFieldInCdb(byte);
    }
  }
}
