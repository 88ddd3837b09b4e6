/** The command line of the lab: see `arguments.ts` for what it takes. */
import { GuestImageError } from '../../packages/guest-image/src/index.ts';
import { HELP, type Level1Request, parseArguments } from './arguments.ts';
import { LabError } from './errors.ts';
import { isSetUp, setUp } from './lab.ts';
import { Level1 } from './level1.ts';
import { LAB_ARCHITECTURES, type LabArchitecture } from './platform.ts';
import { Progress } from './progress.ts';
import { runTests } from './vitest/run.ts';

/** When the lab fails, rather than the command in it; beyond what programs usually give. */
const LAB_FAILED = 125;
const WRONG_USAGE = 2;

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof LabError) && !(error instanceof GuestImageError)) throw error;
  process.stderr.write(`kvm-lab: ${error.message}\n`);
  process.exitCode = error.code === 'USAGE' ? WRONG_USAGE : LAB_FAILED;
}

async function main(): Promise<number> {
  const request = parseArguments(process.argv.slice(2));
  switch (request.command) {
    case 'help':
      process.stdout.write(HELP);
      return 0;
    case 'setup':
      for (const architecture of request.architectures.length > 0
        ? request.architectures
        : LAB_ARCHITECTURES) {
        const { kernel } = await prepared(architecture);
        process.stderr.write(`kvm-lab: ${architecture} is set up, with ${kernel}\n`);
      }
      return 0;
    case 'run': {
      await using level1 = await booted(request.architecture, request);
      const { status } = await level1.run(request.program, {
        directory: process.cwd(),
        onStdout: (data) => process.stdout.write(data),
        onStderr: (data) => process.stderr.write(data),
      });
      return status;
    }
    case 'test': {
      let haveAllPassed = true;
      for (const architecture of await architecturesToTest(request.architectures)) {
        await using level1 = await booted(architecture, request);
        haveAllPassed = (await runTests(level1, request.filters)) && haveAllPassed;
      }
      return haveAllPassed ? 0 : 1;
    }
  }
}

/** Those that were asked for, or those that are set up. */
async function architecturesToTest(asked: readonly LabArchitecture[]): Promise<readonly LabArchitecture[]> {
  if (asked.length > 0) return asked;
  const found: LabArchitecture[] = [];
  for (const architecture of LAB_ARCHITECTURES) if (await isSetUp(architecture)) found.push(architecture);
  if (found.length > 0) return found;
  throw new LabError('NOT_SET_UP', 'There is no lab yet: pnpm kvm-lab setup');
}

async function prepared(architecture: LabArchitecture) {
  using progress = new Progress();
  return setUp(architecture, { onProgress: (step, fraction) => progress.report(step, fraction) });
}

async function booted(architecture: LabArchitecture, request: Level1Request): Promise<Level1> {
  const lab = await prepared(architecture);
  using progress = new Progress();
  progress.report(`booting a host with KVM for ${architecture}`, 0);
  const { memory, emulatorArguments } = request;
  return Level1.start(lab, {
    emulatorArguments,
    ...(memory === undefined ? {} : { memory }),
    ...(request.console ? { onConsole: (data) => process.stderr.write(data) } : {}),
  });
}
