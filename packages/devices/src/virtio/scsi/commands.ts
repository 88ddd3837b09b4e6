/** What a logical unit can be asked for. */
export type ScsiOperation =
  | 'inquiry'
  | 'mode-select-10'
  | 'mode-select-6'
  | 'mode-sense-10'
  | 'mode-sense-6'
  | 'prevent-allow-medium-removal'
  | 'read'
  | 'read-capacity-10'
  | 'read-capacity-16'
  | 'report-luns'
  | 'report-supported-operation-codes'
  | 'report-supported-task-management'
  | 'request-sense'
  | 'start-stop-unit'
  | 'synchronize-cache'
  | 'test-unit-ready'
  | 'unmap'
  | 'verify'
  | 'write'
  | 'write-same';

/** A command of SPC-4 or SBC-3. */
export interface ScsiCommand {
  readonly operation: ScsiOperation;
  readonly opcode: number;
  /** Of operation codes that several commands share. */
  readonly serviceAction: number | undefined;
  /**
   * CDB usage data (SPC-4, section 6.35.3): the operation code, then a byte for each of the CDB's, with the bits set that
   * are looked at. The others have to be zero. A service action stands as it is.
   */
  readonly usage: Uint8Array;
}

const DEFINITIONS: readonly (readonly [operation: ScsiOperation, usage: string])[] = [
  ['test-unit-ready', '00 00 00 00 00 00'],
  ['request-sense', '03 00 00 00 ff 00'],
  ['read', '08 1f ff ff ff 00'],
  ['write', '0a 1f ff ff ff 00'],
  ['inquiry', '12 01 ff ff ff 00'],
  ['mode-select-6', '15 11 00 00 ff 00'],
  ['mode-sense-6', '1a 08 ff ff ff 00'],
  ['start-stop-unit', '1b 01 00 00 01 00'],
  ['prevent-allow-medium-removal', '1e 00 00 00 03 00'],
  ['read-capacity-10', '25 00 00 00 00 00 00 00 00 00'],
  ['read', '28 18 ff ff ff ff 00 ff ff 00'],
  ['write', '2a 18 ff ff ff ff 00 ff ff 00'],
  ['verify', '2f 16 ff ff ff ff 00 ff ff 00'],
  ['synchronize-cache', '35 02 ff ff ff ff 00 ff ff 00'],
  ['write-same', '41 08 ff ff ff ff 00 ff ff 00'],
  ['unmap', '42 00 00 00 00 00 00 ff ff 00'],
  ['mode-select-10', '55 11 00 00 00 00 00 ff ff 00'],
  ['mode-sense-10', '5a 18 ff ff 00 00 00 ff ff 00'],
  ['read', '88 18 ff ff ff ff ff ff ff ff ff ff ff ff 00 00'],
  ['write', '8a 18 ff ff ff ff ff ff ff ff ff ff ff ff 00 00'],
  ['verify', '8f 16 ff ff ff ff ff ff ff ff ff ff ff ff 00 00'],
  ['synchronize-cache', '91 02 ff ff ff ff ff ff ff ff ff ff ff ff 00 00'],
  ['write-same', '93 09 ff ff ff ff ff ff ff ff ff ff ff ff 00 00'],
  ['read-capacity-16', '9e 10 00 00 00 00 00 00 00 00 ff ff ff ff 00 00'],
  ['report-luns', 'a0 00 ff 00 00 00 ff ff ff ff 00 00'],
  ['report-supported-operation-codes', 'a3 0c 07 ff ff ff ff ff ff ff 00 00'],
  ['report-supported-task-management', 'a3 0d 00 00 00 00 ff ff ff ff 00 00'],
  ['read', 'a8 18 ff ff ff ff ff ff ff ff 00 00'],
  ['write', 'aa 18 ff ff ff ff ff ff ff ff 00 00'],
  ['verify', 'af 16 ff ff ff ff ff ff ff ff 00 00'],
];

/** SERVICE ACTION IN (16) and MAINTENANCE IN. */
const OPCODES_WITH_SERVICE_ACTION: readonly number[] = [0x9e, 0xa3];
export const SERVICE_ACTION_MASK = 0x1f;

/** Everything that is served. */
export const SCSI_COMMANDS: readonly ScsiCommand[] = DEFINITIONS.map(([operation, text]) => {
  const usage = Uint8Array.from(text.split(' '), (byte) => Number.parseInt(byte, 16));
  const [opcode = 0, second] = usage;
  const serviceAction = OPCODES_WITH_SERVICE_ACTION.includes(opcode) ? second : undefined;
  return { operation, opcode, serviceAction, usage };
});

const BY_OPCODE: readonly (readonly ScsiCommand[])[] = Array.from({ length: 256 }, (_, opcode) =>
  SCSI_COMMANDS.filter((command) => command.opcode === opcode),
);

/** The commands that share an operation code: one, or one for each service action; none when it is not known. */
export function commandsOf(opcode: number): readonly ScsiCommand[] {
  return BY_OPCODE[opcode] ?? [];
}
