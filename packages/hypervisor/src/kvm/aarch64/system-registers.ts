/** op0, op1, CRn, CRm, op2 of a system register. */
type Encoding = readonly [number, number, number, number, number];

/**
 * System registers by the names of the Arm manual (Arm ARM, D23), without those of debugging, of performance monitors and
 * of identification, which have series of their own.
 */
const SINGLE: Readonly<Record<string, Encoding>> = {
  midr_el1: [3, 0, 0, 0, 0],
  mpidr_el1: [3, 0, 0, 0, 5],
  revidr_el1: [3, 0, 0, 0, 6],
  sctlr_el1: [3, 0, 1, 0, 0],
  actlr_el1: [3, 0, 1, 0, 1],
  cpacr_el1: [3, 0, 1, 0, 2],
  rgsr_el1: [3, 0, 1, 0, 5],
  gcr_el1: [3, 0, 1, 0, 6],
  zcr_el1: [3, 0, 1, 2, 0],
  ttbr0_el1: [3, 0, 2, 0, 0],
  ttbr1_el1: [3, 0, 2, 0, 1],
  tcr_el1: [3, 0, 2, 0, 2],
  tcr2_el1: [3, 0, 2, 0, 3],
  apiakeylo_el1: [3, 0, 2, 1, 0],
  apiakeyhi_el1: [3, 0, 2, 1, 1],
  apibkeylo_el1: [3, 0, 2, 1, 2],
  apibkeyhi_el1: [3, 0, 2, 1, 3],
  apdakeylo_el1: [3, 0, 2, 2, 0],
  apdakeyhi_el1: [3, 0, 2, 2, 1],
  apdbkeylo_el1: [3, 0, 2, 2, 2],
  apdbkeyhi_el1: [3, 0, 2, 2, 3],
  apgakeylo_el1: [3, 0, 2, 3, 0],
  apgakeyhi_el1: [3, 0, 2, 3, 1],
  afsr0_el1: [3, 0, 5, 1, 0],
  afsr1_el1: [3, 0, 5, 1, 1],
  esr_el1: [3, 0, 5, 2, 0],
  tfsr_el1: [3, 0, 5, 6, 0],
  tfsre0_el1: [3, 0, 5, 6, 1],
  far_el1: [3, 0, 6, 0, 0],
  par_el1: [3, 0, 7, 4, 0],
  mair_el1: [3, 0, 10, 2, 0],
  pire0_el1: [3, 0, 10, 2, 2],
  pir_el1: [3, 0, 10, 2, 3],
  amair_el1: [3, 0, 10, 3, 0],
  vbar_el1: [3, 0, 12, 0, 0],
  disr_el1: [3, 0, 12, 1, 1],
  contextidr_el1: [3, 0, 13, 0, 1],
  tpidr_el1: [3, 0, 13, 0, 4],
  scxtnum_el1: [3, 0, 13, 0, 7],
  cntkctl_el1: [3, 0, 14, 1, 0],
  csselr_el1: [3, 2, 0, 0, 0],
  clidr_el1: [3, 1, 0, 0, 1],
  ctr_el0: [3, 3, 0, 0, 1],
  tpidr_el0: [3, 3, 13, 0, 2],
  tpidrro_el0: [3, 3, 13, 0, 3],
  cntv_ctl_el0: [3, 3, 14, 3, 1],
  vpidr_el2: [3, 4, 0, 0, 0],
  vmpidr_el2: [3, 4, 0, 0, 5],
  sctlr_el2: [3, 4, 1, 0, 0],
  hcr_el2: [3, 4, 1, 1, 0],
  mdcr_el2: [3, 4, 1, 1, 1],
  cptr_el2: [3, 4, 1, 1, 2],
  ttbr0_el2: [3, 4, 2, 0, 0],
  tcr_el2: [3, 4, 2, 0, 2],
  vttbr_el2: [3, 4, 2, 1, 0],
  vtcr_el2: [3, 4, 2, 1, 2],
  spsr_el2: [3, 4, 4, 0, 0],
  elr_el2: [3, 4, 4, 0, 1],
  esr_el2: [3, 4, 5, 2, 0],
  far_el2: [3, 4, 6, 0, 0],
  hpfar_el2: [3, 4, 6, 0, 4],
  mair_el2: [3, 4, 10, 2, 0],
  vbar_el2: [3, 4, 12, 0, 0],
  tpidr_el2: [3, 4, 13, 0, 2],
  cnthctl_el2: [3, 4, 14, 1, 0],
  cntvoff_el2: [3, 4, 14, 0, 3],
  sp_el2: [3, 6, 4, 1, 0],
};

/** Identification registers: op0 3, op1 0, CRn 0; by CRm and op2. */
const IDENTIFICATION: Readonly<Record<string, readonly [crm: number, op2: number]>> = {
  id_aa64pfr0_el1: [4, 0],
  id_aa64pfr1_el1: [4, 1],
  id_aa64pfr2_el1: [4, 2],
  id_aa64zfr0_el1: [4, 4],
  id_aa64smfr0_el1: [4, 5],
  id_aa64dfr0_el1: [5, 0],
  id_aa64dfr1_el1: [5, 1],
  id_aa64isar0_el1: [6, 0],
  id_aa64isar1_el1: [6, 1],
  id_aa64isar2_el1: [6, 2],
  id_aa64mmfr0_el1: [7, 0],
  id_aa64mmfr1_el1: [7, 1],
  id_aa64mmfr2_el1: [7, 2],
  id_aa64mmfr3_el1: [7, 3],
  id_aa64mmfr4_el1: [7, 4],
};

function encode([op0, op1, crn, crm, op2]: Encoding): number {
  return (op0 << 14) | (op1 << 11) | (crn << 7) | (crm << 3) | op2;
}

function series(count: number, entry: (n: number) => [string, Encoding]): [string, Encoding][] {
  return Array.from({ length: count }, (_, n) => entry(n));
}

const ENCODINGS: ReadonlyMap<string, number> = new Map(
  [
    ...Object.entries(SINGLE),
    ...Object.entries(IDENTIFICATION).map(([name, [crm, op2]]): [string, Encoding] => [
      name,
      [3, 0, 0, crm, op2],
    ]),
    ...series(16, (n) => [`dbgbvr${n}_el1`, [2, 0, 0, n, 4]]),
    ...series(16, (n) => [`dbgbcr${n}_el1`, [2, 0, 0, n, 5]]),
    ...series(16, (n) => [`dbgwvr${n}_el1`, [2, 0, 0, n, 6]]),
    ...series(16, (n) => [`dbgwcr${n}_el1`, [2, 0, 0, n, 7]]),
    ['mdscr_el1', [2, 0, 0, 2, 2]] as [string, Encoding],
    ['pmcr_el0', [3, 3, 9, 12, 0]] as [string, Encoding],
    ['pmccntr_el0', [3, 3, 9, 13, 0]] as [string, Encoding],
    ...series(31, (n) => [`pmevcntr${n}_el0`, [3, 3, 14, 8 + (n >> 3), n & 7]]),
    ...series(31, (n) => [`pmevtyper${n}_el0`, [3, 3, 14, 12 + (n >> 3), n & 7]]),
  ].map(([name, encoding]): [string, number] => [name, encode(encoding)]),
);
const NAMES: ReadonlyMap<number, string> = new Map(
  [...ENCODINGS].map(([name, encoding]) => [encoding, name]),
);

/** The manual's name of a system register, or its generic name (Arm ARM, D22.3). */
export function systemRegisterName(encoding: number): string {
  const generic = () => {
    const [op0, op1, crn, crm, op2] = [
      encoding >> 14,
      (encoding >> 11) & 7,
      (encoding >> 7) & 15,
      (encoding >> 3) & 15,
      encoding & 7,
    ];
    return `s${op0}_${op1}_c${crn}_c${crm}_${op2}`;
  };
  return NAMES.get(encoding) ?? generic();
}

/** The number of a system register: op0, op1, CRn, CRm, op2 in 2, 3, 4, 4 and 3 bits. */
export function systemRegisterEncoding(name: string): number | undefined {
  const known = ENCODINGS.get(name);
  if (known !== undefined) return known;
  const fields = /^s([0-3])_([0-7])_c(\d{1,2})_c(\d{1,2})_([0-7])$/.exec(name)?.slice(1).map(Number);
  const [op0 = 0, op1 = 0, crn = 0, crm = 0, op2 = 0] = fields ?? [];
  return fields === undefined || crn > 15 || crm > 15 ? undefined : encode([op0, op1, crn, crm, op2]);
}
